"""The response cache: bytes of a GET request -> bytes of the response that was written for it.

Clients repeat their requests byte for byte, so a hit costs one look-up and one comparison. An entry is the response of
the full or the fast path, byte for byte (but for `Date`, which is renewed). It is valid while nothing it was computed
from changes: reads of the store are watched like blocking queries, everything else has a validator (RFC 9110 8.8).
Responses that depend on more than these, on chance, time or the client, are not cached: only the routes and parameters
listed here are.

A request is cached when it is seen for the second time. Both tables have two generations: a flood of different requests
replaces the young one, while entries that are used meanwhile stay.
"""

from collections.abc import Callable, Hashable, Iterable
from time import time  # noqa: TID251 - a response has the date of the wall clock, as Twisted writes it
from typing import TYPE_CHECKING, Any, Final

from twisted.web.http import datetimeToString

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.http.api.routing import BadQuery, Query
from consulpy.http.cache.token_sharing import TokenSharing, without_token
from consulpy.metrics.registry import Registry, Tally
from consulpy.rpc.cache.tag import NODE, SERVICE
from consulpy.rpc.dependencies import DependencySet
from consulpy.state.watch import Watch

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface
    from consulpy.rpc.server import Server

#: Longest request that is cached, in bytes.
HEAD_MAX_BYTES: Final = 4096
#: Entries of one generation, and their size in bytes; above either a new generation begins.
GENERATION_MAX: Final = 1024
GENERATION_MAX_BYTES: Final = 8 * 1024 * 1024
#: Largest response that is cached, in bytes.
RESPONSE_MAX_BYTES: Final = 2 * 1024 * 1024
#: Requests in one generation of those that were seen once.
SEEN_MAX: Final = 4096

#: End of a request line with a persistent connection.
PROTOCOL: Final = b"HTTP/1.1\r\n"
#: Routes whose responses depend on the store only; one that ends in a slash covers all paths below it.
STORE_ROUTES: Final = (
    "/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/", "/v1/catalog/connect/", "/v1/catalog/node/",
    "/v1/catalog/node-services/", "/v1/health/node/", "/v1/health/checks/", "/v1/health/state/", "/v1/health/service/",
    "/v1/health/connect/", "/v1/kv/", "/v1/internal/ui/nodes", "/v1/internal/ui/node/", "/v1/internal/ui/services",
)  # fmt: skip
#: Those that the agent cache of a client agent can validate: the kind of their cache tag.
_TAG_KINDS: Final = {
    "/v1/catalog/nodes": "",
    "/v1/catalog/services": "",
    "/v1/catalog/service/": SERVICE,
    "/v1/catalog/connect/": SERVICE,
    "/v1/catalog/node/": NODE,
    "/v1/health/node/": NODE,
    "/v1/health/checks/": SERVICE,
    "/v1/health/state/": "",
    "/v1/health/service/": SERVICE,
    "/v1/health/connect/": SERVICE,
}
_MEMBERS: Final = "/v1/agent/members"
_LEADER: Final = "/v1/status/leader"
_PEERS: Final = "/v1/status/peers"
#: Parameters that only select what is read from the store and how it is rendered.
CACHEABLE_PARAMETERS: Final = frozenset(
    {"dc", "stale", "consistent", "passing", "tag", "filter", "raw", "keys", "recurse", "separator", "pretty", "wan"}
)
_DATE: Final = b"\r\nDate: "
_CONTACT: Final = b"\r\nX-Consul-Lastcontact: "
_DATE_SIZE: Final = len("Mon, 23 Nov 2026 10:52:42 GMT")


@dataclass(slots=True)
class CacheFill:
    """A cache fill in progress: request head, route, watched keys, validator and its first value.

    `dependencies`: filled by the reads of the request; None where the validator covers everything.
    """

    head: bytes
    route: str
    dependencies: DependencySet | None
    validator: Callable[[], Hashable]
    first: Hashable
    #: Milliseconds since the last contact with the leader, for a follower's responses; None elsewhere.
    contact_ms: Callable[[], int] | None = None


class _Entry:
    """A cached response without its date and last contact, and the counters that each hit increments."""

    __slots__ = (
        "__weakref__",
        "_after",
        "_before",
        "_between",
        "_contact",
        "_contact_ms",
        "_is_date_first",
        "_second",
        "closes",
        "counts",
        "first",
        "head",
        "metrics",
        "response",
        "size",
        "validator",
        "watch",
    )

    def __init__(self, fill: CacheFill, before: bytes, after: bytes, metrics: list[float]) -> None:
        self.head = fill.head
        self._before, self._between, self._after = before, b"", after
        self._is_date_first = True
        self._contact_ms = fill.contact_ms
        if self._contact_ms is not None:
            self._split_at_contact()
        self._second = self._contact = -1
        self.response = b""
        self.closes = b"\r\nConnection: close\r\n" in before
        self.size = 2 * (len(before) + len(after)) + len(fill.head)
        self.validator, self.first = fill.validator, fill.first
        self.metrics = metrics
        self.counts = fill.dependencies.counts if fill.dependencies is not None else []
        self.watch: Watch | None = None

    def _split_at_contact(self) -> None:
        """Cut the value of the header out of the part that contains it."""
        self._is_date_first = _CONTACT not in self._before
        part = self._after if self._is_date_first else self._before
        at = part.index(_CONTACT) + len(_CONTACT)
        left, right = part[:at], part[part.index(b"\r", at) :]
        if self._is_date_first:
            self._between, self._after = left, right
        else:
            self._before, self._between = left, right

    def at(self, second: int) -> bytes:
        """The response with the date `second`, in seconds since 1970, and the last contact of now."""
        contact_ms = self._contact_ms() if self._contact_ms is not None else 0
        if self._second != second or self._contact != contact_ms:
            self._second, self._contact = second, contact_ms
            date = datetimeToString(second)
            if self._contact_ms is None:
                self.response = self._before + date + self._after
            else:
                values = (date, b"%d" % contact_ms) if self._is_date_first else (b"%d" % contact_ms, date)
                self.response = b"".join((self._before, values[0], self._between, values[1], self._after))
        return self.response


class RouteMetrics:
    """Requests of each route that were served from a cache: their number, and their total time in milliseconds."""

    def __init__(self, metrics: Registry) -> None:
        self._metrics = metrics
        self._routes: dict[str, list[float]] = {}

    def of(self, route: str) -> list[float]:
        """The counters of a route, [number, total_ms]; the caller adds to them."""
        counters = self._routes.get(route)
        if counters is None:
            counters = self._routes[route] = [0, 0.0]
            self._metrics.pull(_metric(route), _reader(counters), samples=True)
        return counters


class ResponseCache:
    """The response cache of one agent. `debugging()`: whether each request is logged; then the cache is not used."""

    def __init__(self, agent: "AgentInterface", debugging: Callable[[], bool] = lambda: False) -> None:
        self._agent = agent
        self._debugging = debugging
        self._server: Server | None = getattr(agent, "server", None)
        self._sharing: TokenSharing[_Entry] | None = None
        if self._server is not None and agent.access.is_on:
            self._sharing = TokenSharing(self._server.guard.resolve)
        self._young: dict[bytes, _Entry] = {}
        self._old: dict[bytes, _Entry] = {}
        self._young_bytes = 0
        self._seen: set[int] = set()
        self._seen_before: set[int] = set()
        self.metrics = RouteMetrics(agent.metrics)
        #: False: every request misses.
        self.enabled = True
        self.hits = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, head: bytes) -> _Entry | None:
        """The valid entry for a request; None on a miss."""
        entry = self._young.get(head)
        if entry is None:
            entry = self._old.get(head)
            if entry is None:
                return self._shared(head) if self._sharing is not None else None
            if not self.enabled:
                return None
            del self._old[head]
            self._add(head, entry)
        if entry.validator() != entry.first or not self.enabled or self._debugging():
            self._remove(head, entry)
            return None
        self.hits += 1
        if self._server is not None:
            self._server.calls += 1
            for name, labels in entry.counts:
                self._server.metrics.incr(name, 1, labels)
        return entry

    def _shared(self, head: bytes) -> _Entry | None:
        """The valid entry of another token with the same rights."""
        assert self._sharing is not None
        entry = self._sharing.find(head)
        # Under that head another entry may stand now, computed with other rights of its token.
        if entry is None or (self._young.get(entry.head) or self._old.get(entry.head)) is not entry:
            return None
        return self.get(entry.head)

    def closes(self, head: bytes) -> bool:
        """Whether there is an entry for `head` that ends its connection."""
        entry = self._young.get(head) or self._old.get(head)
        return entry is not None and entry.closes

    def begin_fill(self, head: bytes) -> CacheFill | None:
        """Begin to cache the response to `head`, a whole request; None if it is not cacheable, or seen first."""
        if not self.enabled or len(head) > HEAD_MAX_BYTES or self._debugging() or not self._is_repeated(head):
            return None
        words = head.split(b" ", 2)
        if len(words) < 3 or not words[2].startswith(PROTOCOL):
            return None  # HTTP/1.0: ends with the connection
        path, _, parameters = words[1].decode("latin-1").partition("?")
        try:
            names = Query(parameters).first().keys()
        except (BadQuery, ValueError):
            return None
        if not names <= CACHEABLE_PARAMETERS or "%" in path:
            return None
        return self._fill_of(head, path, names)

    def _fill_of(self, head: bytes, path: str, names: Iterable[str]) -> CacheFill | None:
        server = self._server
        access = self._agent.access
        if access.is_on and (path == _MEMBERS or server is None):
            return None  # no validator for the rights of its token
        if path == _MEMBERS:
            membership = getattr(self._agent.wan if "wan" in names else self._agent.lan, "membership", None)
            if membership is None:
                return None
            return _fill(head, path, None, lambda: membership.index)
        if server is None:
            return self._agent_cache_fill(head, path) if "stale" in names and "dc" not in names else None
        if path == _LEADER:
            return _fill(head, path, None, lambda: server.leader_address)
        if path == _PEERS:
            return _fill(head, path, None, lambda: (server.leader_address, *server.peers))
        route = store_route(path)
        if route is None:
            return None

        is_stale = "stale" in names and "consistent" not in names

        def valid_for() -> Hashable:
            found = server.stale_read_validator if is_stale else server.read_validator
            return None if found is None else (found, access.tokens.version)

        fill = _fill(head, route, DependencySet(), valid_for)
        if is_stale and server.quorum is not None:
            fill.contact_ms = server.last_contact_ms
        return fill

    def _agent_cache_fill(self, head: bytes, path: str) -> CacheFill | None:
        """On a client agent: valid while the agent cache's entries with the same tag are."""
        route = store_route(path)
        if route is None or route not in _TAG_KINDS:
            return None
        kind, agent_cache = _TAG_KINDS[route], self._agent.agent_cache
        tag = (kind, path.removeprefix(route).lower() if kind else "")
        return _fill(head, route, None, lambda: agent_cache.validator(tag))

    def finish_fill(self, fill: CacheFill, response: bytes) -> None:
        """Store the whole `response` if it stays valid; empty: there is none to store."""
        dependencies = fill.dependencies
        # 404: the index of a missing key rises with each other key, and no watch fires for those.
        if not response.startswith(b"HTTP/1.1 200 ") or len(response) > RESPONSE_MAX_BYTES:
            return
        if (
            (dependencies is not None and not _is_watchable(dependencies))
            or fill.first is None
            or fill.validator() != fill.first
        ):
            return
        if fill.contact_ms is not None and _CONTACT not in response:
            return
        at = response.find(_DATE) + len(_DATE)
        if response[at : at + _DATE_SIZE] not in (datetimeToString(int(time())), datetimeToString(int(time()) - 1)):
            return
        entry = _Entry(fill, response[:at], response[at + _DATE_SIZE :], self.metrics.of(fill.route))
        if dependencies is not None and self._server is not None:
            head = fill.head
            entry.watch = self._server.store.watchers.wait(dependencies, lambda: self._remove(head, entry))
        self._add(fill.head, entry)
        if self._sharing is not None:
            self._sharing.add(fill.head, entry)

    def close(self) -> None:
        """Remove all entries and store no more."""
        self.enabled = False
        self.clear()

    def clear(self) -> None:
        """Remove all entries."""
        for table in (self._young, self._old):
            for entry in table.values():
                _cancel_watch(entry)
            table.clear()
        self._young_bytes = 0

    def _add(self, head: bytes, entry: _Entry) -> None:
        if len(self._young) >= GENERATION_MAX or self._young_bytes + entry.size > GENERATION_MAX_BYTES:
            for each in self._old.values():
                _cancel_watch(each)
            self._old, self._young, self._young_bytes = self._young, {}, 0
        for table in (self._young, self._old):
            known = table.get(head)
            if known is not None and known is not entry:
                self._remove(head, known)
        self._young[head] = entry
        self._young_bytes += entry.size

    def _remove(self, head: bytes, entry: _Entry) -> None:
        _cancel_watch(entry)
        if self._young.get(head) is entry:
            del self._young[head]
            self._young_bytes -= entry.size
        elif self._old.get(head) is entry:
            del self._old[head]

    def _is_repeated(self, head: bytes) -> bool:
        """Whether a request was seen before, within the last two generations."""
        mark = hash(head if self._sharing is None else without_token(head))
        if mark in self._seen or mark in self._seen_before:
            return True
        if len(self._seen) >= SEEN_MAX:
            self._seen, self._seen_before = set(), self._seen
        self._seen.add(mark)
        return False


def store_route(path: str) -> str | None:
    """The route in `STORE_ROUTES` of a path; None for all other paths."""
    for route in STORE_ROUTES:
        if path == route or (route.endswith("/") and path.startswith(route) and "%" not in path):
            return route
    return None


def _is_watchable(dependencies: DependencySet) -> bool:
    """Whether a change of the response will be told: none was before, and only the store changes it."""
    return bool(dependencies.keys) and dependencies.is_time_independent and not dependencies.is_outdated


def _cancel_watch(entry: _Entry) -> None:
    if entry.watch is not None:
        entry.watch.cancel()
        entry.watch = None


def _fill(head: bytes, route: str, dependencies: DependencySet | None, validator: Callable[[], Hashable]) -> CacheFill:
    return CacheFill(head, route, dependencies, validator, validator())


def _metric(path: str) -> str:
    words = path.strip("/").replace("/", ".")
    return f"http.GET.{words}._" if path.endswith("/") else f"http.GET.{words}"


def _reader(counters: list[float]) -> Tally:
    return lambda: (int(counters[0]), counters[1])


class RecordingTransport:
    """A transport that records the bytes written to it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Record, and write."""
        self._parts.append(data)
        self._transport.write(data)

    def writeSequence(self, parts: list[bytes]) -> None:
        """Record, and write."""
        self._parts.extend(parts)
        self._transport.writeSequence(parts)

    @property
    def written(self) -> bytes:
        """All recorded bytes."""
        return b"".join(self._parts)


__all__ = ["CacheFill", "RecordingTransport", "ResponseCache"]
