"""The table of config entries, by kind and name."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from consulpy.state.change import TableChange
from consulpy.state.indexes import Indexes
from consulpy.state.table import Table
from consulpy.state.watch import WatchSet

CONFIG_ENTRIES: Final = "config-entries"

UPSERT, UPSERT_CAS, DELETE = "upsert", "upsert-cas", "delete"


class ConfigEntries:
    """The config entries of all kinds (`consulpy.structs.config_entry`)."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.table: Table[Any] = Table(CONFIG_ENTRIES, kind=lambda entry: (entry.kind,))

    def get(self, watch: WatchSet | None, kind: str, name: str) -> tuple[int, Any]:
        """An entry, None if there is none; names match without regard to case."""
        return self._indexes.max(watch, CONFIG_ENTRIES), self.table.get(*entry_key(kind, name))

    def all(self, watch: WatchSet | None, kind: str = "") -> tuple[int, Sequence[Any]]:
        """All entries of a kind, or of every kind, by kind and name."""
        rows = self.table.by("kind", kind) if kind else self.table.all()
        return self._indexes.max(watch, CONFIG_ENTRIES), rows

    def put(self, change: TableChange, entry: Any, *, check_and_set: bool = False) -> bool:
        """Write an entry; with `check_and_set` only if its index is still `entry.modify_index` (0:
        it does not exist).
        """
        key = entry_key(entry.kind, entry.name)
        old = self.table.get(*key)
        if check_and_set and entry.modify_index != (old.modify_index if old is not None else 0):
            return False
        created = old.create_index if old is not None else change.index
        change.put(self.table, key, dataclasses.replace(entry, create_index=created, modify_index=change.index))
        change.bump(CONFIG_ENTRIES)
        return True

    def remove(self, change: TableChange, kind: str, name: str) -> None:
        """Remove an entry if it exists."""
        key = entry_key(kind, name)
        if self.table.get(*key) is not None:
            change.remove(self.table, key)
            change.bump(CONFIG_ENTRIES)


def entry_key(kind: str, name: str) -> tuple[str, str]:
    """Primary key of an entry."""
    return (kind, name.lower())
