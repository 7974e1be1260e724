"""Connections that nothing comes from: each is ended after the same time, with one timer for all of them.

A timer of its own costs a connection more than a whole answer that is kept, and a watcher more memory than waiting.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from consulpy.clock import Clock, Timer


class Connection(Protocol):
    """A connection that rests between two requests."""

    def idled(self) -> None:
        """Nothing came for too long."""


class IdleConnections:
    """`within_s`: how many seconds a connection may rest."""

    def __init__(self, clock: "Clock", within_s: float) -> None:
        self._clock = clock
        self._within_s = within_s
        #: Until when each may rest, the first to end first.
        self._resting: OrderedDict[Connection, float] = OrderedDict()
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._resting)

    def rest(self, connection: Connection) -> None:
        """It begins to rest. It was not resting."""
        self._resting[connection] = self._clock.seconds() + self._within_s
        if self._timer is None:
            self._timer = self._clock.callLater(self._within_s, self._end)

    def stir(self, connection: Connection) -> None:
        """Something came, or it is gone."""
        self._resting.pop(connection, None)

    def _end(self) -> None:
        self._timer = None
        now_s = self._clock.seconds()
        while self._resting:
            connection, until_s = next(iter(self._resting.items()))
            if until_s > now_s:
                self._timer = self._clock.callLater(until_s - now_s, self._end)
                return
            del self._resting[connection]
            connection.idled()

    def close(self) -> None:
        """End nobody any more."""
        self._resting.clear()
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
