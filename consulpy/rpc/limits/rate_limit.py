"""The rate limit of an agent's calls to servers: a token bucket.

Consul's `limits.rpc_rate` and `rpc_max_burst`; a call above it fails with Consul's text (and 429 over HTTP).
"""

from typing import Final

from consulpy.clock import Clock
from consulpy.errors import RPCError

EXCEEDED: Final = "RPC rate limit exceeded"
#: Errors of servers from Consul 1.15 on, before they do anything: another server may take the call; only the leader
#: would, and it has too much to do (429 and 503 over HTTP).
RETRY_ELSEWHERE: Final = "rate limit exceeded, try again later or against a different server"
RETRY_LATER: Final = "rate limit exceeded for operation that can only be performed by the leader, try again later"


def is_limited_by_server(error: str) -> bool:
    """Whether a server refused a call for its rate limit: nothing was done."""
    return RETRY_ELSEWHERE in error or RETRY_LATER in error


class RateLimiter:
    """A token bucket. `rate`: calls per second, negative for no limit. `burst`: size of the bucket."""

    def __init__(self, clock: Clock, rate: float = -1.0, burst: int = 1000) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = float(max(burst, 1))
        self._tokens = self._burst
        self._filled_s = clock.seconds()
        #: Number of refused calls.
        self.exceeded = 0

    def take(self) -> None:
        """Take a token for one call. Raises `RPCError` when the bucket is empty."""
        if not self.allows():
            raise RPCError(EXCEEDED)

    def allows(self) -> bool:
        """Take a token for one call; whether there was one."""
        if self._rate < 0:
            return True
        now_s = self._clock.seconds()
        self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._rate)
        self._filled_s = now_s
        if self._tokens < 1.0:
            self.exceeded += 1
            return False
        self._tokens -= 1.0
        return True
