"""Groups of blocking queries: all requests that differ only in the index and wait that they bring.

A group computes one response without an index, like a read that does not block, and watches its dependencies. A change
computes it again, once for all; every request with a smaller index gets the same bytes. So a client that waits costs
its connection and a few hundred bytes, and thousands are woken for the price of one response and their writes.
Everything else of a blocking query is as in `consulpy.rpc.blocking`: limits of the wait, jitter, the response after a
restored snapshot.

Requests that are not certainly reads of the store, and all while requests are logged, take the full path.
"""

from collections import OrderedDict
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from consulpy.clock import cancel_timer
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import BadRequest
from consulpy.http.api.params import index_and_wait
from consulpy.http.api.routing import BadQuery, Query
from consulpy.http.cache.group_request import GroupRequest
from consulpy.http.cache.response_cache import CACHEABLE_PARAMETERS, HEAD_MAX_BYTES, PROTOCOL, RouteMetrics, store_route
from consulpy.http.fast_path import Serve, parse_request
from consulpy.rpc.blocking import wait_s
from consulpy.structs.options import QueryOptions

if TYPE_CHECKING:
    from consulpy.clock import Clock, Timer
    from consulpy.rpc.server import Server
    from consulpy.state.watch import Watch as Watch

#: Groups without requests that are kept for the next one, and groups in all; above it requests take the full path.
IDLE_GROUPS_MAX: Final = 1024
GROUPS_MAX: Final = 16 * 1024
#: Responses that are written in one turn of the reactor; the others follow in the next turns.
BATCH: Final = 200
#: Bytes that a client may send behind a request before its response; more abort the connection.
PIPELINED_MAX_BYTES: Final = 64 * 1024
_PARAMETERS: Final = CACHEABLE_PARAMETERS | {"index", "wait"}
_INDEX: Final = b"\r\nX-Consul-Index: "


class Connection(Protocol):
    """A connection with a blocked request."""

    def respond(self, response: bytes, pipelined: bytes, closes: bool) -> None:
        """Write the whole response. `pipelined`: bytes behind the request; `closes`: the connection ends."""

    def fall_back(self, data: bytes) -> None:
        """Have Twisted serve the request and the bytes behind it, `data`."""


@dataclass(slots=True)
class BlockingRead:
    """A whole blocking query: `head` as it came, `key` without its index and wait."""

    head: bytes
    key: bytes
    route: str
    options: QueryOptions
    closes: bool


class BlockedRequest:
    """A request that waits in a group; `cancel` it when its connection is lost."""

    __slots__ = ("began_s", "connection", "group", "head", "index", "pipelined")

    def __init__(self, connection: Connection, group: "_QueryGroup", head: bytes, index: int, began_s: float) -> None:
        self.connection: Connection | None = connection
        self.group = group
        self.head = head
        self.index = index
        self.began_s = began_s
        #: Bytes behind the request.
        self.pipelined = b""

    def hold(self, data: bytes) -> bool:
        """Buffer bytes behind the request; False above `PIPELINED_MAX_BYTES`."""
        self.pipelined += data
        return len(self.pipelined) <= PIPELINED_MAX_BYTES

    def cancel(self) -> None:
        """Leave the group; there is no response."""
        if self.connection is not None:
            self.connection = None
            self.group.cancelled(self)


class BlockingQueryGroups:
    """The groups of a server's HTTP API.

    `serve`: the endpoints of the fast path. `debugging()`: whether each request is logged; then nothing is grouped.
    """

    def __init__(
        self,
        server: "Server",
        clock: "Clock",
        serve: Serve,
        metrics: RouteMetrics,
        debugging: Callable[[], bool],
    ) -> None:
        self._serve = serve
        self.server = server
        self.clock = clock
        self._metrics = metrics
        self._debugging = debugging
        self._groups: dict[bytes, _QueryGroup] = {}
        self._idle: OrderedDict[bytes, None] = OrderedDict()
        #: Order of requests with the same deadline.
        self.numbers = count()

    def __len__(self) -> int:
        return len(self._groups)

    def match(self, head: bytes) -> BlockingRead | None:
        """`head` as a blocking query that a group can serve; None for any other request. Changes nothing."""
        if not self.server.is_leader or len(head) > HEAD_MAX_BYTES or self._debugging():
            return None
        if self.server.request_limits is not None:
            return None  # each request counts
        parsed = _parse(head)
        if parsed is None:
            return None
        key, route, options = parsed
        group = self._groups.get(key)
        if group is not None:
            return BlockingRead(head, key, route, options, group.closes)
        request = parse_request(key)
        if request is None or len(self._groups) >= GROUPS_MAX:
            return None
        return BlockingRead(head, key, route, options, request.closes)

    def join(self, connection: Connection, read: BlockingRead) -> BlockedRequest:
        """Add a request that `match` returned just now to its group."""
        server, key = self.server, read.key
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _QueryGroup(self, key, read.closes, self._metrics.of(read.route))
        self._idle.pop(key, None)
        server.calls += 1
        server.waiting += 1
        blocked = BlockedRequest(connection, group, read.head, read.options.min_query_index, self.clock.seconds())
        group.add(blocked, wait_s(read.options.max_query_time, server.rng, server.waits))
        return blocked

    def compute(self, key: bytes) -> GroupRequest:
        """Compute the response to the request `key`."""
        request = parse_request(key)
        assert request is not None, "keys are requests of the fast path"
        return GroupRequest(request, self._serve)

    def idle(self, group: "_QueryGroup") -> None:
        """Keep a group whose last request is answered."""
        self._idle[group.key] = None
        if len(self._idle) > IDLE_GROUPS_MAX:
            self.remove(self._groups[next(iter(self._idle))])

    def remove(self, group: "_QueryGroup") -> None:
        """Remove a group without requests."""
        self._idle.pop(group.key, None)
        self._groups.pop(group.key, None)
        group.close()

    def close(self) -> None:
        """Remove all groups; their requests get no response."""
        for group in list(self._groups.values()):
            group.close()
        self._groups.clear()
        self._idle.clear()


class _QueryGroup:
    """Blocked requests with one key."""

    __slots__ = (
        "_blocked",
        "_deadlines",
        "_due",
        "_epoch",
        "_groups",
        "_index",
        "_metrics",
        "_request",
        "_timer",
        "_watch",
        "closes",
        "key",
    )

    def __init__(self, groups: BlockingQueryGroups, key: bytes, closes: bool, metrics: list[float]) -> None:
        self.key = key
        self.closes = closes
        self._groups = groups
        self._metrics = metrics
        self._blocked: dict[BlockedRequest, None] = {}
        #: Heap of (deadline, number, request); some of them are answered already.
        self._deadlines: list[tuple[float, int, BlockedRequest]] = []
        self._timer: Timer | None = None
        #: Watch of the dependencies of the last response, while they are unchanged; its index, and the state it is of.
        self._watch: Watch | None = None
        self._index = 0
        self._epoch: object = groups.server.store.indexes
        #: A response that is not ready yet, and requests that get it though their index is not smaller.
        self._request: GroupRequest | None = None
        self._due: set[BlockedRequest] = set()

    def add(self, blocked: BlockedRequest, within_s: float) -> None:
        """Add a request that is answered within `within_s` seconds."""
        self._blocked[blocked] = None
        heappush(self._deadlines, (self._groups.clock.seconds() + within_s, next(self._groups.numbers), blocked))
        if len(self._deadlines) > 2 * len(self._blocked) + BATCH:
            self._deadlines = sorted(each for each in self._deadlines if each[2] in self._blocked)
        if self._deadlines[0][2] is blocked:
            self._set_timer()
        if self._watch is None or self._index > blocked.index:
            self._schedule()

    def cancelled(self, blocked: BlockedRequest) -> None:
        """Remove a request whose connection is lost."""
        if blocked in self._blocked:
            self._remove([blocked])

    def close(self) -> None:
        """Cancel the timers, the watch and the work."""
        if self._request is not None:
            self._request.cancel()
            self._request = None
        cancel_timer(self._timer)
        self._timer = None
        self._groups.server.woken.cancel(self)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _remove(self, requests: list[BlockedRequest]) -> None:
        for each in requests:
            del self._blocked[each]
        self._groups.server.waiting -= len(requests)
        if not self._blocked:
            self._deadlines.clear()
            self._set_timer()
            if self._watch is None:
                self._groups.remove(self)
            else:
                self._groups.idle(self)

    # -- changes and timeouts

    def _changed(self) -> None:
        self._watch = None
        if self._blocked:
            self._schedule()
        else:
            self._groups.remove(self)

    def _schedule(self) -> None:
        # In a later turn: several changes cost one response, and the writer does not wait for it.
        self._groups.server.woken.defer(self, self._update)

    def _set_timer(self) -> None:
        cancel_timer(self._timer)
        self._timer = None
        if self._deadlines:
            left_s = max(self._deadlines[0][0] - self._groups.clock.seconds(), 0)
            self._timer = self._groups.clock.callLater(left_s, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        now_s = self._groups.clock.seconds()
        due = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            blocked = heappop(self._deadlines)[2]
            if blocked in self._blocked:
                due.append(blocked)
        self._set_timer()
        if due:
            self._update(due)

    # -- responses

    def _update(self, due: list[BlockedRequest] | None = None) -> None:
        """Compute the response; send it to all requests with a smaller index, and to those that are `due`."""
        self._groups.server.woken.cancel(self)
        if not self._blocked:
            return
        self._due.update(due or ())
        if self._request is not None:
            return  # it ends with another `_update` if the response changes meanwhile
        request = self._groups.compute(self.key)
        if self._watch is not None:
            self._watch.cancel()
        keys = request.dependencies.keys
        self._watch = self._groups.server.store.watchers.wait(request.dependencies, self._changed) if keys else None
        if request.response is None and keys:
            self._request, request.on_ready = request, self._ready
        else:
            self._respond(request)

    def _ready(self) -> None:
        """A response that was not ready at once."""
        request, self._request = self._request, None
        assert request is not None
        is_outdated = self._watch is None
        if self._epoch is self._groups.server.store.indexes:  # else it is of the state before a restore
            self._respond(request)
        if is_outdated and self._blocked:
            self._schedule()

    def _respond(self, request: GroupRequest) -> None:
        response, store = request.response or b"", self._groups.server.store
        if request.response is None:
            request.cancel()
        due, self._due = self._due, set()
        replaced, self._epoch = self._epoch is not store.indexes, store.indexes
        head_end = response.find(b"\r\n\r\n")
        at = response.find(_INDEX, 0, head_end) + len(_INDEX)
        is_error = not response.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 "))
        is_watched = bool(request.dependencies.keys)
        waits = at >= len(_INDEX) and is_watched and not is_error
        self._index = int(response[at : response.index(b"\r\n", at)]) if waits else 0
        if not waits and self._watch is not None:  # there is no index for which another request could wait
            self._watch.cancel()
            self._watch = None
        if waits and not replaced:
            ready = [each for each in self._blocked if each.index < self._index or each in due]
        else:
            ready = list(self._blocked)
        if ready:
            self._remove(ready)
            self._send(ready, response if is_watched else b"")

    def _send(self, requests: list[BlockedRequest], response: bytes) -> None:
        """Respond to `BATCH` requests now, to the others in the next turns. Empty: they fall back to the full path."""
        now, later = requests[:BATCH], requests[BATCH:]
        end_s = self._groups.clock.seconds()
        for each in now:
            connection, each.connection = each.connection, None
            if connection is None:
                continue
            if not response:
                connection.fall_back(each.head + each.pipelined)
                continue
            self._metrics[0] += 1
            self._metrics[1] += 1000 * (end_s - each.began_s)
            connection.respond(response, each.pipelined, self.closes)
        if later:
            self._groups.clock.callLater(0, self._send, later, response)


def _parse(head: bytes) -> tuple[bytes, str, QueryOptions] | None:
    """The group key of a blocking query, its route and options; None for any other request."""
    try:
        _, target, rest = head.split(b" ", 2)
        path, _, parameters = target.decode("ascii").partition("?")
        query = Query(parameters)
    except (ValueError, BadQuery):
        return None
    route = store_route(path)
    names = query.first().keys()
    if route is None or "index" not in names or not names <= _PARAMETERS or not rest.startswith(PROTOCOL):
        return None
    parts = [part for part in parameters.split("&") if part.partition("=")[0] not in ("index", "wait")]
    if len(parts) != sum(len(query.all(name)) for name in names - {"index", "wait"}):
        return None  # an escaped name
    options = QueryOptions()
    try:
        index_and_wait(query, options)
    except BadRequest:
        return None
    if not options.min_query_index:
        return None
    target_of_key = f"{path}?{'&'.join(parts)}" if parts else path
    return head.replace(target, target_of_key.encode(), 1), route, options
