"""A reactor whose timers follow the wall clock gets monotonic ones, and no call that waits is lost or early."""

import time
from collections.abc import Iterator

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock

from consulpy.agent.process.monotonic import monotonic_s, use_monotonic_time

WALL_S = 1_795_418_013.5


@pytest.fixture
def reactor() -> Iterator[EPollReactor]:
    """One of its own, by a wall clock that stands still."""
    made = EPollReactor()
    made.seconds = lambda: WALL_S  # type: ignore[method-assign, assignment]
    yield made
    for each in made.removeAll():
        each.connectionLost(None)


def test_calls_that_wait_keep_their_delay_and_order(reactor: EPollReactor) -> None:
    called: list[str] = []
    for delay_s, name in ((0.05, "c"), (0, "a"), (3600, "late"), (0.02, "b")):
        reactor.callLater(delay_s, called.append, name)
        reactor.timeout()  # some wait in the heap, some are new
    moved = reactor.callLater(0.01, called.append, "d")
    moved.reset(0.07)
    reactor.callLater(0, called.append, "cancelled").cancel()
    use_monotonic_time(reactor)
    use_monotonic_time(reactor)
    assert {round(each.getTime() - monotonic_s(), 1) for each in reactor.getDelayedCalls()} == {0.0, 0.1, 3600.0}
    end_s = time.monotonic() + 60
    while len(called) < 4 and time.monotonic() < end_s:
        reactor.runUntilCurrent()
    assert called == ["a", "b", "c", "d"]
    assert 3598 < (reactor.timeout() or 0) <= 3600


def test_new_calls_are_made_by_the_monotonic_clock(reactor: EPollReactor) -> None:
    use_monotonic_time(reactor)
    assert reactor.seconds is monotonic_s
    call = reactor.callLater(10, print)
    assert 9 < call.getTime() - time.monotonic() <= 10
    call.reset(20)
    assert 19 < call.getTime() - time.monotonic() <= 20


def test_a_virtual_clock_stays_as_it_is() -> None:
    clock = Clock()
    use_monotonic_time(clock)
    assert clock.seconds() == 0
