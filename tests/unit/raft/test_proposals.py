"""Commands of one turn are appended together, at its end, before whatever follows them."""

from typing import Any

from twisted.internet.task import Clock

from consulpy.raft.interfaces import NotLeader
from consulpy.raft.machine import Raft
from consulpy.raft.messages import BARRIER, COMMAND
from tests.unit.raft.simulated import Disk
from tests.unit.raft.test_alone import ME, begun


class Results(list[Any]):
    """What the proposals ended with, in order."""

    def of(self, name: str) -> Any:
        return lambda result: self.append((name, result))


def leader() -> tuple[Clock, Raft]:
    clock = Clock()
    return clock, begun(clock, Disk(), ME)


def types(raft: Raft, first: int) -> list[tuple[int, bytes | None]]:
    return [(entry.type, entry.data) for entry in raft.log.cached(first, 100, 1 << 20) or ()]


def test_commands_are_appended_at_the_end_of_their_turn() -> None:
    clock, raft = leader()
    end = raft.log.last_index
    for data in (b"a", b"b", b"c"):
        raft.propose(data, lambda _: None)
    assert raft.log.last_index == end
    clock.advance(0)
    assert types(raft, end + 1) == [(COMMAND, b"a"), (COMMAND, b"b"), (COMMAND, b"c")]


def test_a_barrier_stands_behind_the_commands_before_it() -> None:
    clock, raft = leader()
    end = raft.log.last_index
    raft.propose(b"a", lambda _: None)
    raft.propose_entry(BARRIER, None, lambda _: None)
    raft.propose(b"b", lambda _: None)
    clock.advance(0)
    assert types(raft, end + 1) == [(COMMAND, b"a"), (BARRIER, None), (COMMAND, b"b")]


def test_commands_that_were_not_appended_when_the_office_ends_did_not_happen() -> None:
    clock, raft = leader()
    results, end = Results(), raft.log.last_index
    raft.propose(b"a", results.of("a"))
    raft.follow(raft.term + 1)
    clock.advance(0)
    assert [(name, type(result)) for name, result in results] == [("a", NotLeader)]
    assert raft.log.last_index == end


def test_commands_are_refused_if_a_snapshot_is_restored_in_their_turn() -> None:
    clock, raft = leader()
    results, end = Results(), raft.log.last_index
    raft.propose(b"a", results.of("a"))
    raft.snapshots.is_installing = True
    clock.advance(0)
    assert [(name, type(result)) for name, result in results] == [("a", NotLeader)]
    assert raft.log.last_index == end
