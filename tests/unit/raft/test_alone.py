"""A server that is alone in its configuration leads at once, when it begins and when it restarts."""

from random import Random
from typing import Any

from twisted.internet.task import Clock

from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.interfaces import Role, Settings
from consulpy.raft.machine import Raft
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
