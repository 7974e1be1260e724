"""Timers that do not follow the wall clock: somebody may set it while the agent runs.

Twisted's reactor times its calls by `reactor.seconds`, which is `time.time` by default. Timers, timeouts and durations
go by the reactor's time, made monotonic here; `wall_s` is for what people read, what Consul's formats hold, and what
must mean the same after a restart.
"""

import time
from typing import Any


def wall_s() -> float:
    """Seconds since 1970."""
    return time.time()  # noqa: TID251 - the one place where the wall clock is read


def monotonic_s() -> float:
    """Seconds since some moment in the past; only differences mean anything."""
    return time.monotonic()  # noqa: TID251 - the one place where the monotonic clock is read


def use_monotonic_time(reactor: Any) -> None:
    """Have a Twisted reactor time its calls by the monotonic clock from now on; calls that wait keep their delay.

    `callLater`, `runUntilCurrent` and `timeout` of `twisted.internet.base.ReactorBase` read `self.seconds` each time,
    and each `DelayedCall` has its own. What is no such reactor (a `Clock` of a test) stays as it is.
    """
    if not hasattr(reactor, "getDelayedCalls") or not hasattr(reactor, "runUntilCurrent"):
        return
    before = reactor.seconds
    if before is monotonic_s:
        return
    waiting = [(call, max(call.getTime() - before(), 0.0)) for call in reactor.getDelayedCalls()]
    reactor.seconds = monotonic_s
    for call, delay_s in waiting:
        call.seconds = monotonic_s
        call.reset(delay_s)
