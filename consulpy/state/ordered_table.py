"""A table with one text key, sorted by its UTF-8 bytes, with reads by prefix."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from consulpy.state.table import Key, Table

Row = TypeVar("Row")
_Item = TypeVar("_Item")
#: Keys as bytes, and their rows.
Slice = tuple[list[bytes], list[Row]]


class OrderedTable(Table[Row]):
    """A `Table` that is always sorted: a prefix is found by binary search."""

    __slots__ = ("_order", "_sorted")

    def __init__(self, name: str, /, **groups: Callable[[Row], Iterable[Hashable]]) -> None:
        super().__init__(name, **groups)
        #: The sorted keys, and their rows at the same positions: reading a prefix is a slice.
        self._order: list[bytes] = []
        self._sorted: list[Row] = []

    def all(self) -> tuple[Row, ...]:
        """All rows, by key."""
        return tuple(self.with_prefix(""))

    def with_prefix(self, prefix: str) -> list[Row]:
        """The rows whose keys begin with `prefix`, by key."""
        begin, end = self._range(prefix)
        return self._sorted[begin:end]

    def _range(self, prefix: str) -> tuple[int, int]:
        raw, order = _raw(prefix), self._order
        begin = bisect_left(order, raw)
        after = _after(raw)
        return begin, bisect_left(order, after, begin) if after else len(order)

    def _remove_prefix(self, prefix: str) -> "Slice[Row]":
        """Remove the rows whose keys begin with `prefix`, and return them. Only `Change` calls this."""
        begin, end = self._range(prefix)
        raw_keys, rows = self._order[begin:end], self._sorted[begin:end]
        del self._order[begin:end], self._sorted[begin:end]
        self._forget([(_text(raw),) for raw in raw_keys], rows)
        return raw_keys, rows

    def _remove_keys(self, keys: list[str]) -> "Slice[Row]":
        """Remove the rows of these keys, and return them in order. Only `Change` calls this."""
        raw_keys = sorted(map(_raw, keys))
        at = [bisect_left(self._order, raw) for raw in raw_keys]
        rows = [self._sorted[position] for position in at]
        self._order, self._sorted = _without(self._order, at), _without(self._sorted, at)
        self._forget([(_text(raw),) for raw in raw_keys], rows)
        return raw_keys, rows

    def _forget(self, keys: list[Key], rows: list[Row]) -> None:
        """Remove rows that are in the sorted lists no more."""
        for key in keys:
            del self._rows[key]
        self._ordered = None
        for index in self.secondary_indexes.values():
            index._remove_all(zip(keys, rows, strict=True))

    def _put_back_each(self, _: str, removed: "Slice[Row]") -> None:
        """Undo `_remove_keys`."""
        for raw, row in zip(*removed, strict=True):
            self._replace((_text(raw),), row)

    def _put_back(self, _prefix: str, removed: "Slice[Row]") -> None:
        """Undo `_remove_prefix`."""
        raw_keys, rows = removed
        at = bisect_left(self._order, raw_keys[0]) if raw_keys else 0
        self._order[at:at], self._sorted[at:at] = raw_keys, rows
        for raw, row in zip(raw_keys, rows, strict=True):
            super()._replace((_text(raw),), row)

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


def _without(items: list[_Item], positions: list[int]) -> list[_Item]:
    """A copy without the items at these positions, which are sorted."""
    left: list[_Item] = []
    begin = 0
    for position in positions:
        left += items[begin:position]
        begin = position + 1
    return left + items[begin:]


def _raw(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _after(raw: bytes) -> bytes:
    """The smallest bytes greater than all those that begin with `raw`; empty if there are none."""
    begin = raw.rstrip(b"\xff")
    return begin[:-1] + bytes([begin[-1] + 1]) if begin else b""
