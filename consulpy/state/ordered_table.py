"""A table by one text key, in the order of its UTF-8 bytes, from which whole prefixes are read."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from consulpy.state.table import Key, Table

Row = TypeVar("Row")


class Ordered(Table[Row]):
    """As `Table`, but kept in order: a prefix is found without going through the other rows."""

    __slots__ = ("_order", "_sorted")

    def __init__(self, name: str, /, **groups: Callable[[Row], Iterable[Hashable]]) -> None:
        super().__init__(name, **groups)
        #: The keys in order, and the row of each at the same place: a large prefix is read in no time.
        self._order: list[bytes] = []
        self._sorted: list[Row] = []

    def all(self) -> tuple[Row, ...]:
        """Every row, in key order."""
        return tuple(self.under(""))

    def under(self, prefix: str) -> list[Row]:
        """The rows whose keys begin with `prefix`, in key order."""
        raw, order = _raw(prefix), self._order
        begin = bisect_left(order, raw)
        after = _after(raw)
        end = bisect_left(order, after, begin) if after else len(order)
        return self._sorted[begin:end]

    def _replace(self, key: Key, row: Row | None) -> Row | None:
        old = super()._replace(key, row)
        if old is None and row is None:
            return None
        raw = _raw(key[0])
        at = bisect_left(self._order, raw)
        if row is None:
            del self._order[at], self._sorted[at]
        elif old is None:
            self._order.insert(at, raw)
            self._sorted.insert(at, row)
        else:
            self._sorted[at] = row
        return old


def _raw(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _after(raw: bytes) -> bytes:
    """The first of all bytes that come after those which begin with `raw`; empty if there are none."""
    begin = raw.rstrip(b"\xff")
    return begin[:-1] + bytes([begin[-1] + 1]) if begin else b""
