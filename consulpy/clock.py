"""The clock that every protocol machine is handed: seconds, and calls later.

A Twisted reactor is one, `twisted.internet.task.Clock` is one, and so is `consulpy.testing.clock.HeapClock` for
clusters of a thousand nodes. Nothing below the entry modules reads time in any other way.
"""

from collections.abc import Callable
from math import inf
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is to be made later (the part of Twisted's `IDelayedCall` that we use)."""

    def cancel(self) -> None:
        """Never make the call. Only allowed while `active()`."""

    def active(self) -> bool:
        """Whether the call is still to be made."""


class Clock(Protocol):
    """Monotonic seconds and timers (the part of Twisted's `IReactorTime` that we use)."""

    def seconds(self) -> float:
        """The time now, in seconds; only differences mean anything."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> Timer:  # noqa: A002
        """Call `callable` after `delay` seconds."""


class Turn:
    """The turn of the reactor that is under way: what it does between two waits for the network.

    `began_s`: when it began, by the reactor's clock; infinite without a watchdog (`agent.process.watchdog`).
    """

    __slots__ = ("began_s",)

    def __init__(self) -> None:
        self.began_s = inf
