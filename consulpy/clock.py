"""The clock interface of all protocol machines: monotonic seconds and delayed calls.

Implemented by Twisted's reactor, by `twisted.internet.task.Clock`, and by `HeapClock` of
`consulpy.testing.simulation.clock` for clusters of a thousand nodes. Only entry modules read time in any other way.
"""

from collections.abc import Callable
from math import inf
from typing import Any, Protocol

from twisted.internet.defer import Deferred


class Timer(Protocol):
    """A delayed call (the part of Twisted's `IDelayedCall` that is used)."""

    def cancel(self) -> None:
        """Cancel the call. Only allowed while `active()`."""

    def active(self) -> bool:
        """Whether the call is pending."""


class Clock(Protocol):
    """Monotonic seconds and delayed calls (the part of Twisted's `IReactorTime` that is used)."""

    def seconds(self) -> float:
        """The current time in seconds; only differences are meaningful."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> Timer:  # noqa: A002
        """Call `callable` after `delay` seconds."""


def cancel_timer(timer: Timer | None) -> None:
    """Cancel a timer that may be over already, or was never started (None)."""
    if timer is not None and timer.active():
        timer.cancel()


def pause(clock: Clock, seconds: float) -> "Deferred[None]":
    """Fires after `seconds`; 0: in the next turn of the reactor. May be cancelled."""
    done: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = clock.callLater(seconds, done.callback, None)
    return done


class Turn:
    """The current reactor turn: the work between two waits for the network.

    `began_s`: its start, by the reactor's clock; infinite without a watchdog (`agent.process.watchdog`).
    """

    __slots__ = ("began_s",)

    def __init__(self) -> None:
        self.began_s = inf
