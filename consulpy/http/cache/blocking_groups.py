"""Blocking queries that wait in groups: all that ask the same differ only in the index that they know.

A group asks once, like a reader without an index, and notes what the answer depends on. A change of that makes it ask
again, once for all; whoever knows less is sent the very bytes. So a watcher that waits costs its connection and a few
hundred bytes, and thousands wake for the price of one answer and their writes. Everything else about a blocking query
is as in `consulpy.rpc.blocking`: limits of the wait, jitter, the answer after a restored snapshot.

What is not surely a read of the store, and whatever must be seen on its own way (the debug log), goes the plain way.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from consulpy.errors import BadRequest
from consulpy.http.api.large_body import Parts
from consulpy.http.api.params import index_and_wait
from consulpy.http.api.routing import BadQuery, Query
from consulpy.http.cache.response_cache import CACHEABLE_PARAMETERS, HEAD_MAX_BYTES, PROTOCOL, RouteMetrics, store_route
from consulpy.http.errors import HEADERS_MAX_BYTES
from consulpy.http.fast_path import Serve, parse_request
from consulpy.rpc.blocking import wait_s
from consulpy.rpc.server import DependencySet
from consulpy.structs.options import QueryOptions

if TYPE_CHECKING:
    from consulpy.clock import Clock, Timer
    from consulpy.rpc.server import Server
    from consulpy.state.watch import Watch as Watch

#: Groups that nobody waits in, kept for the next who asks the same; and of all together.
IDLE_GROUPS_MAX: Final = 1024
GROUPS_MAX: Final = 16 * 1024
#: Who is answered in one turn; the others in the next, after whatever else there is to do.
BATCH: Final = 200
#: Bytes that a client may send behind a request before that is answered.
PIPELINED_MAX_BYTES: Final = HEADERS_MAX_BYTES
_PARAMETERS: Final = CACHEABLE_PARAMETERS | {"index", "wait"}
_INDEX: Final = b"\r\nX-Consul-Index: "


class Connection(Protocol):
    """A connection whose request may wait."""

    def respond(self, response: bytes, pipelined: bytes, closes: bool) -> None:
        """The whole response, what came behind the request, and whether the connection ends."""

    def fall_back(self, data: bytes) -> None:
        """The request, and what came behind it, has to go through Twisted after all."""


@dataclass(slots=True)
class BlockingRead:
    """A whole request that waits: `head` as it came, `plain` without its index and wait."""

    head: bytes
    plain: bytes
    route: str
    options: QueryOptions
    closes: bool


class BlockedRequest:
    """One who waits. `leave` when the connection is lost."""

    __slots__ = ("began_s", "connection", "group", "head", "index", "pipelined")

    def __init__(self, connection: Connection, group: "_QueryGroup", head: bytes, index: int, began_s: float) -> None:
        self.connection: Connection | None = connection
        self.group = group
        self.head = head
        self.index = index
        self.began_s = began_s
        #: What came behind the request.
        self.pipelined = b""

    def hold(self, data: bytes) -> bool:
        """Keep what came behind the request; False if that is more than `PIPELINED_MAX_BYTES`."""
        self.pipelined += data
        return len(self.pipelined) <= PIPELINED_MAX_BYTES

    def leave(self) -> None:
        """Wait no more."""
        if self.connection is not None:
            self.connection = None
            self.group.left(self)


class BlockingQueryGroups:
    """The groups of a server's HTTP API.

    `serve`: the endpoints, for plain requests. `debugging()`: whether a line is logged for each request.
    """

    def __init__(
        self,
        server: "Server",
        clock: "Clock",
        serve: Serve,
        tallies: RouteMetrics,
        debugging: Callable[[], bool],
    ) -> None:
        self._serve = serve
        self.server = server
        self.clock = clock
        self._tallies = tallies
        self._debugging = debugging
        self._groups: dict[bytes, _QueryGroup] = {}
        self._idle: OrderedDict[bytes, None] = OrderedDict()
        #: Tell those apart whose time ends together.
        self.numbers = count()

    def __len__(self) -> int:
        return len(self._groups)

    def match(self, head: bytes) -> BlockingRead | None:
        """`head` as a request that may wait in a group; None for anything else. Changes nothing."""
        if not self.server.is_leader or len(head) > HEAD_MAX_BYTES or self._debugging():
            return None
        asked = _blocking(head)
        if asked is None:
            return None
        plain, route, options = asked
        group = self._groups.get(plain)
        if group is not None:
            return BlockingRead(head, plain, route, options, group.closes)
        request = parse_request(plain)
        if request is None or len(self._groups) >= GROUPS_MAX:
            return None
        return BlockingRead(head, plain, route, options, request.closes)

    def join(self, connection: Connection, read: BlockingRead) -> BlockedRequest:
        """Have a request wait that `match` found just now."""
        server, plain = self.server, read.plain
        group = self._groups.get(plain)
        if group is None:
            group = self._groups[plain] = _QueryGroup(self, plain, read.closes, self._tallies.of(read.route))
        self._idle.pop(plain, None)
        server.calls += 1
        server.waiting += 1
        waiting = BlockedRequest(connection, group, read.head, read.options.min_query_index, self.clock.seconds())
        group.take(waiting, wait_s(read.options.max_query_time, server.rng, server.waits))
        return waiting

    def render(self, plain: bytes) -> tuple[bytes, DependencySet]:
        """The answer to a request that doesn't wait, empty if it isn't there at once; and what it depends on."""
        request, ear, noted = parse_request(plain), _ResponseCapture(), DependencySet()
        assert request is not None, "groups are of plain requests"
        request.is_inner = True
        self.server.noting = noted
        try:
            request.begin(ear, self._serve)
        finally:
            self.server.noting = None
        if not ear.heard:
            request.leave()
        return ear.heard, noted

    def rest(self, group: "_QueryGroup") -> None:
        """Nobody waits in a group any more."""
        self._idle[group.plain] = None
        if len(self._idle) > IDLE_GROUPS_MAX:
            self.drop(self._groups[next(iter(self._idle))])

    def drop(self, group: "_QueryGroup") -> None:
        """Forget a group that nobody waits in."""
        self._idle.pop(group.plain, None)
        self._groups.pop(group.plain, None)
        group.end()

    def close(self) -> None:
        """Forget all groups; who waits is not answered."""
        for group in list(self._groups.values()):
            group.end()
        self._groups.clear()
        self._idle.clear()


class _QueryGroup:
    """All who ask the same."""

    __slots__ = (
        "_asking",
        "_epoch",
        "_index",
        "_rooms",
        "_tally",
        "_timer",
        "_until",
        "_waiting",
        "_watch",
        "closes",
        "plain",
    )

    def __init__(self, rooms: BlockingQueryGroups, plain: bytes, closes: bool, tally: list[float]) -> None:
        self.plain = plain
        self.closes = closes
        self._rooms = rooms
        self._tally = tally
        self._waiting: dict[BlockedRequest, None] = {}
        #: By the end of their time; some of them wait no more.
        self._until: list[tuple[float, int, BlockedRequest]] = []
        self._timer: Timer | None = None
        #: What the last answer depends on, while that is unchanged; its index, and the state that it was made from.
        self._watch: Watch | None = None
        self._index = 0
        self._epoch: object = rooms.server.store.indexes
        self._asking: Timer | None = None

    def take(self, waiting: BlockedRequest, within_s: float) -> None:
        """One more waits."""
        self._waiting[waiting] = None
        heappush(self._until, (self._rooms.clock.seconds() + within_s, next(self._rooms.numbers), waiting))
        if len(self._until) > 2 * len(self._waiting) + BATCH:
            self._until = sorted(each for each in self._until if each[2] in self._waiting)
        if self._until[0][2] is waiting:
            self._set_timer()
        if self._watch is None or self._index > waiting.index:
            self._ask_soon()

    def left(self, waiting: BlockedRequest) -> None:
        """One went away."""
        if waiting in self._waiting:
            self._remove([waiting])

    def end(self) -> None:
        """Be forgotten."""
        for timer in (self._timer, self._asking):
            if timer is not None and timer.active():
                timer.cancel()
        self._timer = self._asking = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _remove(self, waiting: list[BlockedRequest]) -> None:
        for each in waiting:
            del self._waiting[each]
        self._rooms.server.waiting -= len(waiting)
        if not self._waiting:
            self._until.clear()
            self._set_timer()
            if self._watch is None:
                self._rooms.drop(self)
            else:
                self._rooms.rest(self)

    # -- what wakes it

    def _changed(self) -> None:
        self._watch = None
        if self._waiting:
            self._ask_soon()
        else:
            self._rooms.drop(self)

    def _ask_soon(self) -> None:
        # Not at once: several changes of one turn cost one answer, and the writer does not wait for the readers.
        if self._asking is None:
            self._asking = self._rooms.clock.callLater(0, self._ask)

    def _set_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if self._until:
            left_s = max(self._until[0][0] - self._rooms.clock.seconds(), 0)
            self._timer = self._rooms.clock.callLater(left_s, self._out_of_time)

    def _out_of_time(self) -> None:
        self._timer = None
        now_s = self._rooms.clock.seconds()
        due = []
        while self._until and self._until[0][0] <= now_s:
            waiting = heappop(self._until)[2]
            if waiting in self._waiting:
                due.append(waiting)
        self._set_timer()
        if due:
            self._ask(due)

    # -- asking and answering

    def _ask(self, due: list[BlockedRequest] | None = None) -> None:
        """Ask the store; answer those who know less, and those who are `due`."""
        asking, self._asking = self._asking, None
        if asking is not None and asking.active():
            asking.cancel()
        if not self._waiting:
            return
        answer, noted = self._rooms.render(self.plain)
        store = self._rooms.server.store
        if self._watch is not None:
            self._watch.cancel()
        self._watch = store.watchers.wait(noted, self._changed) if noted.keys else None
        replaced, self._epoch = self._epoch is not store.indexes, store.indexes
        head_end = answer.find(b"\r\n\r\n")
        at = answer.find(_INDEX, 0, head_end) + len(_INDEX)
        is_refused = not answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 "))
        waits = at >= len(_INDEX) and self._watch is not None and not is_refused
        self._index = int(answer[at : answer.index(b"\r\n", at)]) if waits else 0
        if waits and not replaced:
            late = set(due or ())
            woken = [each for each in self._waiting if each.index < self._index or each in late]
        else:
            woken = list(self._waiting)
        if woken:
            self._remove(woken)
            self._send(woken, answer if waits or noted.keys else b"")

    def _send(self, waiting: list[BlockedRequest], answer: bytes) -> None:
        """Answer some now, the others in the next turn. Without an answer they go the plain way."""
        now, later = waiting[:BATCH], waiting[BATCH:]
        end_s = self._rooms.clock.seconds()
        for each in now:
            connection, each.connection = each.connection, None
            if connection is None:
                continue
            if not answer:
                connection.fall_back(each.head + each.pipelined)
                continue
            self._tally[0] += 1
            self._tally[1] += 1000 * (end_s - each.began_s)
            connection.respond(answer, each.pipelined, self.closes)
        if later:
            self._rooms.clock.callLater(0, self._send, later, answer)


class _ResponseCapture:
    """Where the agent's own questions come from."""

    peer = None

    def __init__(self) -> None:
        self.heard = b""

    def response_ready(self, answer: bytes) -> None:
        """The whole answer."""
        self.heard = answer

    def response_in_parts(self, head: bytes, body: Parts) -> None:
        """A large one is never there at once: who waits for it goes the plain way."""


def _blocking(head: bytes) -> tuple[bytes, str, QueryOptions] | None:
    """A request that waits as one that doesn't, its route, and how it waits. None if it is not surely one."""
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
        return None  # a name was spelled with escapes
    options = QueryOptions()
    try:
        index_and_wait(query, options)
    except BadRequest:
        return None
    if not options.min_query_index:
        return None
    plain = f"{path}?{'&'.join(parts)}" if parts else path
    return head.replace(target, plain.encode(), 1), route, options
