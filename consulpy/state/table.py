"""Tables of the state store: rows by primary key, listed in key order, and found through secondary indexes.

A `SecondaryIndex` maps a value to its rows, in key order. The sorted rows of a value are computed by the first read
after a change and cached: a read costs its result, a write its row. Keys are lower case where Consul compares without
regard to case (docs/wire/rpc.md 14).
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

Key = tuple[str, ...]
Row = TypeVar("Row")
_Id = TypeVar("_Id", bound=Hashable)


class _Bucket(Generic[Row]):
    """The rows of one value of a secondary index."""

    __slots__ = ("ordered", "rows")

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.ordered: tuple[Row, ...] | None = None


class SecondaryIndex(Generic[Row]):
    """An index of a table's rows by other values; `values(row)`: the values under which a row is found."""

    __slots__ = ("_buckets", "_values")

    def __init__(self, values: Callable[[Row], Iterable[Hashable]]) -> None:
        self._values = values
        self._buckets: dict[Hashable, _Bucket[Row]] = {}

    def get(self, value: Hashable) -> tuple[Row, ...]:
        """The rows with this value, by key."""
        bucket = self._buckets.get(value)
        if bucket is None:
            return ()
        if bucket.ordered is None:
            bucket.ordered = _in_order(bucket.rows)
        return bucket.ordered

    def __contains__(self, value: Hashable) -> bool:
        return value in self._buckets

    def __iter__(self) -> Iterator[Hashable]:
        """All values of any row."""
        return iter(self._buckets)

    def _remove_all(self, rows: Iterable[tuple[_Id, Row]], key_of: Callable[[_Id], Key]) -> None:
        """Remove many rows, each with what `key_of` makes its key of."""
        values, buckets = self._values, self._buckets
        if not buckets:
            return  # none of them has a value
        removed: dict[Hashable, dict[_Id, None]] = {}
        for name, row in rows:
            for value in values(row):
                of_value = removed.get(value)
                if of_value is None:
                    of_value = removed[value] = {}
                of_value[name] = None
        for value, names in removed.items():
            bucket = buckets[value]
            if len(names) == len(bucket.rows):
                del buckets[value]
                continue
            for name in names:
                del bucket.rows[key_of(name)]
            bucket.ordered = None

    def _add_all(self, rows: Iterable[tuple[_Id, Row]], key_of: Callable[[_Id], Key]) -> None:
        """Add many rows, as `_remove_all` removes them."""
        values = self._values
        for name, row in rows:
            if values(row):
                self._replace(key_of(name), None, row)

    def _replace(self, key: Key, old: Row | None, row: Row | None) -> None:
        """Index `row` in place of `old`; either may be None."""
        values = () if row is None else tuple(self._values(row))
        for value in () if old is None else dict.fromkeys(self._values(old)):
            if value not in values:
                bucket = self._buckets[value]
                del bucket.rows[key]
                bucket.ordered = None
                if not bucket.rows:
                    del self._buckets[value]
        if row is not None:
            for value in values:
                bucket = self._buckets.get(value) or self._buckets.setdefault(value, _Bucket())
                bucket.rows[key] = row
                bucket.ordered = None


def _itself(key: Key) -> Key:
    return key


def _in_order(rows: dict[Key, Row]) -> tuple[Row, ...]:
    return tuple([rows[key] for key in sorted(rows)])


class Table(Generic[Row]):
    """Rows by primary key. Rows are replaced, never modified, so readers may hold them."""

    __slots__ = ("_ordered", "_rows", "name", "secondary_indexes")

    def __init__(self, name: str, /, **groups: Callable[[Row], Iterable[Hashable]]) -> None:
        self.name = name
        self._rows: dict[Key, Row] = {}
        self._ordered: tuple[Row, ...] | None = None
        self.secondary_indexes: dict[str, SecondaryIndex[Row]] = {
            group: SecondaryIndex(values) for group, values in groups.items()
        }

    def get(self, *key: str) -> Row | None:
        """The row of this key."""
        return self._rows.get(key)

    def all(self) -> tuple[Row, ...]:
        """All rows, by key."""
        if self._ordered is None:
            self._ordered = _in_order(self._rows)
        return self._ordered

    def unordered(self) -> list[Row]:
        """A copy of all rows, unsorted, for a snapshot encoded in another thread."""
        return list(self._rows.values())

    def by(self, index: str, value: Hashable) -> tuple[Row, ...]:
        """The rows with `value` in the secondary index named `index`, by key."""
        return self.secondary_indexes[index].get(value)

    def __len__(self) -> int:
        return len(self._rows)

    def _remove_rows(self, keys: Iterable[Key]) -> list[tuple[Key, Row]]:
        """Remove the rows of these keys, which are there; what was removed. Only `Change` calls this."""
        rows = self._rows
        removed = [(key, rows.pop(key)) for key in keys]
        self._ordered = None
        for index in self.secondary_indexes.values():
            index._remove_all(removed, _itself)
        return removed

    def _undo_remove_rows(self, _: Key, removed: list[tuple[Key, Row]]) -> None:
        """Undo `_remove_rows`."""
        for key, row in removed:
            self._replace(key, row)

    def _replace(self, key: Key, row: Row | None) -> Row | None:
        """Put (or, with None, remove) a row; the previous one. Only `Change` and a restore call this."""
        old = self._rows.get(key)
        if row is not None:
            self._rows[key] = row
        elif old is not None:
            del self._rows[key]
        self._ordered = None
        for group in self.secondary_indexes.values():
            group._replace(key, old, row)
        return old
