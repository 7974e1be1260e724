"""A table with one text key, sorted by its UTF-8 bytes, with reads by prefix.

Many rows are removed or written at once for little more than the copy of a list: a change is one turn of the reactor.
"""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from consulpy.state.table import Key, Table

Row = TypeVar("Row")
_Item = TypeVar("_Item")
#: Keys as bytes, in order, and their rows.
Slice = tuple[list[bytes], list[Row]]


class OrderedTable(Table[Row]):
    """A `Table` that is always sorted: a key, and a prefix, is found by binary search."""

    __slots__ = ("_order", "_sorted")

    def __init__(self, name: str, /, **groups: Callable[[Row], Iterable[Hashable]]) -> None:
        super().__init__(name, **groups)
        #: The sorted keys, and their rows at the same positions: reading a prefix is a slice.
        self._order: list[bytes] = []
        self._sorted: list[Row] = []

    def get(self, *key: str) -> Row | None:
        """The row of this key."""
        order, raw = self._order, _raw(key[0])
        at = bisect_left(order, raw)
        return self._sorted[at] if at < len(order) and order[at] == raw else None

    def all(self) -> tuple[Row, ...]:
        """All rows, by key."""
        return tuple(self._sorted)

    def unordered(self) -> list[Row]:
        """A copy of all rows."""
        return self._sorted.copy()

    def __len__(self) -> int:
        return len(self._order)

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
        removed = self._order[begin:end], self._sorted[begin:end]
        del self._order[begin:end], self._sorted[begin:end]
        self._unindex(*removed)
        return removed

    def _remove_keys(self, raw_keys: list[bytes]) -> "Slice[Row]":
        """Remove the rows of these keys, which are sorted and there, and return them. Only `Change` calls this."""
        at = self._positions(raw_keys)
        rows = [self._sorted[position] for position in at]
        self._order, self._sorted = _without(self._order, at), _without(self._sorted, at)
        self._unindex(raw_keys, rows)
        return raw_keys, rows

    def _put_rows(self, raw_keys: list[bytes], rows: list[Row]) -> "Slice[Row]":
        """Put a row for each of these keys, which are sorted; the rows that were replaced. Only `Change` calls this."""
        order, positions = self._order, self._positions(raw_keys)
        replaced: list[int] = []
        added: list[int] = []
        for number, (at, raw) in enumerate(zip(positions, raw_keys, strict=True)):
            (replaced if at < len(order) and order[at] == raw else added).append(number)
        before = [raw_keys[number] for number in replaced], [self._sorted[positions[number]] for number in replaced]
        self._unindex(*before)
        for number in replaced:
            self._sorted[positions[number]] = rows[number]
        if added:
            at_each = [positions[number] for number in added]
            self._order = _with(order, at_each, [raw_keys[number] for number in added])
            self._sorted = _with(self._sorted, at_each, [rows[number] for number in added])
        for index in self.secondary_indexes.values():
            index._add_all(zip(raw_keys, rows, strict=True), _key)
        return before

    def _positions(self, raw_keys: list[bytes]) -> list[int]:
        """Where each of these keys, which are sorted, is or belongs. The next key of many is mostly the next row's."""
        order, at = self._order, -1
        positions: list[int] = []
        for raw in raw_keys:
            at += 1
            if at >= len(order) or order[at] != raw:
                at = bisect_left(order, raw, max(at - 1, 0))
            positions.append(at)
        return positions

    def _unindex(self, raw_keys: list[bytes], rows: list[Row]) -> None:
        for index in self.secondary_indexes.values():
            index._remove_all(zip(raw_keys, rows, strict=True), _key)

    def _undo_remove(self, _: Key, removed: "Slice[Row]") -> None:
        """Undo `_remove_prefix` or `_remove_keys`."""
        self._put_rows(*removed)

    def _undo_put_rows(self, raw_keys: list[bytes], before: "Slice[Row]") -> None:
        """Undo `_put_rows` of these keys."""
        replaced = set(before[0])
        self._remove_keys([raw for raw in raw_keys if raw not in replaced])
        self._put_rows(*before)

    def _replace(self, key: Key, row: Row | None) -> Row | None:
        order, raw = self._order, _raw(key[0])
        at = bisect_left(order, raw)
        old = self._sorted[at] if at < len(order) and order[at] == raw else None
        if old is None:
            if row is None:
                return None
            order.insert(at, raw)
            self._sorted.insert(at, row)
        elif row is None:
            del order[at], self._sorted[at]
        else:
            self._sorted[at] = row
        for index in self.secondary_indexes.values():
            index._replace(key, old, row)
        return old


def _without(items: list[_Item], positions: list[int]) -> list[_Item]:
    """A copy without the items at these positions, which are sorted."""
    left: list[_Item] = []
    begin = 0
    for position in positions:
        left += items[begin:position]
        begin = position + 1
    return left + items[begin:]


def _with(items: list[_Item], positions: list[int], more: list[_Item]) -> list[_Item]:
    """A copy with each of `more` before the item at its position; they are sorted."""
    result: list[_Item] = []
    begin = 0
    for position, item in zip(positions, more, strict=True):
        if position > begin:
            result += items[begin:position]
            begin = position
        result.append(item)
    return result + items[begin:]


def _raw(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _key(raw: bytes) -> Key:
    return (raw.decode("utf-8", "surrogateescape"),)


def _after(raw: bytes) -> bytes:
    """The smallest bytes greater than all those that begin with `raw`; empty if there are none."""
    begin = raw.rstrip(b"\xff")
    return begin[:-1] + bytes([begin[-1] + 1]) if begin else b""
