"""A leader sets the CA up before it leads, leads without one if that fails, and removes old roots."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from consulpy.errors import RPCError
from consulpy.leader.connect import PRUNE_S, RETRY_S, ConnectTasks


class FakeAuthority:
    def __init__(self) -> None:
        self.error: RPCError | None = None
        self.prune_error: RPCError | None = None
        self.calls: list[str] = []
        self.followed: Deferred[None] = Deferred()

    async def initialize(self) -> None:
        self.calls.append("initialize")
        if self.error is not None:
            raise self.error

    async def follow(self) -> None:
        self.calls.append("follow")
        await self.followed

    async def prune(self) -> None:
        self.calls.append("prune")
        if self.prune_error is not None:
            raise self.prune_error

    async def rotate_on_schedule(self) -> None:
        self.calls.append("rotate")


class Laboratory:
    def __init__(self, error: RPCError | None = None) -> None:
        self.clock = Clock()
        self.authority = FakeAuthority()
        self.authority.error = error
        self.said: list[tuple[str, str]] = []
        authority: Any = self.authority
        self.tasks = ConnectTasks(authority, self.clock, lambda level, text: self.said.append((level, text)))
        self.done = 0

    def begin(self) -> None:
        self.tasks.initialize(self.led)
        self.tasks.start()

    def led(self) -> None:
        self.done += 1


def test_the_leader_waits_for_its_ca_and_then_looks_for_old_roots_each_hour() -> None:
    lab = Laboratory()
    lab.begin()
    assert lab.done == 1
    lab.clock.advance(PRUNE_S)
    lab.clock.advance(PRUNE_S)
    assert lab.authority.calls == ["initialize", "follow", "prune", "rotate", "prune", "rotate"]


def test_roots_that_stay_listed_do_not_keep_the_ca_from_being_rotated() -> None:
    lab = Laboratory()
    lab.authority.prune_error = RPCError("could not atomically update roots and config")
    lab.begin()
    lab.clock.advance(PRUNE_S)
    assert lab.authority.calls[-1] == "rotate"
    assert [level for level, _ in lab.said] == ["warn"]


def test_a_leader_without_a_ca_is_better_than_none() -> None:
    """Real Consul has no leader then."""
    lab = Laboratory(RPCError("leaf cert TTL must be greater or equal than 1h0m0s"))
    lab.begin()
    assert lab.done == 1
    assert lab.said[0][0] == "error"
    assert "leaf cert TTL" in lab.said[0][1]
    lab.authority.error = None
    lab.clock.advance(RETRY_S)
    assert lab.authority.calls == ["initialize", "follow", "initialize"]
    lab.clock.advance(PRUNE_S)
    assert lab.authority.calls[-2:] == ["prune", "rotate"]


def test_the_end_of_a_term_ends_all() -> None:
    lab = Laboratory()
    lab.begin()
    lab.tasks.stop()
    assert lab.authority.followed.called
    assert not lab.clock.getDelayedCalls()
    assert lab.said == []
