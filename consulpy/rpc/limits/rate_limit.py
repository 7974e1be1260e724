"""How many calls an agent may make to servers: a bucket that fills at a rate and holds a burst.

Consul's `limits.rpc_rate` and `rpc_max_burst`; a call too many fails with its text (and 429 over HTTP).
"""

from typing import Final

from consulpy.clock import Clock
from consulpy.errors import RPCError

TOO_MANY: Final = "RPC rate limit exceeded"


class RateLimiter:
    """`rate`: calls a second, less than 0 for any number. `burst`: how many may come at once."""

    def __init__(self, clock: Clock, rate: float = -1.0, burst: int = 1000) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = float(max(burst, 1))
        self._left = self._burst
        self._filled_s = clock.seconds()
        #: Calls that were refused.
        self.exceeded = 0

    def take(self) -> None:
        """One call. Raises `RPCError` when there were too many."""
        if self._rate < 0:
            return
        now_s = self._clock.seconds()
        self._left = min(self._burst, self._left + (now_s - self._filled_s) * self._rate)
        self._filled_s = now_s
        if self._left < 1.0:
            self.exceeded += 1
            raise RPCError(TOO_MANY)
        self._left -= 1.0
