"""A server that is alone in its configuration leads at once, when it begins and when it restarts."""

from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.interfaces import NotLeader, Role, Settings
from consulpy.raft.machine import Raft
from consulpy.raft.messages import AppendEntriesReply
from tests.unit.raft.simulated import Disk, SimulatedStorage
from tests.unit.raft.test_follower import Nowhere

ME, OTHER = Server("127.0.0.1:8300", "me"), Server("127.0.0.2:8300", "other")
#: Far less than the heartbeat timeout of 5 s.
SOON_S = 0.1


def server(clock: Any, disk: Disk) -> Raft:
    nowhere: Any = Nowhere()
    storage: Any = SimulatedStorage(disk, clock, Random(1), 0.0, 0.0)
    settings = Settings.scaled(5)
    return Raft(
        ME.id,
        ME.address,
        settings,
        clock=clock,
        rng=Random(1),
        storage=storage,
        sender=nowhere,
        state_machine=nowhere,
    )


def settle(clock: Clock) -> None:
    for _ in range(20):
        clock.advance(SOON_S / 20)


def begun(clock: Clock, disk: Disk, *servers: Server) -> Raft:
    raft = server(clock, disk)
    raft.start()
    raft.bootstrap(Configuration.of(servers))
    settle(clock)
    return raft


def test_it_leads_at_once_when_it_begins() -> None:
    assert begun(Clock(), Disk(), ME).role is Role.LEADER


def test_it_leads_at_once_when_it_restarts() -> None:
    """Whether the configuration in its log is committed is not known yet then."""
    clock, disk = Clock(), Disk()
    begun(clock, disk, ME).stop()

    raft = server(clock, disk)
    raft.start()
    settle(clock)

    assert raft.role is Role.LEADER


def test_one_of_two_waits_for_a_leader() -> None:
    assert begun(Clock(), Disk(), ME, OTHER).role is Role.FOLLOWER


@pytest.mark.parametrize(("servers", "line"), [((), "no known peers"), ((ME, OTHER), "heartbeat timeout reached")])
def test_the_first_election_of_a_quorum_is_no_warning(servers: tuple[Server, ...], line: str) -> None:
    """Each quorum begins with it: nobody led before."""
    clock, said = Clock(), list[str]()
    raft = server(clock, Disk())
    raft.observer.say = lambda level, text: said.append(f"{level}: {text}")  # type: ignore[method-assign]
    raft.start()
    if servers:
        raft.bootstrap(Configuration.of(servers))
    for _ in range(20):
        clock.advance(1)

    assert said[0].startswith(f"info: {line}")
    assert not any(text.startswith("warn") for text in said)


def restored(raft: Raft) -> tuple[list[int], list[Any]]:
    """Indexes of states that were taken, and what was said about the restore that is begun."""
    taken: list[int] = []
    told: list[Any] = []
    raft.state_machine.restore = lambda _state, index: taken.append(index)  # type: ignore[method-assign]
    raft.snapshots.restore(object(), told.append, 7)
    return taken, told


def test_it_restores_a_state_at_an_index_beyond_all() -> None:
    clock = Clock()
    raft = begun(clock, Disk(), ME)
    taken, told = restored(raft)
    settle(clock)
    assert (taken, told) == ([8], [None])


def test_a_leader_that_is_cut_off_restores_nothing() -> None:
    """It would never take again what the others commit meanwhile, at the index that it gave to the restored state."""
    clock = Clock()
    raft = begun(clock, Disk(), ME)
    reachable, stored = [True], [0]

    def call(_server: Server, request: Any, answered: Any) -> None:
        """As a follower that has `stored` entries."""
        reply = AppendEntriesReply(last_log=stored[0], term=request.term, no_retry_backoff=True)
        if request.prev_log_entry <= stored[0]:
            reply.success = True
            stored[0] = max(stored[0], request.prev_log_entry + len(request.entries or []))
        if reachable[0]:
            clock.callLater(0, answered, reply)

    raft.sender.call = call  # type: ignore[method-assign]
    assert raft.leadership is not None
    raft.leadership.change_configuration(lambda _: Configuration.of([ME, OTHER]), lambda _: None)
    settle(clock)
    assert raft.configurations.is_stable
    reachable[0] = False
    taken, told = restored(raft)
    for _ in range(60):
        clock.advance(SOON_S)
    assert raft.role is not Role.LEADER
    assert taken == []
    assert [type(each) for each in told] == [NotLeader]
