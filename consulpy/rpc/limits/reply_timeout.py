"""`limits.rpc_client_timeout`: how long the reply of another server may take (Consul 1.12)."""

from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.clock import Clock
from consulpy.codec.record import Record
from consulpy.rpc.limits.deadlines import Deadlines

#: A blocking query may wait longer than it asks for, up to this fraction of its wait.
_JITTER_FRACTION: Final = 16


class ReplyTimeout:
    """Limits the time of replies.

    `timeout_s`: seconds that a reply may take beside the wait of a blocking query (0: any time); may be changed at any
    time. `hold_timeout_s`: added, as the other server may hold the call so long while there is no leader. `max_wait_s`:
    the wait of a blocking query that asks for no time, and the longest.
    """

    def __init__(self, clock: Clock, timeout_s: float, hold_timeout_s: float, max_wait_s: float) -> None:
        self.timeout_s = timeout_s
        self._hold_timeout_s = hold_timeout_s
        self._max_wait_s = max_wait_s
        self._deadlines = Deadlines(clock)

    def limit(self, reply: "Deferred[Any]", request: Record) -> "Deferred[Any]":
        """`reply` to `request`, failing with `RPCError` once it takes too long."""
        if not self.timeout_s or reply.called:
            return reply
        options = getattr(request, "options", None)
        wait_s = 0.0
        if options is not None and options.min_query_index:
            wait_s = min(options.max_query_time / 1e9, self._max_wait_s) or self._max_wait_s
            wait_s += wait_s / _JITTER_FRACTION
        return self._deadlines.limit(reply, self.timeout_s + self._hold_timeout_s + wait_s)

    def close(self) -> None:
        """Stop the timer."""
        self._deadlines.close()
