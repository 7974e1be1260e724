"""`limits.rpc_rate`: a burst at once, then so many a second."""

import pytest

from consulpy.errors import RPCError
from consulpy.rpc.limits.rate_limit import RateLimiter
from consulpy.testing.simulation.clock import HeapClock


def test_a_burst_then_the_rate() -> None:
    clock = HeapClock()
    limit = RateLimiter(clock, rate=2.0, burst=3)
    for _ in range(3):
        limit.take()
    with pytest.raises(RPCError, match="RPC rate limit exceeded"):
        limit.take()
    clock.advance(0.5)
    limit.take()
    with pytest.raises(RPCError):
        limit.take()
    assert limit.exceeded == 2


def test_what_was_not_used_is_not_kept_beyond_a_burst() -> None:
    clock = HeapClock()
    limit = RateLimiter(clock, rate=2.0, burst=1)
    clock.advance(3600.0)
    limit.take()
    with pytest.raises(RPCError):
        limit.take()


def test_less_than_nothing_is_no_limit() -> None:
    limit = RateLimiter(HeapClock())
    for _ in range(5000):
        limit.take()
