"""Whole answers that are kept: the bytes of a GET request -> the bytes that were written for it.

Clients repeat their requests byte for byte, so a hit costs one look-up and one comparison. An answer is kept as the
slow way wrote it, so both ways give the same bytes (but for `Date`, which is renewed), and for as long as nothing that
it was made from changes: reads of the store are watched like blocking queries are, all else has a version. What
depends on anything more, or on chance, time or who asks, is never kept: only the paths and parameters listed here are.

A request is kept when it is seen for the second time. Both tables have two generations: a flood of different requests
turns over the young one, while what is asked again in the meantime stays.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from time import time  # noqa: TID251 - an answer has the date of the wall clock, as Twisted writes it
from typing import TYPE_CHECKING, Any, Final

from twisted.web.http import datetimeToString

from consulpy.http.api.routing import BadQuery, Query
from consulpy.metrics.registry import Registry, Tally
from consulpy.rpc.cache.agent_cache import NODE, SERVICE
from consulpy.rpc.server import DependencySet
from consulpy.state.watch import Watch

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface
    from consulpy.rpc.server import Server

#: Larger requests are not kept: nobody sends them often.
HEAD_MAX_BYTES: Final = 4096
#: Answers in one generation, and the bytes of them all with their requests.
GENERATION_MAX: Final = 1024
GENERATION_MAX_BYTES: Final = 8 * 1024 * 1024
#: Larger answers are not kept.
ANSWER_MAX_BYTES: Final = 2 * 1024 * 1024
#: Requests in one generation of those that were seen once.
SEEN_MAX: Final = 4096

#: How the rest of a request line begins whose connection may go on.
PROTOCOL: Final = b"HTTP/1.1\r\n"
#: Paths whose answers come from the store only; with a slash at the end: all that begin like this.
STORE_ROUTES: Final = (
    "/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/", "/v1/catalog/connect/", "/v1/catalog/node/",
    "/v1/catalog/node-services/", "/v1/health/node/", "/v1/health/checks/", "/v1/health/state/", "/v1/health/service/",
    "/v1/health/connect/", "/v1/kv/",
)  # fmt: skip
#: Of those, what copies know the state of (`consulpy.rpc.cache.agent_cache`).
_SUBJECTS: Final = {
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
_STATUS: Final = ("/v1/status/leader", "/v1/status/peers")
#: Parameters that change nothing but what is read from the store and how it is shown.
CACHEABLE_PARAMETERS: Final = frozenset(
    {"dc", "stale", "consistent", "passing", "tag", "filter", "raw", "keys", "recurse", "separator", "pretty", "wan"}
)
_DATE: Final = b"\r\nDate: "
_DATE_SIZE: Final = len("Mon, 23 Nov 2026 10:52:42 GMT")


@dataclass(slots=True)
class CacheFill:
    """What is noted while the slow way makes an answer that may be kept."""

    head: bytes
    route: str
    watch: DependencySet | None
    version: Callable[[], Hashable]
    seen: Hashable


class _Entry:
    """A kept answer."""

    __slots__ = (
        "_after",
        "_before",
        "_second",
        "answer",
        "closes",
        "counts",
        "seen",
        "size",
        "tally",
        "version",
        "waiter",
    )

    def __init__(self, recording: CacheFill, before: bytes, after: bytes, tally: list[float]) -> None:
        self._before, self._after = before, after
        self._second = -1
        self.answer = b""
        self.closes = b"\r\nConnection: close\r\n" in before
        self.size = 2 * (len(before) + len(after)) + len(recording.head)
        self.version, self.seen = recording.version, recording.seen
        self.tally = tally
        self.counts = recording.watch.counts if recording.watch is not None else []
        self.waiter: Watch | None = None

    def at(self, second: int) -> bytes:
        """The answer with the date of now."""
        if self._second != second:
            self._second = second
            self.answer = self._before + datetimeToString(second) + self._after
        return self.answer


class RouteMetrics:
    """How often requests of each route were answered here, and how many milliseconds that took together."""

    def __init__(self, metrics: Registry) -> None:
        self._metrics = metrics
        self._tallies: dict[str, list[float]] = {}

    def of(self, route: str) -> list[float]:
        """The two numbers of a route, to be added to."""
        tally = self._tallies.get(route)
        if tally is None:
            tally = self._tallies[route] = [0, 0.0]
            self._metrics.pull(_metric(route), _reader(tally), samples=True)
        return tally


class ResponseCache:
    """The kept answers of one agent. `debugging()`: whether a line is logged for each request; then none is used."""

    def __init__(self, agent: "AgentInterface", debugging: Callable[[], bool] = lambda: False) -> None:
        self._agent = agent
        self._debugging = debugging
        self._server: Server | None = getattr(agent, "server", None)
        self._young: dict[bytes, _Entry] = {}
        self._old: dict[bytes, _Entry] = {}
        self._young_bytes = 0
        self._seen: set[int] = set()
        self._seen_before: set[int] = set()
        self.tallies = RouteMetrics(agent.metrics)
        #: False: everything goes the slow way.
        self.enabled = True
        self.hits = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, head: bytes) -> _Entry | None:
        """The kept answer to a request, None if it has to be made."""
        entry = self._young.get(head)
        if entry is None:
            entry = self._old.get(head)
            if entry is None or not self.enabled:
                return None
            del self._old[head]
            self._add(head, entry)
        if entry.version() != entry.seen or not self.enabled or self._debugging():
            self._forget(head, entry)
            return None
        self.hits += 1
        if self._server is not None:
            self._server.calls += 1
            for name, labels in entry.counts:
                self._server.metrics.incr(name, 1, labels)
        return entry

    def closes(self, head: bytes) -> bool:
        """Whether the answer to `head` is kept, and the last one of its connection."""
        entry = self._young.get(head) or self._old.get(head)
        return entry is not None and entry.closes

    def record(self, head: bytes) -> CacheFill | None:
        """Begin to record how `head`, a whole request, is answered; None if that is not to be kept."""
        if not self.enabled or len(head) > HEAD_MAX_BYTES or self._debugging() or not self._is_repeated(head):
            return None
        words = head.split(b" ", 2)
        if len(words) < 3 or not words[2].startswith(PROTOCOL):
            return None  # older clients wait for the end of the connection
        path, _, parameters = words[1].decode("latin-1").partition("?")
        try:
            names = Query(parameters).first().keys()
        except (BadQuery, ValueError):
            return None
        if not names <= CACHEABLE_PARAMETERS or "%" in path:
            return None
        return self._recording(head, path, names)

    def _recording(self, head: bytes, path: str, names: Iterable[str]) -> CacheFill | None:
        server = self._server
        access = self._agent.access
        if access.is_on and (path == _MEMBERS or server is None):
            return None  # nothing here says when the rights of its readers change
        if path == _MEMBERS:
            roster = getattr(self._agent.wan if "wan" in names else self._agent.lan, "roster", None)
            if roster is None:
                return None
            return self._noted(head, path, None, lambda: roster.version)
        if server is None:
            return self._copied(head, path) if "stale" in names and "dc" not in names else None
        if path in _STATUS:
            return self._noted(head, path, None, lambda: (server.leader_address, *server.peers))
        route = store_route(path)
        if route is None:
            return None

        def valid_for() -> Hashable:
            found = server.reads_valid_for
            return None if found is None else (found, access.tokens.version)

        return self._noted(head, route, DependencySet(), valid_for)

    def _copied(self, head: bytes, path: str) -> CacheFill | None:
        """On a client agent: what is made from a copy is true for as long as that is certain."""
        route = store_route(path)
        if route is None or route not in _SUBJECTS:
            return None
        kind, copies = _SUBJECTS[route], self._agent.agent_cache
        subject = (kind, path.removeprefix(route).lower() if kind else "")
        return self._noted(head, route, None, lambda: copies.version(subject))

    def _noted(
        self, head: bytes, route: str, watch: DependencySet | None, version: Callable[[], Hashable]
    ) -> CacheFill:
        if watch is not None and self._server is not None:
            self._server.noting = watch
        return CacheFill(head, route, watch, version, version())

    def end(self, recording: CacheFill, answer: bytes) -> None:
        """Keep the whole `answer` (empty: it is not to be kept) if it is one that stays true."""
        if self._server is not None:
            self._server.noting = None
        watch = recording.watch
        # 404: the index of a key that is not there rises with each other key, of which nobody is woken.
        if not answer.startswith(b"HTTP/1.1 200 ") or len(answer) > ANSWER_MAX_BYTES:
            return
        if (
            (watch is not None and not (watch.keys and watch.is_lasting))
            or recording.seen is None
            or recording.version() != recording.seen
        ):
            return
        at = answer.find(_DATE) + len(_DATE)
        if answer[at : at + _DATE_SIZE] not in (datetimeToString(int(time())), datetimeToString(int(time()) - 1)):
            return
        tally = self.tallies.of(recording.route)
        entry = _Entry(recording, answer[:at], answer[at + _DATE_SIZE :], tally)
        if watch is not None and self._server is not None:
            head = recording.head
            entry.waiter = self._server.store.watchers.wait(watch, lambda: self._forget(head, entry))
        self._add(recording.head, entry)

    def close(self) -> None:
        """Forget everything, and keep nothing more."""
        self.enabled = False
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        for table in (self._young, self._old):
            for entry in table.values():
                _end(entry)
            table.clear()
        self._young_bytes = 0

    def _add(self, head: bytes, entry: _Entry) -> None:
        if len(self._young) >= GENERATION_MAX or self._young_bytes + entry.size > GENERATION_MAX_BYTES:
            for each in self._old.values():
                _end(each)
            self._old, self._young, self._young_bytes = self._young, {}, 0
        for table in (self._young, self._old):
            known = table.get(head)
            if known is not None and known is not entry:
                self._forget(head, known)
        self._young[head] = entry
        self._young_bytes += entry.size

    def _forget(self, head: bytes, entry: _Entry) -> None:
        _end(entry)
        if self._young.get(head) is entry:
            del self._young[head]
            self._young_bytes -= entry.size
        elif self._old.get(head) is entry:
            del self._old[head]

    def _is_repeated(self, head: bytes) -> bool:
        """Whether a request was seen not long ago."""
        mark = hash(head)
        if mark in self._seen or mark in self._seen_before:
            return True
        if len(self._seen) >= SEEN_MAX:
            self._seen, self._seen_before = set(), self._seen
        self._seen.add(mark)
        return False


def store_route(path: str) -> str | None:
    """The route of a path whose answers come from the store only; None for all other paths."""
    for route in STORE_ROUTES:
        if path == route or (route.endswith("/") and path.startswith(route) and "%" not in path):
            return route
    return None


def _end(entry: _Entry) -> None:
    if entry.waiter is not None:
        entry.waiter.cancel()
        entry.waiter = None


def _metric(path: str) -> str:
    words = path.strip("/").replace("/", ".")
    return f"http.GET.{words}._" if path.endswith("/") else f"http.GET.{words}"


def _reader(tally: list[float]) -> Tally:
    return lambda: (int(tally[0]), tally[1])


class RecordingTransport:
    """A transport that also keeps what is written to it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, and keep."""
        self._parts.append(data)
        self._transport.write(data)

    def writeSequence(self, parts: list[bytes]) -> None:
        """Write, and keep."""
        self._parts.extend(parts)
        self._transport.writeSequence(parts)

    @property
    def written(self) -> bytes:
        """All that was written."""
        return b"".join(self._parts)


__all__ = ["CacheFill", "RecordingTransport", "ResponseCache"]
