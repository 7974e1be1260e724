"""How long one connection may keep the process busy at a time.

A caller may send hundreds of costly reads in one piece. A real server has a goroutine for each; here they would be made
one after the other while everybody else waits. So each connection has a slice of time for what came in one piece; the
rest is made in later turns of the reactor, a slice in each, in order.
"""

from collections.abc import Callable
from typing import Final

#: Seconds of work for one connection in one turn.
SLICE_S: Final = 0.01


class TimeSlicer:
    """The calls of one connection. `seconds()` is the time, `later(call)` calls in the next turn."""

    def __init__(
        self, seconds: Callable[[], float], later: Callable[[Callable[[], None]], None], slice_s: float = SLICE_S
    ) -> None:
        self._seconds = seconds
        self._later = later
        self._slice_s = slice_s
        self._ends_s = 0.0
        self._is_scheduled = False
        self._waiting: dict[object, Callable[[], None]] = {}

    def __len__(self) -> int:
        """How many wait for another turn."""
        return len(self._waiting)

    def begin(self) -> None:
        """Bytes came: a slice begins, unless there is a queue."""
        if not self._waiting:
            self._ends_s = self._seconds() + self._slice_s

    def enter(self, who: object, go: Callable[[], None]) -> None:
        """Call `go`, at once or in a later turn; `who` waits once at a time."""
        if not self._waiting and self._seconds() < self._ends_s:
            go()
            return
        self._waiting[who] = go
        self._schedule()

    def leave(self, who: object) -> None:
        """`who` does not wait any more."""
        self._waiting.pop(who, None)

    def _schedule(self) -> None:
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            self._later(self._next)

    def _next(self) -> None:
        self._ends_s = self._seconds() + self._slice_s
        try:
            while self._waiting:
                self._waiting.pop(next(iter(self._waiting)))()
                if self._seconds() >= self._ends_s:
                    break
        finally:
            self._is_scheduled = False
            self._schedule()
