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
        old = super()._replace(key, row)
        if (old is None) is not (row is None):
            raw = _raw(key[0])
            at = bisect_left(self._order, raw)
            if row is not None:
                self._order.insert(at, raw)
            else:
                del self._order[at]
        return old


def _raw(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")
