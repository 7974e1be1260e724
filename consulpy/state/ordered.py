"""A table by one text key, in the order of its UTF-8 bytes, from which whole prefixes are read."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from consulpy.state.table import Key, Table

Row = TypeVar("Row")


class Ordered(Table[Row]):
    """As `Table`, but kept in order: a prefix is found without going through the other rows."""

    __slots__ = ("_order",)

    def __init__(self, name: str, /, **groups: Callable[[Row], Iterable[Hashable]]) -> None:
        super().__init__(name, **groups)
        self._order: list[bytes] = []

    def all(self) -> tuple[Row, ...]:
        """Every row, in key order."""
        return tuple(self.under(""))

    def under(self, prefix: str) -> Iterator[Row]:
        """The rows whose keys begin with `prefix`, in key order. The table must not change meanwhile."""
        raw, order, rows = _raw(prefix), self._order, self._rows
        for at in range(bisect_left(order, raw), len(order)):
            if not order[at].startswith(raw):
                return
            yield rows[(order[at].decode("utf-8", "surrogateescape"),)]

    def _replace(self, key: Key, row: Row | None) -> Row | None:
        old = self._rows.get(key)
        raw = _raw(key[0])
        if old is None and row is not None:
            self._order.insert(bisect_left(self._order, raw), raw)
        elif old is not None and row is None:
            del self._order[bisect_left(self._order, raw)]
        for group in self.groups.values():
            if old is not None:
                group._drop(key, old)
            if row is not None:
                group._add(key, row)
        if row is not None:
            self._rows[key] = row
        elif old is not None:
            del self._rows[key]
        return old


def _raw(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")
