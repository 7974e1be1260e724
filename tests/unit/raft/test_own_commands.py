"""What was just encoded is applied as it would be decoded."""

from random import Random

from consulpy.raft.messages import LogEntry
from consulpy.raft.own_commands import LIMIT, OwnCommands
from consulpy.raft.state_machine import StoreMachine
from consulpy.state.commands import KVS, decode
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store
from consulpy.structs.kv import DirEntry, KVRequest


def any_write(rng: Random) -> KVS:
    entry = DirEntry(
        key=rng.choice(["", "a", "a/b", "ü", "\udcff", "\x00"]),
        flags=rng.choice([0, 1, 2**64 - 1]),
        value=rng.choice([None, b"", b"x", bytes(range(256))]),
        session=rng.choice(["", "s"]),
        modify_index=rng.choice([0, 7]),
    )
    return KVS(KVRequest(op=rng.choice(["set", "set", "cas", "delete", "unknown"]), dir_ent=entry, token="t"))


def test_both_ways_lead_to_the_same_state() -> None:
    rng = Random(3)
    own = OwnCommands()
    with_own, without = StoreMachine(Store(), own=own), StoreMachine(Store())
    taken = 0
    for index in range(1, 300):
        command = any_write(rng)
        data = command.encode(sparse=rng.random() < 0.5)
        own.add(command, data)
        taken += len(own._commands)
        results = [
            machine.apply([LogEntry(data, None, index, 1, 0)]) if machine is with_own else machine.apply([entry])
            for machine, entry in ((with_own, None), (without, LogEntry(bytes(bytearray(data)), None, index, 1, 0)))
        ]
        assert repr(results[0]) == repr(results[1])
        command.body.dir_ent.key = "changed afterwards"
    assert taken > 50
    assert list(Snapshot.of(with_own.store).records()) == list(Snapshot.of(without.store).records())


def test_only_the_same_bytes_are_taken_and_only_once() -> None:
    own = OwnCommands()
    command = KVS(KVRequest(op="set", dir_ent=DirEntry(key="k", value=b"v")))
    data = command.encode()
    own.add(command, data)
    assert own.take(bytes(bytearray(data))) is None
    assert own.take(data) is command
    assert own.take(data) is None
    assert decode(data) == command


def test_what_is_never_applied_is_forgotten() -> None:
    own = OwnCommands()
    for _ in range(LIMIT + 1):
        command = KVS(KVRequest(op="set", dir_ent=DirEntry(key="k")))
        own.add(command, command.encode())
    assert len(own._commands) == 1
