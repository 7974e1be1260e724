"""Every captured message of Raft decodes, and encodes to the same bytes (tests/vectors/raft, tests/vectors/rpc)."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from consulpy.codec.msgpack import pack, unpack_from
from consulpy.errors import WireError
from consulpy.raft import messages
from consulpy.raft.configuration import Configuration, ConfigurationError, Server
from consulpy.raft.messages import LogEntry, RaftError, decode_reply, decode_request, encode_error, encode_reply
from tests.conftest import VECTORS


def vector(name: str) -> Any:
    return json.loads((VECTORS / "raft" / f"{name}.json").read_text())


def exchanges() -> Iterator[tuple[str, bytes, bytes]]:
    """(name, request, answer) of every captured call."""
    script = vector("follower_script")["steps"]
    for name, steps in (
        ("script", script),
        ("real leader", vector("real_leader_to_follower")["messages"]),
        ("real followers", vector("leader_to_real_followers")["messages"]),
        ("around a snapshot", vector("install_snapshot")["around"]),
        ("snapshot", [vector("install_snapshot")]),
        ("rpc", json.loads((VECTORS / "rpc" / "raft_messages.json").read_text())["messages"]),
    ):
        for number, step in enumerate(steps):
            label = f"{name} {number}: {step.get('note') or step.get('kind', '')}"
            yield label, bytes.fromhex(step["request_hex"]), bytes.fromhex(step["response_hex"])


EXCHANGES = list(exchanges())


def test_there_are_vectors_of_every_type() -> None:
    newer = {messages.RequestPreVote.TYPE}  # see test_pre_vote
    assert {request[0] for _, request, _ in EXCHANGES} == set(messages.REQUESTS) - newer


@pytest.mark.parametrize(("request_bytes", "answer"), [each[1:] for each in EXCHANGES], ids=[e[0] for e in EXCHANGES])
def test_requests_and_answers_decode_and_encode_equal(request_bytes: bytes, answer: bytes) -> None:
    raw, size = unpack_from(request_bytes[1:])
    request = decode_request(request_bytes[0], raw)
    assert messages.encode_request(request) == request_bytes[: 1 + size]
    if not answer:
        return

    error, size = unpack_from(answer)
    body, rest = unpack_from(answer[size:])
    assert size + rest == len(answer)
    if error:
        with pytest.raises(RaftError):
            decode_reply(type(request), error, body)
        reply = None if body is None else messages.REPLIES[type(request)].from_wire(body)
        assert encode_error(error.decode(), reply) == answer
    else:
        assert encode_reply(decode_reply(type(request), error, body)) == answer


def test_entries_of_a_real_log_encode_equal() -> None:
    for entry in vector("raft_db")["logs"].values():
        assert LogEntry.unpack(bytes.fromhex(entry)).pack().hex() == entry
    assert gzip.decompress(base64.b64decode(vector("raft_db")["file_gzip_base64"]))  # read in test_boltdb


def test_configurations_encode_equal() -> None:
    raw = bytes.fromhex(vector("raft_log_acl_connect")["entries"][0]["data_hex"])
    configuration = Configuration.unpack(raw)
    assert [server.suffrage for server in configuration.servers] == [0, 0, 0]
    assert configuration.pack() == raw
    request = vector("install_snapshot")["request"]
    configuration = Configuration.unpack(bytes.fromhex(request["Configuration"]["$bytes"]))
    assert configuration.pack_peers().hex() == request["Peers"]["$bytes"]


def test_heartbeats_are_told_from_empty_appends() -> None:
    assert messages.AppendEntries(term=3, leader="a:1").is_heartbeat
    assert not messages.AppendEntries(entries=[], term=3, leader="a:1").is_heartbeat
    assert not messages.AppendEntries(leader_commit_index=1, term=3, leader="a:1").is_heartbeat


@pytest.mark.parametrize("raw", [b"text", 5, True])
def test_a_body_that_is_no_map_is_an_error(raw: Any) -> None:
    with pytest.raises(WireError):
        decode_request(0, raw)
    with pytest.raises(WireError):
        decode_request(9, {})
    with pytest.raises(WireError):
        decode_reply(messages.AppendEntries, 5, raw)


def test_truncated_and_mixed_up_messages_raise_nothing_else() -> None:
    for _, request, answer in EXCHANGES:
        for data in (request[1:], answer):
            for end in range(0, min(len(data), 400), 7):
                try:
                    raw, _ = unpack_from(data[:end])
                    decode_request(request[0], raw)
                except WireError:
                    pass


def servers(*ids: str) -> Configuration:
    return Configuration([Server(f"{each}:1", each) for each in ids])


def test_a_configuration_changes_by_one_server_in_place() -> None:
    three = servers("a", "b", "c")
    four = three.with_nonvoter("d", "d:1")
    assert four.servers[3] == Server("d:1", "d", 1)
    assert four.majority == three.majority == 2
    assert four.with_voter("d", "d:1").majority == 3
    assert three.with_nonvoter("b", "b:2").servers[1] == Server("b:2", "b", 0), "a voter only moves"
    assert four.with_voter("d", "d:2").servers[3] == Server("d:2", "d", 0)
    assert three.without("b") == servers("a", "c")
    assert three.without("nobody") == three
    assert three == servers("a", "b", "c"), "never changed in place"


def test_configurations_that_must_not_be() -> None:
    with pytest.raises(ConfigurationError, match="at least one voter"):
        servers("a").without("a")
    with pytest.raises(ConfigurationError, match="duplicate address"):
        servers("a", "b").with_voter("c", "b:1")
    with pytest.raises(ConfigurationError, match="duplicate ID"):
        Configuration.of([Server("a:1", "a"), Server("a:2", "a")])
    with pytest.raises(ConfigurationError, match="empty"):
        servers("a").with_voter("b", "")
    with pytest.raises(ConfigurationError, match="empty"):
        servers("a").with_voter("", "b:1")


@pytest.mark.parametrize(
    "appended_at",
    [
        b"\xaf\x01" + (63_852_596_800).to_bytes(8, "big") + b"\0\0\0\0\xff\xff",
        b"\xa8" + (1_717_000_000).to_bytes(8, "big"),
        b"\xd7\xff" + (1_717_000_000).to_bytes(8, "big"),
        b"\xc7\x0c\xff" + bytes(4) + (1_717_000_000).to_bytes(8, "big"),
        b"\xc0",
    ],
    ids=["15 bytes", "raw of 8", "ext of 8", "ext of 12", "nil"],
)
def test_what_raft_1_3_to_1_7_add_is_skipped_and_not_sent(appended_at: bytes) -> None:
    """`AppendedAt` of entries, `ID` and `Addr` of each request; made by hand."""
    entry = (
        b"\x86\xaaAppendedAt"
        + appended_at
        + pack({"Data": b"x", "Extensions": b"", "Index": 7, "Term": 3, "Type": 0})[1:]
    )
    head = pack({"Addr": b"10.0.0.9:8300", "ID": b"nine", "LeaderCommitIndex": 6, "PrevLogEntry": 6, "PrevLogTerm": 3})
    tail = pack({"ProtocolVersion": 3, "Term": 3, "Leader": b"10.0.0.9:8300"})
    raw, _ = unpack_from(b"\x89" + head[1:] + tail[1:] + b"\xa7Entries\x91" + entry)
    request = decode_request(messages.AppendEntries.TYPE, raw)
    assert isinstance(request, messages.AppendEntries)
    assert (request.leader, request.prev_log_entry, request.term) == ("10.0.0.9:8300", 6, 3)
    assert request.entries == [LogEntry(data=b"x", extensions=b"", index=7, term=3, type=0)]
    assert b"AppendedAt" not in messages.encode_request(request)
