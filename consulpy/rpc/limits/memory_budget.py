"""Memory limits of port 8300, in bytes: what connections keep for their peers, each and all together.

A caller that sends requests by halves, or does not read large replies, makes a server keep bytes. `Backpressure` is the
limit of one connection's replies: above it the next ones are only queued. `Budget` is the limit of all connections:
above it the largest one is aborted.
"""

from collections.abc import Callable
from typing import Final, Protocol

#: Bytes of answers that wait on one connection before more of them are made.
ROOM_BYTES: Final = 16 * 2**20
#: Bytes that one connection may keep, and all of them together.
CONNECTION_BYTES: Final = 64 * 2**20
TOTAL_BYTES: Final = 256 * 2**20


class Connection(Protocol):
    """A connection."""

    def abort(self, why: str) -> None:
        """Close at once, with a line in the log."""


class Budget:
    """Bytes kept by connections: at most `each` by one of them, and `total` by all."""

    def __init__(self, each: int = CONNECTION_BYTES, total: int = TOTAL_BYTES) -> None:
        self._each = each
        self._total = total
        self._kept: dict[Connection, int] = {}
        self._cut: set[Connection] = set()
        #: Bytes that are kept now.
        self.bytes = 0

    def change(self, keeper: Connection, change: int) -> None:
        """`keeper` keeps so many bytes more, or fewer. Somebody may be cut off for it."""
        if keeper in self._cut:
            return
        mine = self._kept[keeper] = self._kept.get(keeper, 0) + change
        self.bytes += change
        if mine > self._each:
            self._end(keeper, f"{mine} bytes wait for it or from it, {self._each} are allowed")
        elif self.bytes > self._total:
            largest = max(self._kept, key=lambda each: self._kept[each])
            self._end(largest, f"it has most of {self.bytes} bytes that wait, {self._total} are allowed")

    def forget(self, keeper: Connection) -> None:
        """The connection is gone."""
        self._cut.discard(keeper)
        self.bytes -= self._kept.pop(keeper, 0)

    def _end(self, keeper: Connection, why: str) -> None:
        self.forget(keeper)
        self._cut.add(keeper)
        keeper.abort(why)


class Backpressure:
    """The answers of one connection that are made but not yet taken by its peer.

    While there are more than `size` bytes of them, the next ones wait for their turn, in order.
    """

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self._size = size
        self._bytes = 0
        self._waiting: dict[object, Callable[[], None]] = {}
        self._is_calling = False

    def __len__(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def enter(self, who: object, go: Callable[[], None]) -> None:
        """Call `go`, at once or as soon as there is room; `who` waits once at a time."""
        if self._bytes < self._size and not self._waiting:
            go()
        else:
            self._waiting[who] = go

    def leave(self, who: object) -> None:
        """`who` does not wait any more."""
        self._waiting.pop(who, None)

    def change(self, change: int) -> None:
        """So many bytes more wait, or fewer."""
        self._bytes += change
        if change >= 0 or self._is_calling:
            return
        self._is_calling = True
        try:
            while self._waiting and self._bytes < self._size:
                self._waiting.pop(next(iter(self._waiting)))()
        finally:
            self._is_calling = False
