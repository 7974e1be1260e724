"""What committed commands change, and which ones stop a server rather than be passed over."""

import json
from typing import Any

import pytest
from msgpack import Timestamp

from consulpy.codec.msgpack import pack
from consulpy.raft.chunks import Chunks
from consulpy.raft.interfaces import UnknownCommand
from consulpy.raft.messages import LogEntry
from consulpy.raft.state_machine import StoreMachine
from consulpy.state.commands import KVS, Barrier, Register, decode
from consulpy.state.store import Store
from consulpy.structs.kv import DirEntry, KVRequest
from tests.conftest import VECTORS


def machine() -> StoreMachine:
    return StoreMachine(Store())


def command(index: int, data: bytes, extensions: bytes | None = None, term: int = 1) -> LogEntry:
    return LogEntry(data, extensions, index, term, 0)


def put(key: str, value: bytes) -> bytes:
    return KVS(KVRequest(op="set", dir_ent=DirEntry(key=key, value=value))).encode()


def value(machine: StoreMachine, key: str) -> Any:
    return machine.store.kv.table.get(key)


def test_commands_happen_at_the_index_of_their_entry() -> None:
    one = machine()
    assert one.apply([command(5, put("a", b"1")), command(9, put("b", b"2"))]) == [False, False]
    assert (value(one, "a").modify_index, value(one, "b").modify_index) == (5, 9)


def test_a_refused_command_is_a_result_and_the_next_one_happens() -> None:
    one = machine()
    refused = KVS(KVRequest(op="nonsense", dir_ent=DirEntry(key="a"))).encode()
    results = one.apply([command(1, refused), command(2, put("b", b"2"))])
    assert "nonsense" in str(results[0])
    assert value(one, "b").modify_index == 2


@pytest.mark.parametrize("kind", [14, 99, 127, Barrier.TYPE])
def test_an_unknown_command_stops_everything_before_anything_happens(kind: int) -> None:
    one = machine()
    with pytest.raises(UnknownCommand, match=f"entry 2 is a command of type {kind}"):
        one.apply([command(1, put("a", b"1")), command(2, bytes([kind]) + b"\x80")])
    assert value(one, "a") is None


def test_one_that_may_be_ignored_is() -> None:
    one = machine()
    one.apply([command(1, b"\x95\xc0"), command(2, put("a", b"1"))])
    assert value(one, "a").modify_index == 2


def test_a_checkpoint_of_the_log_verifier_is_passed_over_and_parts_around_it_stay() -> None:
    """Consul 1.15 with `raft_logstore.verification`: type 41 with the flag, nil, and 24 bytes of extensions."""
    one, whole = machine(), put("a", b"1")
    checkpoint = bytes.fromhex("03a59203d6f9d1af") + (40).to_bytes(8, "little") + bytes(8)
    one.apply([command(1, whole[:9], b"\x08\x01\x10\x00\x18\x02"), command(2, b"\xa9\xc0", checkpoint)])
    assert value(one, "a") is None
    one.apply([command(3, whole[9:], b"\x08\x01\x10\x01\x18\x02")])
    assert value(one, "a").modify_index == 3


@pytest.mark.parametrize("kind", [*range(31, 44)])
def test_the_commands_of_newer_versions_stop_unless_their_flag_says_that_they_may_be_skipped(kind: int) -> None:
    one = machine()
    with pytest.raises(UnknownCommand, match=f"a command of type {kind}"):
        one.apply([command(1, bytes([kind]) + b"\x0a\x03abc")])
    one.apply([command(1, bytes([kind | 128]) + b"\x0a\x03abc"), command(2, put("a", b"1"))])
    assert value(one, "a").modify_index == 2


@pytest.mark.parametrize("fields", [{"PeerName": "east"}, {"Partition": "blue"}, {"Namespace": "team"}])
def test_a_command_about_another_cluster_s_nodes_stops(fields: dict[str, str]) -> None:
    """Imported nodes are none of this cluster: who skipped the field would show them as its own."""
    one = machine()
    body = pack({"Node": "n", "Address": "10.0.0.1", **fields})
    with pytest.raises(UnknownCommand, match=next(iter(fields))):
        one.apply([command(1, bytes([Register.TYPE]) + body)])
    assert not one.store.catalog.nodes_table.unordered()


def test_a_newer_leader_s_conditional_delete_of_a_config_entry_is_applied() -> None:
    def change(op: str, index: int) -> bytes:
        entry = {"Kind": "service-defaults", "Name": "web", "ModifyIndex": index}
        body = pack("service-defaults") + pack({"Op": op, "Entry": entry})
        return b"\x16" + pack(body)

    one = machine()
    assert one.apply([command(3, change("upsert", 0)), command(4, change("delete-cas", 9))]) == [True, False]
    assert one.apply([command(5, change("delete-cas", 3)), command(6, change("delete-cas", 3))]) == [True, False]


def test_newer_fields_that_say_nothing_are_skipped() -> None:
    one = machine()
    newer = {
        "PeerName": "",
        "Partition": "default",
        "Namespace": None,
        "Locality": None,
        "Ports": [1],
        "When": Timestamp(5),
    }
    one.apply([command(7, bytes([Register.TYPE]) + pack({"Node": "n", "Address": "10.0.0.1", **newer}))])
    (node,) = one.store.catalog.nodes_table.unordered()
    assert (node.node, node.modify_index) == ("n", 7)


def test_a_body_that_does_not_decode_stops_too() -> None:
    with pytest.raises(UnknownCommand, match="cannot be read"):
        machine().apply([command(1, b"\x02\x91")])


def test_a_large_command_comes_in_parts_and_happens_with_the_last() -> None:
    chunks = json.loads((VECTORS / "raft" / "chunked_entries.json").read_text())["entries"]
    whole = put("big", b"y" * 1_300_000)
    one, position = machine(), 0
    for number, chunk in enumerate(chunks):
        size = chunk["data_length"] if number < 2 else len(whole) - position
        data, position = whole[position : position + size], position + size
        assert value(one, "big") is None
        one.apply([command(chunk["index"], data, bytes.fromhex(chunk["extensions_hex"]))])
    assert value(one, "big").modify_index == 53
    assert value(one, "big").value == b"y" * 1_300_000


def test_parts_of_an_older_term_are_given_up() -> None:
    chunks = Chunks()
    assert chunks.add(command(1, b"a", b"\x08\x01\x10\x00\x18\x02", term=1)) is None
    assert chunks.add(command(2, b"b", b"\x08\x01\x10\x01\x18\x02", term=2)) is None
    assert chunks.add(command(3, b"a", b"\x08\x01\x10\x00\x18\x02", term=2)) == b"ab"


@pytest.mark.parametrize("extensions", [b"\x08", b"\x0a\x01x", b"\x18\x00", b"\x10\x05\x18\x02", b"\xff" * 20])
def test_strange_parts_stop(extensions: bytes) -> None:
    with pytest.raises(UnknownCommand):
        machine().apply([command(1, b"a", extensions)])


def test_entries_of_a_real_log_apply() -> None:
    entries = json.loads((VECTORS / "raft" / "raft_log_acl_connect.json").read_text())["entries"]
    one = machine()
    for each in entries:
        if each["type"] == 0:
            one.apply([command(each["index"], bytes.fromhex(each["data_hex"]))])
    assert one.store.index > 30


def test_intentions_that_a_real_leader_copied_apply() -> None:
    """Real leaders of secondary datacenters write them as a transaction; ours write the same bytes."""
    data = bytes.fromhex(json.loads((VECTORS / "raft" / "secondary_intentions.json").read_text())["data_hex"])
    one = machine()
    one.apply([command(9, data)])
    rows = one.store.intentions.all(None)[1]
    assert [(row.source_name, row.destination_name, row.action) for row in rows] == [
        ("api", "db", "allow"),
        ("web", "db", "allow"),
    ]
    assert {(row.create_index, row.modify_index) for row in rows} == {(9, 9)}
    assert decode(data).encode() == data
