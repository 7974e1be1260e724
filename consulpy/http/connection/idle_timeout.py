"""Idle timeouts of connections, all with one duration and one timer.

A timer for each connection would cost more time than a cached response, and more memory than a blocked request.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from consulpy.clock import cancel_timer

if TYPE_CHECKING:
    from consulpy.clock import Clock, Timer


class Connection(Protocol):
    """An idle connection."""

    def timed_out(self) -> None:
        """The timeout has passed."""


class IdleTimeouts:
    """Idle timeouts of a listener. `within_s`: the timeout, in seconds."""

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
            self._timer = self._clock.callLater(self._within_s, self._timer_fired)

    def cancel(self, connection: Connection) -> None:
        """Cancel the timeout of a connection, if it has one."""
        self._deadlines.pop(connection, None)

    def _timer_fired(self) -> None:
        self._timer = None
        now_s = self._clock.seconds()
        while self._deadlines:
            connection, until_s = next(iter(self._deadlines.items()))
            if until_s > now_s:
                self._timer = self._clock.callLater(until_s - now_s, self._timer_fired)
                return
            del self._deadlines[connection]
            connection.timed_out()

    def close(self) -> None:
        """Cancel all."""
        self._deadlines.clear()
        cancel_timer(self._timer)
        self._timer = None
