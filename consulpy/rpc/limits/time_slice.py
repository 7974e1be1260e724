"""Time slices: limits how long one connection, or one change, occupies the reactor.

A client may send hundreds of expensive reads in one segment, and one change may wake thousands of blocking queries. A
real server serves each in a goroutine; here they would run one after the other while all other clients wait. So a
connection has a slice of time for the calls of one segment; the rest, and all woken queries, run in later turns of the
reactor, a slice in each, in order.
"""

from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock

#: Time of one connection, or of all woken queries, in one turn, in seconds.
SLICE_S: Final = 0.01


class TimeSlicer:
    """The calls of one connection, or of all woken queries.

    `seconds()`: the time; `later(call)`: calls in the next turn.
    """

    def __init__(
        self, seconds: Callable[[], float], later: Callable[[Callable[[], None]], object], slice_s: float = SLICE_S
    ) -> None:
        self._seconds = seconds
        self._later = later
        self._slice_s = slice_s
        self._ends_s = 0.0
        self._is_scheduled = False
        self._queue: dict[object, Callable[[], None]] = {}

    def __len__(self) -> int:
        """Number of queued calls."""
        return len(self._queue)

    def begin(self) -> None:
        """Start a slice after input, unless calls are queued."""
        if not self._queue:
            self._ends_s = self._seconds() + self._slice_s

    def submit(self, key: object, call: Callable[[], None]) -> None:
        """Run `call` at once or in a later turn; one call for each `key` is queued."""
        if not self._queue and self._seconds() < self._ends_s:
            call()
        else:
            self.defer(key, call)

    def defer(self, key: object, call: Callable[[], None]) -> None:
        """Run `call` in a later turn; one call for each `key` is queued."""
        self._queue[key] = call
        self._schedule()

    def cancel(self, key: object) -> None:
        """Remove the queued call of `key`."""
        self._queue.pop(key, None)

    def _schedule(self) -> None:
        if self._queue and not self._is_scheduled:
            self._is_scheduled = True
            self._later(self._next)

    def _next(self) -> None:
        self._ends_s = self._seconds() + self._slice_s
        try:
            while self._queue:
                self._queue.pop(next(iter(self._queue)))()
                if self._seconds() >= self._ends_s:
                    break
        finally:
            self._is_scheduled = False
            self._schedule()


def slicer_on(clock: Clock) -> TimeSlicer:
    """A slicer on a clock, whose next turn is that of its calls that are due."""
    return TimeSlicer(clock.seconds, lambda call: clock.callLater(0, call))
