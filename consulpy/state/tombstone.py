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

    def add(self, change: TableChange, *keys: str) -> None:
        """Add a tombstone for each of `keys`."""
        for key in keys:
            change.put(self.table, (key,), DirEntry(key=key, modify_index=change.index))
        change.bump(TOMBSTONES)

    def max_index(self, prefix: str) -> int:
        """The index of the last deletion under a prefix, 0 if there is none."""
        return max((tombstone.modify_index for tombstone in self.table.with_prefix(prefix)), default=0)

    def reap(self, change: TableChange, index: int) -> None:
        """Remove tombstones up to `index`; no watch fires."""
        for tombstone in self.table.all():
            if tombstone.modify_index <= index:
                change.remove(self.table, (tombstone.key,))
