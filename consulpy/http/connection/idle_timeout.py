"""Idle timeouts of connections: one timeout for all, and one timer for all of them.

A timer for each would cost a connection more than a cached response, and a watcher more memory than its wait.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from consulpy.clock import Clock, Timer


class Connection(Protocol):
    """A connection between two requests."""

    def timed_out(self) -> None:
        """Nothing came within the timeout."""


class IdleTimeouts:
    """`within_s`: the timeout, in seconds."""

    def __init__(self, clock: "Clock", within_s: float) -> None:
        self._clock = clock
        self._within_s = within_s
        #: By connection, in the order in which they time out; seconds of the clock.
        self._deadlines: OrderedDict[Connection, float] = OrderedDict()
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def start(self, connection: Connection) -> None:
        """Start the timeout of a connection that has none."""
        self._deadlines[connection] = self._clock.seconds() + self._within_s
        if self._timer is None:
            self._timer = self._clock.callLater(self._within_s, self._end)

    def cancel(self, connection: Connection) -> None:
        """End its timeout, if it has one."""
        self._deadlines.pop(connection, None)

    def _end(self) -> None:
        self._timer = None
        now_s = self._clock.seconds()
        while self._deadlines:
            connection, until_s = next(iter(self._deadlines.items()))
            if until_s > now_s:
                self._timer = self._clock.callLater(until_s - now_s, self._end)
                return
            del self._deadlines[connection]
            connection.timed_out()

    def close(self) -> None:
        """Cancel all."""
        self._deadlines.clear()
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
