"""The table of open client connections: counts per client and listener; at the limit the longest idle one is closed.

One table serves all listeners of an agent, as they share its file descriptors. Pure.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, Protocol

from twisted.python.failure import Failure

#: Maximum connections examined in a search for an idle one.
SCAN_MAX: Final = 2048
#: No limit.
UNLIMITED: Final = 2**31
#: Bounds of the file descriptors that are reserved, a sixth of the limit: for files, listeners, checks, connections to
#: servers and recursors, gossip, and what a listener accepts in one turn.
RESERVED_MIN: Final = 56
RESERVED_MAX: Final = 1024


class Connection(Protocol):
    """A client's connection."""

    def is_idle(self) -> bool:
        """Whether no request is pending on it."""

    def evict(self) -> None:
        """Close at once, to free its place."""


def total_for(descriptors: int) -> int:
    """Maximum client connections for a limit of file descriptors (`RLIMIT_NOFILE`)."""
    reserve = min(max(descriptors // 6, RESERVED_MIN), RESERVED_MAX)
    return max(descriptors - reserve, 8)


class ConnectionTable:
    """`total`: maximum connections of all listeners together. `on_full()`: called when a new one exceeds it."""

    def __init__(self, total: int, on_full: Callable[[], None] = lambda: None) -> None:
        self.total = total
        self.on_full = on_full
        #: Listener and client of each connection, the least recently active first.
        self._open: OrderedDict[Connection, tuple[str, str]] = OrderedDict()
        # No `Counter`: a missing key of one costs a call in Python, and most clients have one connection.
        self._by_client: dict[tuple[str, str], int] = {}
        self._by_listener: dict[str, int] = {}
        #: Number of connections closed to free their place.
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._open)

    def of_client(self, listener: str, client: str) -> int:
        """Number of a client's connections to this listener."""
        return self._by_client.get((listener, client), 0)

    def of_listener(self, listener: str) -> int:
        """Number of a listener's connections."""
        return self._by_listener.get(listener, 0)

    def add(self, connection: Connection, listener: str, client: str) -> bool:
        """Add a connection; False if the table is full and none is idle."""
        if len(self._open) >= self.total:
            self.on_full()
            if not self.evict_idle():
                return False
        key = self._open[connection] = listener, client
        self._by_client[key] = self._by_client.get(key, 0) + 1
        self._by_listener[listener] = self._by_listener.get(listener, 0) + 1
        return True

    def evict_idle(self, listener: str | None = None, client: str | None = None) -> bool:
        """Close the longest idle connection (of a listener, of a client); whether there was one."""
        found: Connection | None = None
        busy: list[Connection] = []
        for connection, (its_listener, its_client) in islice(self._open.items(), SCAN_MAX):
            if listener in (None, its_listener) and client in (None, its_client):
                if connection.is_idle():
                    found = connection
                    break
                busy.append(connection)
        for connection in busy:
            self._open.move_to_end(connection)  # examined again after all others
        if found is None:
            return False
        self.remove(found)
        self.evicted += 1
        found.evict()
        return True

    def replace(self, before: Connection, now: Connection) -> None:
        """Replace a connection's object. Ignored for one that was removed."""
        key = self._open.pop(before, None)
        if key is not None:
            self._open[now] = key

    def record_activity(self, connection: Connection) -> None:
        """Data was received or sent on it. Ignored for one that was removed."""
        if connection in self._open:
            self._open.move_to_end(connection)

    def remove(self, connection: Connection) -> None:
        """Remove a connection. Ignored for one that was removed or never added."""
        key = self._open.pop(connection, None)
        if key is not None:
            _subtract(self._by_client, key)
            _subtract(self._by_listener, key[0])

    def close_all(self) -> None:
        """Close all connections at once: their listeners have been closed."""
        for connection in list(self._open):
            self.remove(connection)
            connection.evict()


def close_now(transport: Any) -> None:
    """Close a Twisted transport in this turn; `abortConnection` frees its descriptor only in the next one.

    Must not be called from within the transport itself.
    """
    if hasattr(transport, "doRead"):
        transport.connectionLost(Failure(ConnectionAbortedError("its place was needed")))
    else:
        transport.abortConnection()  # a layer such as TLS


def _subtract(counts: dict[Any, int], key: Any) -> None:
    left = counts.pop(key) - 1
    if left:
        counts[key] = left
