"""Deadlines of calls, with one timer for all: a timer for each call would cost a tenth of a call."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.errors import RPCError


class Deadlines:
    """Cancels replies that take too long. Their error has Consul's text."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Seconds of the clock at which a reply is cancelled.
        self._at: dict[Deferred[Any], float] = {}
        self._timer: Timer | None = None
        self._timer_s = 0.0

    def limit(self, reply: "Deferred[Any]", within_s: float) -> "Deferred[Any]":
        """`reply`, failing with `RPCError` unless it comes within that many seconds."""
        at_s = self._at[reply] = self._clock.seconds() + within_s
        if self._timer is None or at_s < self._timer_s:
            self._start(at_s)
        return reply.addBoth(self._ended, reply)

    def _ended(self, result: Any, reply: "Deferred[Any]") -> Any:
        if self._at.pop(reply, None) is None and isinstance(result, Failure) and result.check(CancelledError):
            raise RPCError("rpc error making call: i/o deadline reached")
        return result

    def _start(self, at_s: float) -> None:
        self.close()
        self._timer_s = at_s
        self._timer = self._clock.callLater(max(at_s - self._clock.seconds(), 0.0), self._fired)

    def _fired(self) -> None:
        self._timer = None
        now_s = self._clock.seconds()
        for reply in [reply for reply, at_s in self._at.items() if at_s <= now_s]:
            self._at.pop(reply, None)
            reply.cancel()
        if self._at:
            self._start(min(self._at.values()))

    def close(self) -> None:
        """Stop the timer."""
        cancel_timer(self._timer)
        self._timer = None
