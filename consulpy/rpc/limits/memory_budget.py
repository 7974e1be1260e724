"""Memory limits of port 8300, bytes per connection and in total. Above the total the largest connection is aborted.

A client that sends incomplete requests, or does not read large replies, makes a server buffer bytes. `Backpressure`
limits the replies of one connection: above it further replies are queued unpacked. `MemoryBudget` limits each
connection and their sum.
"""

from collections.abc import Callable
from typing import Final, Protocol

#: Bytes of packed replies of one connection, above which further replies are queued.
REPLIES_MAX_BYTES: Final = 16 * 2**20
#: Bytes that are buffered for one connection, and for all; above it a connection is aborted.
CONNECTION_MAX_BYTES: Final = 64 * 2**20
TOTAL_MAX_BYTES: Final = 256 * 2**20


class Connection(Protocol):
    """A connection of the budget."""

    def abort(self, why: str) -> None:
        """Close at once, and log the reason."""


class MemoryBudget:
    """Buffered bytes of connections: at most `each` for one of them, and `total` for all."""

    def __init__(self, each: int = CONNECTION_MAX_BYTES, total: int = TOTAL_MAX_BYTES) -> None:
        self._each = each
        self._total = total
        self._bytes_of: dict[Connection, int] = {}
        self._aborted: set[Connection] = set()
        #: Bytes that are buffered now.
        self.bytes = 0

    def change(self, connection: Connection, change: int) -> None:
        """Account for `change` bytes of a connection; aborts it, or the largest one, above a limit."""
        if connection in self._aborted:
            return
        size = self._bytes_of[connection] = self._bytes_of.get(connection, 0) + change
        self.bytes += change
        if size > self._each:
            self._abort(connection, f"{size} bytes wait for it or from it, {self._each} are allowed")
        elif self.bytes > self._total:
            largest = max(self._bytes_of, key=lambda each: self._bytes_of[each])
            self._abort(largest, f"it has most of {self.bytes} bytes that wait, {self._total} are allowed")

    def remove(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._aborted.discard(connection)
        self.bytes -= self._bytes_of.pop(connection, 0)

    def _abort(self, connection: Connection, why: str) -> None:
        self.remove(connection)
        self._aborted.add(connection)
        connection.abort(why)


class Backpressure:
    """The packed replies of one connection that its client has not read.

    While they have more than `size` bytes, further replies are queued, in order.
    """

    def __init__(self, size: int = REPLIES_MAX_BYTES) -> None:
        self._size = size
        self._bytes = 0
        self._queue: dict[object, Callable[[], None]] = {}
        self._is_calling = False

    def __len__(self) -> int:
        """Number of queued replies."""
        return len(self._queue)

    def submit(self, key: object, call: Callable[[], None]) -> None:
        """Run `call` at once or below the limit; one call for each `key` is queued."""
        if self._bytes < self._size and not self._queue:
            call()
        else:
            self._queue[key] = call

    def cancel(self, key: object) -> None:
        """Remove the queued call of `key`."""
        self._queue.pop(key, None)

    def change(self, change: int) -> None:
        """Account for `change` bytes; runs queued calls below the limit."""
        self._bytes += change
        if change >= 0 or self._is_calling:
            return
        self._is_calling = True
        try:
            while self._queue and self._bytes < self._size:
                self._queue.pop(next(iter(self._queue)))()
        finally:
            self._is_calling = False
