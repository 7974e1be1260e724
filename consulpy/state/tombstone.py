"""Tombstones of deleted keys, by which the index of a prefix never decreases."""

from typing import Final

from consulpy.state.change import TableChange
from consulpy.state.ordered_table import OrderedTable
from consulpy.structs.kv import DirEntry

TOMBSTONES: Final = "tombstones"


class Tombstones:
    """Deleted keys or prefixes. The record's `modify_index` is the index of the deletion."""

    def __init__(self) -> None:
        self.table: OrderedTable[DirEntry] = OrderedTable(TOMBSTONES)

    def add(self, change: TableChange, key: str) -> None:
        """Add the tombstone of a key or a prefix."""
        change.put(self.table, (key,), DirEntry(key=key, modify_index=change.index))
        change.bump(TOMBSTONES)

    def add_all(self, change: TableChange, raw_keys: list[bytes], keys: list[str]) -> None:
        """Add a tombstone for each of `keys`. `raw_keys`: they as bytes, which are sorted."""
        change.put_rows(self.table, raw_keys, [DirEntry(key=key, modify_index=change.index) for key in keys])
        change.bump(TOMBSTONES)

    def max_index(self, prefix: str) -> int:
        """The index of the last deletion under a prefix, 0 if there is none."""
        return max((tombstone.modify_index for tombstone in self.table.with_prefix(prefix)), default=0)

    def reap(self, change: TableChange, index: int) -> None:
        """Remove tombstones up to `index`; no watch fires."""
        old = [row.key.encode("utf-8", "surrogateescape") for row in self.table.all() if row.modify_index <= index]
        if old:
            change.remove_keys(self.table, old)
