"""Limits of signing: a short wait for a turn, then Consul's refusal (docs/wire/connect.md)."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from consulpy.rpc.connect.signing_limits import RateLimited, SigningLimits


class Laboratory:
    def __init__(self) -> None:
        self.clock = Clock()
        self.limits = SigningLimits(self.clock)

    def enter(self, per_second: float = 0, concurrent: int = 0) -> list[Any]:
        """What comes of it: nothing yet, whether to leave, or a failure."""
        found: list[Any] = []
        Deferred.fromCoroutine(self.limits.enter(per_second, concurrent)).addBoth(found.append)
        return found


@pytest.fixture
def lab() -> Laboratory:
    return Laboratory()


def refused(found: list[Any]) -> bool:
    return isinstance(found[0], Failure) and bool(found[0].check(RateLimited))


def test_without_limits_nobody_waits(lab: Laboratory) -> None:
    assert [lab.enter() for _ in range(3)] == [[False]] * 3
    assert lab.enter(per_second=-1, concurrent=-1) == [False]


def test_so_many_in_a_second_and_the_next_ones_wait_for_their_turn(lab: Laboratory) -> None:
    first, second, third, fourth = (lab.enter(per_second=5) for _ in range(4))
    assert (first, second, third) == ([False], [], [])
    assert refused(fourth)  # its turn would come after 0.6 s
    lab.clock.advance(0.2)
    assert second == [False]
    lab.clock.advance(0.2)
    assert third == [False]


def test_another_limit_begins_anew(lab: Laboratory) -> None:
    lab.enter(per_second=0.001)
    assert refused(lab.enter(per_second=0.001))
    assert lab.enter(per_second=0.002) == [False]


def test_so_many_at_a_time_and_the_next_one_waits_until_one_leaves(lab: Laboratory) -> None:
    assert lab.enter(concurrent=1) == [True]
    waiting = lab.enter(concurrent=1)
    assert waiting == []
    lab.limits.leave()
    assert waiting == [True]
    lab.limits.leave()
    assert lab.enter(concurrent=1) == [True]


def test_who_waits_too_long_for_another_is_refused(lab: Laboratory) -> None:
    lab.enter(concurrent=1)
    waiting = lab.enter(concurrent=1)
    lab.clock.advance(0.5)
    assert refused(waiting)
    lab.limits.leave()
    assert lab.enter(concurrent=1) == [True]
