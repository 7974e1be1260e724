"""Queries of the local member that wait for acks and responses.

Source: docs/wire/gossip.md 6.5.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from consulpy.clock import Clock
from consulpy.serf.config import SerfConfig
from consulpy.serf.messages import FLAG_ACK, QueryMessage, QueryResponseMessage
from consulpy.serf.query import PendingQuery, QueryParams, QueryResult

#: Maximum queries pending at the same time.
PENDING_LIMIT: Final = 4096


class PendingQueries:
    """Pending queries by Lamport time and id."""

    def __init__(self, config: SerfConfig, clock: Clock, rng: Random) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._pending: dict[tuple[int, int], PendingQuery] = {}

    def prepare(
        self,
        ltime: int,
        address: tuple[bytes, int],
        local_name: str,
        name: str,
        payload: bytes,
        params: QueryParams,
        timeout_s: float,
    ) -> QueryMessage:
        """Create the message of a query. Raises `ValueError` if it is too large, or too many are pending."""
        message = QueryMessage(
            ltime=ltime,
            id=self._rng.getrandbits(31),
            addr=address[0],
            port=address[1],
            source_node=local_name,
            filters=params.filters(),
            flags=FLAG_ACK if params.request_ack else 0,
            relay_factor=params.relay_factor,
            timeout=round(timeout_s * 1e9),
            name=name,
            payload=payload or None,
        )
        limit = self._config.query_size_limit_bytes
        if len(message.encode()) > limit:
            raise ValueError(f"query exceeds limit of {limit} bytes")
        return message

    def add(
        self,
        query: QueryMessage,
        capacity: int,
        on_response: Callable[[str, bytes], None] | None,
        on_ack: Callable[[str], None] | None,
        done: Callable[[QueryResult], None] | None,
    ) -> PendingQuery:
        """Add a query; at most `capacity` responses are accepted, until its timeout."""
        if len(self._pending) >= PENDING_LIMIT:
            raise ValueError(f"{PENDING_LIMIT} queries are waiting for answers already")
        key = (query.ltime, query.id)

        def finished(result: QueryResult) -> None:
            self._pending.pop(key, None)
            if done is not None:
                done(result)

        pending = PendingQuery(query.ltime, query.id, capacity, on_response, on_ack, finished)
        self._pending[key] = pending
        pending.timer = self._clock.callLater(query.timeout / 1e9, pending.finish)
        return pending

    def receive(self, response: QueryResponseMessage) -> None:
        """Handle an ack or a response; one to no pending query is dropped."""
        pending = self._pending.get((response.ltime, response.id))
        if pending is None:
            return
        if response.is_ack:
            pending.ack(response.from_)
        else:
            pending.response(response.from_, response.payload or b"")

    def close(self) -> None:
        """Finish all pending queries."""
        for pending in list(self._pending.values()):
            pending.finish()
