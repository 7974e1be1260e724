"""Limits of signing: certificates in a second, or signed at a time (`CSRMaxPerSecond`, `CSRMaxConcurrent`)."""

from typing import Final

from twisted.internet.defer import Deferred

from consulpy.clock import Clock, cancel_timer, pause
from consulpy.errors import RPCError
from consulpy.structs.connect_ca import RATE_LIMITED

#: How long a request waits for its turn, in seconds.
WAIT_S: Final = 0.5


class RateLimited(RPCError):
    """Raised for a request above the limit."""

    def __init__(self) -> None:
        super().__init__(RATE_LIMITED)


class SigningLimits:
    """Both limits; the one in a second goes before the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rate = 0.0
        self._next_s = 0.0
        self._running = 0
        self._waiting: list[Deferred[None]] = []

    async def enter(self, per_second: float, concurrent: int) -> bool:
        """Wait for a turn; whether `leave` is to be called after it. Raises `RateLimited`."""
        if per_second > 0:
            await self._turn(per_second)
            return False
        if concurrent > 0:
            await self._slot(concurrent)
            return True
        return False

    def leave(self) -> None:
        """End a turn of the limit of concurrent ones."""
        self._running -= 1
        while self._waiting:
            waiting = self._waiting.pop(0)
            if not waiting.called:
                waiting.callback(None)
                return

    async def _turn(self, per_second: float) -> None:
        now_s = self._clock.seconds()
        if per_second != self._rate:
            self._rate, self._next_s = per_second, now_s
        starts_s = max(now_s, self._next_s)
        if starts_s - now_s > WAIT_S:
            raise RateLimited
        self._next_s = starts_s + 1 / per_second
        if starts_s > now_s:
            await pause(self._clock, starts_s - now_s)

    async def _slot(self, concurrent: int) -> None:
        if self._running >= concurrent:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            timer = self._clock.callLater(WAIT_S, lambda: waiting.errback(RateLimited()))
            try:
                await waiting
            finally:
                cancel_timer(timer)
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
        self._running += 1
