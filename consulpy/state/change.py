"""One atomic change of the state store's tables, with the journal by which it is undone."""

from collections.abc import Hashable
from typing import Any

from consulpy.state.indexes import Indexes
from consulpy.state.ordered_table import OrderedTable
from consulpy.state.table import Key, Row, Table


class TableChange:
    """The writes of one command: replaces rows, raises index keys, and collects the watched keys to notify.

    `index`: the Raft index of the command. `changed_keys`: the watched keys, in order, whose watches fire at the end;
    `changed_kv`: sorted keys of the KV store, whose watches and those of their prefixes fire too.
    """

    __slots__ = ("_indexes", "_journal", "changed_keys", "changed_kv", "index", "lock_delays")

    def __init__(self, indexes: Indexes, index: int) -> None:
        self._indexes = indexes
        self.index = index
        self.changed_keys: dict[Hashable, None] = {}
        self.changed_kv: list[list[bytes]] = []
        #: KV keys released by an ended session, and for how many nanoseconds they can't be locked.
        self.lock_delays: list[tuple[list[str], int]] = []
        self._journal: list[tuple[Any, ...]] = []

    def put(self, table: Table[Row], key: Key, row: Row) -> None:
        """Insert or replace a row."""
        self._journal.append((table._replace, key, table._replace(key, row)))

    def remove(self, table: Table[Row], key: Key) -> None:
        """Remove a row."""
        self._journal.append((table._replace, key, table._replace(key, None)))

    def remove_prefix(self, table: OrderedTable[Row], prefix: str) -> list[bytes]:
        """Remove all rows whose keys begin with `prefix`; the keys, in order, as bytes."""
        removed = table._remove_prefix(prefix)
        self._journal.append((table._undo_remove, (prefix,), removed))
        return removed[0]

    def remove_keys(self, table: OrderedTable[Row], raw_keys: list[bytes]) -> None:
        """Remove the rows of these keys, which are sorted and there."""
        self._journal.append((table._undo_remove, (), table._remove_keys(raw_keys)))

    def put_rows(self, table: OrderedTable[Row], raw_keys: list[bytes], rows: list[Row]) -> None:
        """Insert or replace the rows of these keys, which are sorted."""
        self._journal.append((table._undo_put_rows, raw_keys, table._put_rows(raw_keys, rows)))

    def remove_rows(self, table: Table[Row], keys: list[Key]) -> None:
        """Remove the rows of these keys, which are there."""
        if keys:
            self._journal.append((table._undo_remove_rows, keys[0], table._remove_rows(keys)))

    def bump(self, *keys: Hashable) -> None:
        """Set index keys to this change's index, and fire the watches on them."""
        for key in keys:
            self._set_index(key, self.index)

    def drop_index(self, key: Hashable) -> None:
        """Remove an index key (of a service without instances), and fire the watches on it."""
        self._set_index(key, 0)

    def set_index(self, key: Hashable, index: int) -> None:
        """Set an index key that is a counter of its own, and fire the watches on it."""
        self._set_index(key, index)

    def mark_changed(self, *keys: Hashable) -> None:
        """Fire the watches on keys without an index of their own."""
        for key in keys:
            self.changed_keys[key] = None

    def _set_index(self, key: Hashable, index: int) -> None:
        if key in self.changed_keys and self._indexes.get(key) == index:
            return  # this change has set it already
        self._journal.append((self._indexes._replace, key, self._indexes._replace(key, index)))
        self.changed_keys[key] = None

    def _undo(self) -> None:
        for replace, key, old in reversed(self._journal):
            replace(key, old)
