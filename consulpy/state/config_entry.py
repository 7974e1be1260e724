"""The table of config entries, by kind and name."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from consulpy.connect.discovery_chain.links import linked_services
from consulpy.errors import RPCError
from consulpy.state.change import TableChange
from consulpy.state.indexes import Indexes
from consulpy.state.table import Table
from consulpy.state.watch import WatchSet
from consulpy.structs.config_entry import KINDS
from consulpy.structs.newer_config_entry import NEWER_KINDS

CONFIG_ENTRIES: Final = "config-entries"

UPSERT, UPSERT_CAS, DELETE = "upsert", "upsert-cas", "delete"
#: Of Consul 1.11: from newer agents, and in the log of newer leaders; never written here, as 1.8.7 does not know it.
DELETE_CAS: Final = "delete-cas"


class ConfigEntries:
    """The config entries of all kinds (`consulpy.structs.config_entry`)."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.table: Table[Any] = Table(CONFIG_ENTRIES, kind=lambda entry: (entry.kind,), link=linked_services)

    def get(self, watch: WatchSet | None, kind: str, name: str) -> tuple[int, Any]:
        """An entry, None if there is none; names match without regard to case."""
        return self._indexes.max(watch, CONFIG_ENTRIES), self.table.get(*entry_key(kind, name))

    def all(self, watch: WatchSet | None, kind: str = "") -> tuple[int, Sequence[Any]]:
        """All entries of a kind, or of every kind, by kind and name."""
        rows = self.table.by("kind", kind) if kind else self.table.all()
        return self._indexes.max(watch, CONFIG_ENTRIES), rows

    def has_newer_kinds(self) -> bool:
        """Whether there is an entry of a kind that servers of 1.8.7 do not know."""
        return any(self.table.by("kind", kind) for kind in NEWER_KINDS)

    def with_newer_fields(self) -> str:
        """The first entry with fields that servers of 1.8.7 would drop, as "kind/name: field"; "" for none."""
        from consulpy.structs.newer_config_fields import newer_paths  # not needed to start

        entries = (entry for entry in self.table.all() if entry.kind in KINDS)
        found = ((entry, path) for entry in entries for path in newer_paths(entry))
        return next((f"{entry.kind}/{entry.name}: {path}" for entry, path in found), "")

    def find(self, kind: str, name: str) -> Any:
        """An entry of exactly this name, or None: links between entries regard the case of names."""
        found = self.table.get(*entry_key(kind, name))
        return found if found is not None and found.name == name else None

    def of_kind(self, kind: str) -> Sequence[Any]:
        """All entries of a kind."""
        return self.table.by("kind", kind)

    def linking_to(self, service: str) -> Sequence[Any]:
        """The entries of other services that name this one."""
        return self.table.by("link", service)

    def put(self, change: TableChange, entry: Any, *, check_and_set: bool = False) -> bool:
        """Write an entry; with `check_and_set` only if its index is still `entry.modify_index` (0: it does not exist).

        Raises `RPCError` if it would break a discovery chain, or has no name.
        """
        key = entry_key(entry.kind, entry.name)
        old = self.table.get(*key)
        if check_and_set and entry.modify_index != (old.modify_index if old is not None else 0):
            return False
        if not entry.name:
            raise RPCError("failed inserting config entry: object missing primary index")
        self._check(entry.kind, entry.name, entry)
        created = old.create_index if old is not None else change.index
        change.put(self.table, key, dataclasses.replace(entry, create_index=created, modify_index=change.index))
        change.bump(CONFIG_ENTRIES)
        return True

    def remove(self, change: TableChange, kind: str, name: str) -> None:
        """Remove an entry if it exists. Raises `RPCError` if a discovery chain needs it."""
        key = entry_key(kind, name)
        if self.table.get(*key) is not None:
            self._check(kind, name, None)
            change.remove(self.table, key)
            change.bump(CONFIG_ENTRIES)

    def _check(self, kind: str, name: str, new: Any) -> None:
        from consulpy.connect.discovery_chain.check import check_change  # not needed to start

        if kind in KINDS:  # newer ones are in no chain
            check_change(self, kind, name, new)


def entry_key(kind: str, name: str) -> tuple[str, str]:
    """Primary key of an entry."""
    return (kind, name.lower())
