"""The KV store: entries by key, locks on them, and the indexes of keys and prefixes (docs/wire/rpc.md 10, 14).

A read of one key watches that key, a read of a prefix watches the prefix: `WatchRegistry` finds the watches of a
changed key without going through all of them.
"""

import dataclasses
from operator import attrgetter
from typing import Final

from consulpy.errors import RPCError
from consulpy.state.change import TableChange
from consulpy.state.indexes import Indexes
from consulpy.state.ordered_table import OrderedTable
from consulpy.state.session import Sessions
from consulpy.state.tombstone import TOMBSTONES, Tombstones
from consulpy.state.watch import WatchSet, kv_key, kv_prefix
from consulpy.structs.kv import DirEntry

KVS: Final = "kvs"
_KEY: Final = attrgetter("key")
_MODIFY_INDEX: Final = attrgetter("modify_index")


class KVStore:
    """Reads and changes of keys. Reads return `(index, result)`."""

    def __init__(self, indexes: Indexes, sessions: Sessions) -> None:
        self._indexes = indexes
        self._sessions = sessions
        self.table: OrderedTable[DirEntry] = OrderedTable(
            KVS, session=lambda row: (row.session,) if row.session else ()
        )
        self.tombstones = Tombstones()

    # Reads

    def get(self, watch: WatchSet | None, key: str) -> tuple[int, DirEntry | None]:
        """An entry; the index of a missing one is that of all keys."""
        if watch is not None:
            watch.add(kv_key(key))
        found = self.table.get(key)
        return (found.modify_index if found is not None else self._table_index()), found

    def with_prefix(self, watch: WatchSet | None, prefix: str) -> tuple[int, list[DirEntry]]:
        """All entries under a prefix, by key."""
        if watch is not None:
            watch.add(kv_prefix(prefix))
        found = self.table.with_prefix(prefix)
        if not prefix:
            return self._table_index(), found
        newest = max(map(_MODIFY_INDEX, found), default=0)
        return max(newest, self.tombstones.max_index(prefix)) or self._table_index(), found

    def keys(self, watch: WatchSet | None, prefix: str, separator: str) -> tuple[int, list[str]]:
        """The keys under a prefix, each truncated after the first `separator` behind it, without duplicates."""
        index, entries = self.with_prefix(watch, prefix)
        if not separator:
            return index, list(map(_KEY, entries))
        return index, list(dict.fromkeys(_cut(entry.key, prefix, separator) for entry in entries))

    def _table_index(self) -> int:
        return self._indexes.max(None, KVS, TOMBSTONES)

    # Changes

    def set(self, change: TableChange, entry: DirEntry) -> DirEntry:
        """Write a key; a lock on it stays. The stored entry."""
        old = self.table.get(entry.key)
        session = old.session if old is not None else ""
        return self._put(change, entry if entry.session == session else dataclasses.replace(entry, session=session))

    def set_cas(self, change: TableChange, entry: DirEntry) -> DirEntry | None:
        """Write a key whose index is `entry.modify_index` (0: it does not exist); None if it isn't."""
        old = self.table.get(entry.key)
        if entry.modify_index != (old.modify_index if old is not None else 0):
            return None
        return self.set(change, entry)

    def lock(self, change: TableChange, entry: DirEntry) -> DirEntry | None:
        """Write and lock a key for `entry.session`; None if another session holds it. Raises `RPCError`."""
        if not entry.session:
            raise RPCError("missing session")
        if self._sessions.find(entry.session) is None:
            raise RPCError(f'invalid session "{entry.session}"')
        old = self.table.get(entry.key)
        lock_index = 1
        if old is not None and old.session:
            if old.session != entry.session:
                return None
            lock_index = old.lock_index
        elif old is not None:
            lock_index = old.lock_index + 1
        return self._put(change, dataclasses.replace(entry, lock_index=lock_index))

    def unlock(self, change: TableChange, entry: DirEntry) -> DirEntry | None:
        """Write and release a key that `entry.session` holds; None if it doesn't. Raises `RPCError`."""
        if not entry.session:
            raise RPCError("missing session")
        old = self.table.get(entry.key)
        if old is None or old.session != entry.session:
            return None
        return self._put(change, dataclasses.replace(entry, session="", lock_index=old.lock_index))

    def delete(self, change: TableChange, key: str) -> None:
        """Remove a key; for a missing one no index changes."""
        if self.table.get(key) is not None:
            self.tombstones.add(change, key)
            change.remove(self.table, (key,))
            change.mark_changed(kv_key(key))
            change.bump(KVS)

    def delete_cas(self, change: TableChange, key: str, index: int) -> bool:
        """Remove a key whose index is `index`; whether it was removed or missing."""
        old = self.table.get(key)
        if old is not None and old.modify_index != index:
            return False
        self.delete(change, key)
        return True

    def delete_tree(self, change: TableChange, prefix: str) -> None:
        """Remove all keys under a prefix, with one tombstone for all."""
        removed = change.remove_prefix(self.table, prefix)
        if removed:
            if prefix:
                self.tombstones.add(change, prefix)
            change.changed_kv.append(removed)
            change.bump(KVS)

    def end_session(self, change: TableChange, session: str, *, delete: bool) -> list[str]:
        """Release or delete the keys locked by a destroyed session; their names."""
        held = sorted(self.table.by("session", session), key=lambda entry: _raw(entry.key))
        if not held:
            return []
        keys = list(map(_KEY, held))
        raw_keys = list(map(_raw, keys))
        if delete:
            self.tombstones.add_all(change, raw_keys, keys)
            change.remove_keys(self.table, raw_keys)
        else:
            change.put_rows(self.table, raw_keys, [_released(row, change) for row in held])
        change.changed_kv.append(raw_keys)
        change.bump(KVS)
        return keys

    def _put(self, change: TableChange, entry: DirEntry) -> DirEntry:
        old = self.table.get(entry.key)
        new = entry.copied()
        new.value = entry.value or None
        new.create_index = old.create_index if old is not None else change.index
        new.modify_index = old.modify_index if old is not None else change.index
        if new == old:
            return old
        new.modify_index = change.index
        change.put(self.table, (new.key,), new)
        change.bump(KVS)
        change.mark_changed(kv_key(new.key))
        return new


def _released(entry: DirEntry, change: TableChange) -> DirEntry:
    """The entry without a lock."""
    free = entry.copied()
    free.session, free.modify_index = "", change.index
    return free


def _cut(key: str, prefix: str, separator: str) -> str:
    if not separator:
        return key
    if not (prefix.isprintable() and separator.isprintable()):  # not text: a cut may fall inside of a character
        raw, mark = _raw(key), _raw(separator)
        at = raw.find(mark, len(_raw(prefix)))
        return key if at < 0 else raw[: at + len(mark)].decode("utf-8", "surrogateescape")
    at = key.find(separator, len(prefix))
    return key if at < 0 else key[: at + len(separator)]


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
