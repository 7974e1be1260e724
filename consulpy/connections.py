"""Open connections of clients, counted by client; when there are as many as may be, the one idle for longest goes.

One table serves all listeners of an agent: a file descriptor that one of them gives out is missing everywhere. Pure.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, Protocol

from twisted.python.failure import Failure

#: So many connections are looked at for one that is idle, each time that one is needed.
LOOKS_MAX: Final = 2048
#: Any number.
UNLIMITED: Final = 2**31
#: File descriptors that are never given to clients: files, listeners, checks, connections to servers and recursors,
#: gossip, and what a listener accepts in one turn. Of the limit: a sixth, within these bounds.
RESERVE_LEAST: Final = 56
RESERVE_MOST: Final = 1024


class Connection(Protocol):
    """A connection of a client."""

    def is_idle(self) -> bool:
        """Whether nobody waits for anything on it."""

    def evict(self) -> None:
        """Close at once: another one needs its place."""


def total_for(descriptors: int) -> int:
    """How many connections clients may have, of so many file descriptors (`RLIMIT_NOFILE`)."""
    reserve = min(max(descriptors // 6, RESERVE_LEAST), RESERVE_MOST)
    return max(descriptors - reserve, 8)


class ConnectionTable:
    """`total`: connections of all listeners together. `on_full()`: called whenever a new one finds so many."""

    def __init__(self, total: int, on_full: Callable[[], None] = lambda: None) -> None:
        self.total = total
        self.on_full = on_full
        #: Listener and client of each connection, those without activity for longest first.
        self._open: OrderedDict[Connection, tuple[str, str]] = OrderedDict()
        self._by_client: Counter[tuple[str, str]] = Counter()
        self._by_listener: Counter[str] = Counter()
        #: Connections that were closed to make place for others.
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._open)

    def of_client(self, listener: str, client: str) -> int:
        """How many connections of this listener a client has."""
        return self._by_client[listener, client]

    def of_listener(self, listener: str) -> int:
        """How many connections a listener has."""
        return self._by_listener[listener]

    def enter(self, connection: Connection, listener: str, client: str) -> bool:
        """A new connection; False, and it is not counted, if all are in use and none is idle."""
        if len(self._open) >= self.total:
            self.on_full()
            if not self.make_place():
                return False
        self._open[connection] = listener, client
        self._by_client[listener, client] += 1
        self._by_listener[listener] += 1
        return True

    def make_place(self, listener: str | None = None, client: str | None = None) -> bool:
        """Close the connection that was idle for longest (of a listener, of its client); whether there was one."""
        found: Connection | None = None
        busy: list[Connection] = []
        for connection, (its_listener, its_client) in islice(self._open.items(), LOOKS_MAX):
            if listener in (None, its_listener) and client in (None, its_client):
                if connection.is_idle():
                    found = connection
                    break
                busy.append(connection)
        for connection in busy:
            self._open.move_to_end(connection)  # looked at again when all others were
        if found is None:
            return False
        self.leave(found)
        self.evicted += 1
        found.evict()
        return True

    def replace(self, before: Connection, now: Connection) -> None:
        """The same connection, by another object. Harmless for one that left."""
        key = self._open.pop(before, None)
        if key is not None:
            self._open[now] = key

    def touch(self, connection: Connection) -> None:
        """Something happened on it. Harmless for one that left."""
        if connection in self._open:
            self._open.move_to_end(connection)

    def leave(self, connection: Connection) -> None:
        """It is gone. Harmless when it left before, or was never counted."""
        key = self._open.pop(connection, None)
        if key is not None:
            _subtract(self._by_client, key)
            _subtract(self._by_listener, key[0])


def close_now(transport: Any) -> None:
    """Close a Twisted transport in this turn; `abortConnection` keeps its descriptor until the next one.

    Not for calls from within the transport itself.
    """
    if hasattr(transport, "doRead"):
        transport.connectionLost(Failure(ConnectionAbortedError("its place was needed")))
    else:
        transport.abortConnection()  # a layer such as TLS


def _subtract(counts: Counter[Any], key: Any) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
