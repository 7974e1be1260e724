"""The file of a quorum's server: the same SQLite file as a single server's (`consulpy.state.disk`), format 3.

    raft(key, value)            `hard_state`: msgpack [term, voted term, voted for]; `snapshot`: what the snapshot
                                contains, msgpack [index, term, configuration, configuration index]
    entries(idx, data)          the byte 0xFE and msgpack [term, entries]; an entry is a command, or [type, data,
                                extensions]; `idx` is the index of the first
    snapshot(part, idx, data)   as there

A file of format 2 is taken over when it is opened: its state becomes a snapshot in term `TAKEN_OVER_TERM`.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from consulpy.codec.msgpack import pack, text, unpack
from consulpy.errors import ConfigError, RPCError, WireError
from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.messages import COMMAND, LogEntry
from consulpy.raft.storage import HardState, SnapshotMeta, StoredState, Update
from consulpy.state import snapshot as snapshots
from consulpy.state.disk import LogStore, SnapshotJob, UnreadableLog, pack_parts, unpack_parts
from consulpy.state.store import Store

FORMAT: Final = 3
#: The term of everything that was stored before there were terms (a single real server is in its second one).
TAKEN_OVER_TERM: Final = 2
#: Begins a row of entries with a term; neither a command nor a row of format 2 does.
_ROW: Final = b"\xfe"
#: The most entries of one row, so that cutting and reading never touches much.
_ROW_ENTRIES: Final = 512


class RaftDatabase(LogStore):
    """The open file. Its methods may be called from any thread; one waits for the other. Errors are returned.

    `alone`: this server begins a quorum by itself if it finds nothing that can be read.
    """

    format = FORMAT

    def __init__(self, path: str, say: Callable[[str, str], None], *, alone: bool = False) -> None:
        self._is_alone = alone
        super().__init__(path, say)

    def _set_aside(self, why: str) -> None:
        """What was stored here is not forgotten: votes may have been given, entries acknowledged.

        A server that is to begin alone puts the file aside and begins anew.
        """
        if self._is_alone:
            super()._set_aside(why)
            return
        raise ConfigError(
            f"{self.path} cannot be read ({why}). This server must not vote with what it has forgotten: remove it from "
            "the quorum (`operator raft remove-peer`), move its data directory away, and start it as a new server"
        )

    def load_raft(self, own: Server, replay: Callable[[Store, int, bytes], None]) -> StoredState:
        """What is stored. `own`: the only server of a quorum that a file of format 2 is made to; it is `replay`ed.

        Raises `ConfigError` for what cannot be read; the file is unchanged then.
        """
        try:
            return self._load_or_take_over(own, replay)
        except (sqlite3.DatabaseError, WireError, UnreadableLog, AssertionError, ValueError, TypeError) as error:
            self._connection.close()
            self._set_aside(str(error) or type(error).__name__)
            self._connection = self._open()
            return self._load_or_take_over(own, replay)

    def _load_or_take_over(self, own: Server, replay: Callable[[Store, int, bytes], None]) -> StoredState:
        with self._lock:
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            has_table = self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'raft'").fetchone()
            if version < FORMAT or not has_table:
                self._take_over(own, replay)
            return self._load_raft()

    def adopt(
        self, hard_state: HardState, meta: SnapshotMeta | None, records: Sequence[bytes], entries: Sequence[LogEntry]
    ) -> Exception | None:
        """Store what another program had stored, all of it or nothing, in a file that is loaded and empty."""
        with self._lock:
            statements: list[tuple[str, tuple[Any, ...]]] = [_put("hard_state", _pack_hard_state(hard_state))]
            if meta is not None:
                statements += [
                    ("INSERT INTO snapshot VALUES (?, ?, ?)", (number, meta.index, part))
                    for number, part in enumerate(pack_parts(records))
                ]
                statements.append(_put("snapshot", _pack_meta(meta)))
            statements += [("INSERT INTO entries VALUES (?, ?)", row) for row in _rows(entries)]
            return self._transaction(statements)

    def write(self, update: Update) -> Exception | None:
        """Make an update durable, all of it or nothing."""
        with self._lock:
            connection = self._connection
            try:
                rows = list(_rows(update.entries))
                if len(rows) == 1 and update.hard_state is None and update.truncate_from is None and not self._torn:
                    self._torn = True
                    connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows[0])
                else:
                    self._write_all(update, rows)
            except sqlite3.Error as error:
                return self._failed(error)
            self._torn = False
            return None

    def read(self, first: int, most_entries: int, most_bytes: int) -> list[LogEntry] | Exception:
        """Entries from `first` on, at least one."""
        with self._lock:
            try:
                rows = self._connection.execute(
                    "SELECT idx, data FROM entries WHERE idx >= "
                    "(SELECT max(idx) FROM entries WHERE idx <= ?) ORDER BY idx",
                    (first,),
                )
                entries: list[LogEntry] = []
                size = 0
                for row_first, row in rows:
                    for entry in _entries(row_first, row):
                        if entry.index < first:
                            continue
                        size += len(entry.data or b"")
                        if len(entries) >= most_entries or (entries and size > most_bytes):
                            return entries
                        if entry.index != first + len(entries):
                            return entries or RPCError(f"entry {first} is missing in {self.path}")
                        entries.append(entry)
            except (sqlite3.Error, WireError) as error:
                return RPCError(f"{self.path} cannot be read: {error}")
            return entries or RPCError(f"entry {first} is missing in {self.path}")

    def finish_raft_snapshot(self, job: SnapshotJob, meta: SnapshotMeta, keep_from: int) -> Exception | None:
        """All parts of a snapshot are stored: it is the snapshot now, and entries before `keep_from` go."""
        with self._lock:
            if job.generation != self._generation:
                return RPCError("the state was replaced meanwhile")
            return self._transaction(
                [
                    ("DELETE FROM snapshot WHERE idx < ?", (job.index,)),
                    _drop_before(keep_from),
                    _put("snapshot", _pack_meta(meta)),
                ]
            )

    def install(self, meta: SnapshotMeta, records: Sequence[bytes], *, keep_entries: bool) -> Exception | None:
        """Put a snapshot in the place of the old one and of the entries up to it, or of all entries."""
        with self._lock:
            self._generation += 1
            parts: list[tuple[str, tuple[Any, ...]]] = [
                ("INSERT INTO snapshot VALUES (?, ?, ?)", (number, meta.index, part))
                for number, part in enumerate(pack_parts(records))
            ]
            drop = _drop_before(meta.index + 1) if keep_entries else ("DELETE FROM entries", ())
            return self._transaction([("DELETE FROM snapshot", ()), *parts, drop, _put("snapshot", _pack_meta(meta))])

    def read_snapshot(self) -> tuple[SnapshotMeta, list[bytes]] | Exception:
        """The newest snapshot: what it contains, and its records."""
        with self._lock:
            try:
                meta = self._meta()
                if meta is None:
                    return RPCError("there is no snapshot yet")
                rows = self._connection.execute(
                    "SELECT data FROM snapshot WHERE idx = ? ORDER BY part", (meta.index,)
                ).fetchall()
                return meta, list(unpack_parts(data for (data,) in rows))
            except (sqlite3.Error, WireError) as error:
                return RPCError(f"the snapshot in {self.path} cannot be read: {error}")

    # -- inside

    def _load_raft(self) -> StoredState:
        meta = self._meta()
        state: Store | None = None
        if meta is not None:
            rows = self._connection.execute(
                "SELECT data FROM snapshot WHERE idx = ? ORDER BY part", (meta.index,)
            ).fetchall()
            state = snapshots.restore(meta.index, unpack_parts(data for (data,) in rows))
        return StoredState(self._hard_state(), meta, state, list(self._stored_entries()))

    def _stored_entries(self) -> Iterator[LogEntry]:
        for first, row in self._connection.execute("SELECT idx, data FROM entries ORDER BY idx"):
            yield from _entries(first, row)

    def _hard_state(self) -> HardState:
        row = self._connection.execute("SELECT value FROM raft WHERE key = 'hard_state'").fetchone()
        if row is None:
            return HardState()
        term, voted_term, voted_for = unpack(row[0])
        return HardState(term, voted_term, text(voted_for))

    def _meta(self) -> SnapshotMeta | None:
        row = self._connection.execute("SELECT value FROM raft WHERE key = 'snapshot'").fetchone()
        if row is None:
            return None
        index, term, configuration, configuration_index = unpack(row[0])
        return SnapshotMeta(index, term, Configuration.unpack(configuration), configuration_index)

    def _take_over(self, own: Server, replay: Callable[[Store, int, bytes], None]) -> None:
        """Make a file of format 2, or an empty one, to one of ours, in one transaction."""
        store = Store()
        self._load(store, lambda index, data: replay(store, index, data))
        statements: list[tuple[str, tuple[Any, ...]]] = [
            ("CREATE TABLE IF NOT EXISTS raft (key TEXT PRIMARY KEY, value BLOB NOT NULL)", ()),
            ("DELETE FROM snapshot", ()),
            ("DELETE FROM entries", ()),
        ]
        if store.index:
            records = list(snapshots.Snapshot.of(store).records())
            statements += [
                ("INSERT INTO snapshot VALUES (?, ?, ?)", (number, store.index, part))
                for number, part in enumerate(pack_parts(records))
            ]
            meta = SnapshotMeta(store.index, TAKEN_OVER_TERM, Configuration.of([own]), store.index)
            statements += [
                _put("snapshot", _pack_meta(meta)),
                _put("hard_state", _pack_hard_state(HardState(TAKEN_OVER_TERM, TAKEN_OVER_TERM, own.address))),
            ]
        error = self._transaction([*statements, (f"PRAGMA user_version={FORMAT}", ())])
        if error is not None:
            raise error
        # The version is looked for in the file itself before it is opened.
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _write_all(self, update: Update, rows: list[tuple[int, bytes]]) -> None:
        connection = self._connection
        connection.execute("BEGIN")
        if update.hard_state is not None:
            connection.execute(*_put("hard_state", _pack_hard_state(update.hard_state)))
        cut = update.truncate_from
        if self._torn and rows:
            cut = rows[0][0] if cut is None else min(cut, rows[0][0])
        if cut is not None:
            self._cut(cut)
        connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)
        self._torn = True
        connection.execute("COMMIT")

    def _cut(self, index: int) -> None:
        """Drop the entries from `index` on, also those that stand in a row with earlier ones."""
        connection = self._connection
        connection.execute("DELETE FROM entries WHERE idx >= ?", (index,))
        last = connection.execute("SELECT idx, data FROM entries ORDER BY idx DESC LIMIT 1").fetchone()
        if last is not None:
            entries = list(_entries(*last))
            if entries[-1].index >= index:
                rest = list(_rows([entry for entry in entries if entry.index < index]))
                connection.execute("UPDATE entries SET data = ? WHERE idx = ?", (rest[0][1], last[0]))

    def _transaction(self, statements: Sequence[tuple[str, tuple[Any, ...]]]) -> Exception | None:
        connection = self._connection
        try:
            connection.execute("BEGIN")
            for statement, values in statements:
                connection.execute(statement, values)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            return self._failed(error)
        return None


def _put(key: str, value: bytes) -> tuple[str, tuple[str, bytes]]:
    return "INSERT OR REPLACE INTO raft VALUES (?, ?)", (key, value)


def _drop_before(index: int) -> tuple[str, tuple[int]]:
    """Drop the rows whose entries all stand before `index`; one that goes on beyond it stays whole."""
    return "DELETE FROM entries WHERE idx < (SELECT max(idx) FROM entries WHERE idx <= ?)", (index,)


def _pack_meta(meta: SnapshotMeta) -> bytes:
    return pack([meta.index, meta.term, meta.configuration.pack(), meta.configuration_index])


def _pack_hard_state(state: HardState) -> bytes:
    return pack([state.term, state.voted_term, state.voted_for])


def _rows(entries: Sequence[LogEntry]) -> Iterator[tuple[int, bytes]]:
    """Rows of entries of one term each."""
    items: list[Any] = []
    first = 0
    for position, entry in enumerate(entries):
        if not items:
            first = entry.index
        is_plain = entry.type == COMMAND and entry.extensions is None and entry.data is not None
        items.append(entry.data if is_plain else [entry.type, entry.data, entry.extensions])
        following = entries[position + 1] if position + 1 < len(entries) else None
        if following is None or following.term != entry.term or len(items) >= _ROW_ENTRIES:
            yield first, _ROW + pack([entry.term, items])
            items = []


def _entries(first: int, row: bytes) -> Iterator[LogEntry]:
    """The entries in a row. Raises `WireError`, or `UnreadableLog` for one of another format."""
    if not row.startswith(_ROW):
        raise UnreadableLog(f"the entries from {first} on have no term")
    raw = unpack(memoryview(row)[1:])
    if not isinstance(raw, list) or len(raw) != 2 or not isinstance(raw[1], list):
        raise WireError(f"the row of entries from {first} on is damaged")
    term, items = raw
    for number, item in enumerate(items):
        if isinstance(item, bytes):
            yield LogEntry(item, None, first + number, term, COMMAND)
        else:
            kind, data, extensions = item
            yield LogEntry(data, extensions, first + number, term, kind)
