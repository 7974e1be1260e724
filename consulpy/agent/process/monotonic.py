"""Monotonic time for Twisted's reactor, whose `seconds` is `time.time` by default and follows a wall clock that is set.

Timers, timeouts and durations use the reactor's monotonic time; `wall_s` is for texts for people, for Consul's formats
and for times that are read after a restart.
"""

import time
from collections.abc import Callable
from typing import Any, Final

#: Seconds since 1970: the one place where the wall clock is read.
wall_s: Final[Callable[[], float]] = time.time  # noqa: TID251
#: Monotonic seconds; only differences are meaningful. The one place where the monotonic clock is read.
monotonic_s: Final[Callable[[], float]] = time.monotonic  # noqa: TID251


def wall_clock(reactor: Any) -> Callable[[], float]:
    """The wall clock of programs on this reactor: `wall_s`, but for a simulated one, which has its own."""
    return getattr(reactor, "wall_s", wall_s)


def use_monotonic_time(reactor: Any) -> None:
    """Make a Twisted reactor use the monotonic clock; pending calls keep their delay.

    `callLater`, `runUntilCurrent` and `timeout` of `twisted.internet.base.ReactorBase` read `self.seconds` each time,
    and each `DelayedCall` has its own. Other reactors (a `Clock` of a test) are not changed.
    """
    if not hasattr(reactor, "getDelayedCalls") or not hasattr(reactor, "runUntilCurrent"):
        return
    before = reactor.seconds
    if before is monotonic_s:
        return
    pending = [(call, max(call.getTime() - before(), 0.0)) for call in reactor.getDelayedCalls()]
    reactor.seconds = monotonic_s
    for call, delay_s in pending:
        call.seconds = monotonic_s
        call.reset(delay_s)
