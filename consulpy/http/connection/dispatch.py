"""The dispatcher of HTTP bytes: response cache, blocking group, fast path or Twisted, in this order.

It only decides; `protocol` and `channel` carry the decision out. It knows no connection, so its tests are bytes.
"""

from collections.abc import Callable
from time import time  # noqa: TID251 - a response has the date of the wall clock, as Twisted writes it
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.http import fast_path
from consulpy.http.cache.blocking_groups import BlockingQueryGroups, BlockingRead
from consulpy.http.cache.response_cache import CacheFill, ResponseCache
from consulpy.http.fast_path import BEGINS, FastRequest, Serve

#: Cached responses of pipelined requests that are written together, in bytes; the rest takes the full path, which has
#: backpressure.
BATCH_MAX_BYTES: Final = 256 * 1024
_READ: Final = b"GET /v1/"
_HEAD_END: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Cached:
    """Cached responses to one or several requests; `rest`: the bytes behind these requests.

    `closes`: the connection ends with them.
    """

    response: bytes
    rest: bytes
    closes: bool


@dataclass(slots=True)
class Fast:
    """A whole request for the fast path; `fill`: the cache fill of its response."""

    request: FastRequest
    fill: CacheFill | None


@dataclass(slots=True)
class AwaitBody:
    """The whole head of a request that takes the fast path once its body has arrived."""

    head: bytes


@dataclass(slots=True)
class Full:
    """Bytes that Twisted parses; `fill`: the cache fill of its response, if they are one whole request."""

    data: bytes
    fill: CacheFill | None


#: `BlockingRead`: a whole read that waits in a group.
Decision = Cached | BlockingRead | Fast | AwaitBody | Full


class Dispatcher:
    """Decides for all connections of a listener. `cache`, `groups`, `serve` (the fast path): None if there is none.

    `seconds`: clock of the metrics.
    """

    def __init__(
        self,
        cache: ResponseCache | None,
        groups: BlockingQueryGroups | None,
        serve: Serve | None,
        seconds: Callable[[], float],
    ) -> None:
        self.cache = cache
        self.groups = groups
        self.serve = serve
        self._seconds = seconds
        #: Bytes above which Twisted parses a request (`ConnectionLimits.full_path_bytes`); 0: no limit.
        self.full_path_bytes = 0

    def decide(self, data: bytes, *, look_up: bool = True) -> Decision:
        """The decision about `data`, which begins with a request; all requests before it are answered.

        `look_up`: False if the cache was already searched for these bytes.
        """
        if 0 < self.full_path_bytes < len(data):
            return Full(data, None)
        fill = None
        if data.startswith(_READ):
            if self.cache is not None:
                cached = self._cached(self.cache, data) if look_up else None
                if cached is not None:
                    return cached
                if data.find(_HEAD_END) + 4 == len(data):
                    fill = self.cache.begin_fill(data)
            if fill is None and self.groups is not None:
                blocking = self.groups.match(data)
                if blocking is not None:
                    return blocking
        if self.serve is not None and data.startswith(BEGINS):
            request = fast_path.parse_request(data)
            if request is not None:
                if fill is not None:
                    request.dependencies = fill.dependencies
                return Fast(request, fill)
            if fast_path.needs_body(data):
                return AwaitBody(data)
        return Full(data, fill)

    def _cached(self, cache: ResponseCache, data: bytes) -> Cached | None:
        """The cached responses to the first requests of `data`; None if the first one is a miss."""
        if data.find(_HEAD_END) + 4 != len(data):
            return self._cached_batch(cache, data)
        began_s = self._seconds()
        entry = cache.get(data)
        if entry is None:
            return None
        response, metrics = entry.at(int(time())), entry.metrics
        metrics[0] += 1
        metrics[1] += 1000 * (self._seconds() - began_s)
        return Cached(response, b"", entry.closes)

    def _cached_batch(self, cache: ResponseCache, data: bytes) -> Cached | None:
        """The same for pipelined requests, and for one with a part of the next."""
        began_s, second = self._seconds(), int(time())
        responses: list[bytes] = []
        rest, closes, size = data, False, 0
        while rest and not closes and size < BATCH_MAX_BYTES:
            end = rest.find(_HEAD_END) + 4
            if end < 4:
                break
            entry = cache.get(rest[:end])
            if entry is None:
                break
            responses.append(entry.at(second))
            size += len(entry.response)
            metrics = entry.metrics
            metrics[0] += 1
            metrics[1] += 1000 * (self._seconds() - began_s)
            rest, closes = rest[end:], entry.closes
        return Cached(b"".join(responses), rest, closes) if responses else None
