"""Captured bytes of real Consul and Serf agents: read as they were read, written as they were written."""

import base64
from typing import Any

import pytest

from consulpy.errors import WireError
from consulpy.memberlist import messages, security
from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.messages import USER, Alive
from consulpy.memberlist.packet import Sealer, compound
from consulpy.memberlist.stream import MessageReader, PushPull, encode_nodes, push_pull, seal
from tests.harness.memberlist import vectors

PACKETS = [*vectors("packets_consul"), *vectors("packets_serf"), *vectors("packets_encrypted")]
STREAMS = [*vectors("streams"), *vectors("streams_encrypted")]
INNER = {"ping": 0, "indirect-ping": 1, "ack": 2, "suspect": 3, "alive": 4, "dead": 5, "nack": 11, "user": 8}


def sealer(vector: dict[str, Any]) -> Sealer:
    keys = [base64.b64decode(key) for key in vector["keys_base64"]]
    return Sealer(Keyring(keys) if keys else None, verify_incoming=True, verify_outgoing=True, label="")


def bodies(decoded: dict[str, Any]) -> list[dict[str, Any]]:
    """The innermost messages of a vector's description."""
    for key in ("encrypted", "inner"):
        if decoded.get("msg") != "user" and key in decoded:
            return bodies(decoded[key])
    return [body for part in decoded["parts"] for body in bodies(part)] if "parts" in decoded else [decoded]


@pytest.mark.parametrize("vector", PACKETS, ids=lambda vector: vector["name"])
def test_packet(vector: dict[str, Any]) -> None:
    parts = list(sealer(vector).open(bytes.fromhex(vector["hex"])))
    described = bodies(vector["decoded"])
    assert [part[0] for part in parts] == [INNER[each["msg"]] for each in described]
    assert compound(parts) == bytes.fromhex(vector["plain_hex"]), "what was opened makes the same packet again"
    for part, each in zip(parts, described, strict=True):
        if part[0] == USER:
            continue
        message = messages.decode(part)
        again = messages.decode(message.encode())
        assert again == message
        if isinstance(message, Alive):
            assert message.node == each["body"]["Node"]
            assert message.address == each["body"]["Addr"]["ip"]
            assert list(message.vsn) == each["body"]["Vsn"]
        assert message.encode() == part, "fields are written in the same order and the same types"
        for field, attribute in {
            "SeqNo": "seq_no",
            "Node": "node",
            "Incarnation": "incarnation",
            "From": "accuser",
        }.items():
            if field in each["body"]:
                assert getattr(message, attribute) == each["body"][field]


@pytest.mark.parametrize("vector", STREAMS, ids=lambda vector: vector["name"])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_stream(vector: dict[str, Any], size: int) -> None:
    found = sealer(vector)
    reader = MessageReader(found)
    data = bytes.fromhex(vector["hex"])
    slices = [data[at : at + size] for at in range(0, len(data), size)]
    assert [reader.feed(each) for each in slices] == [False] * (len(slices) - 1) + [True]
    message, decoded = reader.message, vector["decoded"]
    plain = bytes.fromhex(vector["plain_hex"])
    if isinstance(message, PushPull):
        assert message.join == decoded["header"]["Join"]
        assert [(node.name, node.state, list(node.vsn)) for node in message.nodes] == [
            (node["Name"], node["State"], node["Vsn"]) for node in decoded["nodes"]
        ]
        assert len(message.user_state) == decoded["header"]["UserStateLen"]
        nodes = encode_nodes(message.nodes)
        assert push_pull(message.join, nodes, len(message.nodes), message.user_state) == plain
    else:
        assert message is not None
        assert not hasattr(message, "body")
        assert message.encode() == plain
    again = MessageReader(found)
    assert again.feed(seal(found, plain, compress_it=True))
    assert again.message == message


@pytest.mark.parametrize("vector", vectors("crypto")["vectors"], ids=str)
def test_encryption(vector: dict[str, Any]) -> None:
    keyring = Keyring([base64.b64decode(vector["key_base64"])])
    encrypted, additional = bytes.fromhex(vector["encrypted_hex"]), bytes.fromhex(vector["aad_hex"])
    plain = bytes.fromhex(vector["plain_hex"])
    assert security.decrypt(keyring.ciphers, encrypted, additional) == plain
    with pytest.raises(WireError):
        security.decrypt(keyring.ciphers, encrypted, additional + b"x")
    ours = security.encrypt(keyring.ciphers[0], plain, additional)
    assert len(ours) == len(plain) + 29
    assert security.decrypt(keyring.ciphers, ours, additional) == plain
