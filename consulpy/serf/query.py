"""Queries: parameters, filters, timeout, and the responses collected.

Source: docs/wire/gossip.md 6.5.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Final

from consulpy.clock import Timer, cancel_timer
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack, pack_map, text, unpack
from consulpy.errors import WireError
from consulpy.gocompat.regexp import BadRegexp, compile_regexp

_FILTER_NODES: Final = 0
_FILTER_TAG: Final = 1


@dataclass(slots=True)
class QueryParams:
    """Filters and options of a query. All filters must match; expressions are searched in the tags' values."""

    filter_nodes: Sequence[str] = ()
    filter_tags: dict[str, str] = field(default_factory=dict)
    request_ack: bool = False
    #: Number of members that relay each response too, against packet loss.
    relay_factor: int = 0
    #: Timeout in seconds; 0: by the size of the cluster.
    timeout_s: float = 0.0

    def filters(self) -> list[bytes] | None:
        """The encoded filters; None if there are none."""
        filters = [bytes((_FILTER_NODES,)) + pack(list(self.filter_nodes))] if self.filter_nodes else []
        filters += [
            bytes((_FILTER_TAG,)) + pack_map({"Tag": tag, "Expr": expression})
            for tag, expression in self.filter_tags.items()
        ]
        return filters or None


@dataclass(slots=True)
class QueryResult:
    """Result of a query."""

    #: Names of members that acked.
    acks: list[str] = field(default_factory=list)
    #: Response payload by member name.
    responses: dict[str, bytes] = field(default_factory=dict)


def default_timeout_s(gossip_interval_s: float, mult: int, alive: int) -> float:
    """Timeout in seconds among `alive` members: enough for the query to reach all and for the responses to return."""
    return gossip_interval_s * mult * math.ceil(math.log10(alive + 1))


def is_for(filters: Sequence[bytes] | None, name: str, tags: dict[str, str]) -> bool:
    """Whether the filters match member `name` with `tags`; malformed ones match no member."""
    return all(_matches(each, name, tags) for each in filters or ())


def _matches(encoded: bytes, name: str, tags: dict[str, str]) -> bool:
    if not encoded:
        return False
    try:
        body = unpack(encoded[1:])
        if encoded[0] == _FILTER_NODES:
            return isinstance(body, list) and name.encode("utf-8", "surrogateescape") in body
        if encoded[0] == _FILTER_TAG and isinstance(body, dict):
            tag, expression = text(body.get(b"Tag") or b""), text(body.get(b"Expr") or b"")
            return compile_regexp(expression).matches(tags.get(tag, ""))
    except (WireError, BadRegexp, AttributeError):
        return False
    return False


class PendingQuery:
    """A query waiting for one ack and one response of each member."""

    def __init__(
        self,
        ltime: int,
        id: int,  # noqa: A002
        capacity: int,
        on_response: Callable[[str, bytes], None] | None,
        on_ack: Callable[[str], None] | None,
        done: Callable[[QueryResult], None] | None,
    ) -> None:
        self.ltime = ltime
        self.id = id
        self.result = QueryResult()
        self.timer: Timer | None = None
        self.finished = False
        self._acked: set[str] = set()
        self._capacity = capacity
        self._on_response = on_response
        self._on_ack = on_ack
        self._done = done

    def ack(self, name: str) -> bool:
        """Record an ack; whether it is new."""
        if self.finished or name in self._acked or len(self._acked) >= self._capacity:
            return False
        self._acked.add(name)
        self.result.acks.append(name)
        if self._on_ack is not None:
            self._on_ack(name)
        return True

    def response(self, name: str, payload: bytes) -> bool:
        """Record a response; whether it is new."""
        if self.finished or name in self.result.responses or len(self.result.responses) >= self._capacity:
            return False
        self.result.responses[name] = payload
        if self._on_response is not None:
            self._on_response(name, payload)
        return True

    def finish(self) -> None:
        """Stop accepting responses and call `done`, once."""
        if self.finished:
            return
        self.finished = True
        cancel_timer(self.timer)
        if self._done is not None:
            self._done(self.result)
