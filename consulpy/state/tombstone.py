"""Tombstones: what remains of deleted keys for a while, so that the index of a prefix never goes back."""

from typing import Final

from consulpy.state.change import TableChange
from consulpy.state.ordered_table import Ordered
from consulpy.structs.kv import DirEntry

TOMBSTONES: Final = "tombstones"


class Tombstones:
    """When keys (or whole prefixes) were last deleted. The record's `modify_index` is that index."""

    def __init__(self) -> None:
        self.table: Ordered[DirEntry] = Ordered(TOMBSTONES)

    def add(self, change: TableChange, key: str) -> None:
        """`key` is deleted by this change."""
        change.put(self.table, (key,), DirEntry(key=key, modify_index=change.index))
        change.bump(TOMBSTONES)

    def max_index(self, prefix: str) -> int:
        """The last deletion under a prefix, 0 for none that is remembered."""
        return max((stone.modify_index for stone in self.table.under(prefix)), default=0)

    def reap(self, change: TableChange, index: int) -> None:
        """Forget the deletions up to `index`; nobody is woken."""
        for stone in self.table.all():
            if stone.modify_index <= index:
                change.remove(self.table, (stone.key,))
