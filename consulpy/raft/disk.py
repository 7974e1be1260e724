"""The file of the Raft log: the SQLite file of `consulpy.state.disk`, in format 3.

    raft(key, value)            `hard_state`: msgpack [term, voted term, voted for]; `snapshot`: what the snapshot
                                contains, msgpack [index, term, configuration, configuration index]; `unconfirmed`:
                                of a snapshot that stands in the place of entries, msgpack [index, term]
    entries(idx, data)          the byte 0xFE and msgpack [term, entries]; an entry is a command, or [type, data,
                                extensions]; `idx` is the index of the first
    snapshot(part, idx, data)   as there, each part with a checksum

A file of format 2 is taken over when it is opened: its state becomes a snapshot in term `TAKEN_OVER_TERM`.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from consulpy.codec.msgpack import pack, unpack
from consulpy.errors import ConfigError, RPCError, WireError
from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.log_marker_file import LogMarker
from consulpy.raft.messages import LogEntry
from consulpy.raft.rows import entries_in, pack_hard_state, pack_meta, rows_of, unpack_hard_state, unpack_meta
from consulpy.raft.storage import HardState, SnapshotMeta, StoredState, Update
from consulpy.raft.write_ahead_file import close_and_keep, lost_commits, write_ahead_of
from consulpy.state import snapshot as snapshots
from consulpy.state.disk import (
    STALE,
    LogStore,
    SnapshotJob,
    UnreadableLog,
    pack_part,
    pack_parts,
    refuse_part,
    unpack_parts,
)
from consulpy.state.store import Store

FORMAT: Final = 3
#: The term of everything that was stored before there were terms (a single real server is in its second one).
TAKEN_OVER_TERM: Final = 2


class RaftDatabase(LogStore):
    """The open file. Its methods may be called from any thread; one waits for the other. Errors are returned.

    `alone`: this server begins a quorum by itself if it finds nothing that can be read. `marked_in`: the directory of
    the log's marker (`consulpy.raft.log_marker_file`), which may be another one than the log's.
    """

    format = FORMAT

    def __init__(
        self, path: str, say: Callable[[str, str], None], *, alone: bool = False, marked_in: Path | None = None
    ) -> None:
        self._is_alone = alone
        self._marker = self._make_marker(Path(path), marked_in)
        #: Snapshots that are being sent, and how often each.
        self._being_read: Counter[int] = Counter()
        super().__init__(path, say)

    @property
    def _begins_alone(self) -> bool:
        return self._is_alone and not (self._marker is not None and self._marker.is_of_several)

    def _set_aside(self, why: str) -> None:
        """Refuse to start: votes may have been given and entries acknowledged that are lost here.

        A server that is to begin alone puts the file aside and begins anew.
        """
        if self._begins_alone:
            super()._set_aside(why)
            if self._marker is not None:
                self._marker.forget()
            return
        raise ConfigError(
            f"{self.path} cannot be read ({why}). This server must not vote with what it has forgotten: remove it from "
            "the quorum (`operator raft remove-peer`), move its data directory away, and start it as a new server"
        )

    def _make_marker(self, path: Path, folder: Path | None) -> LogMarker | None:
        return LogMarker(path, folder or path.parent)

    def _open(self) -> sqlite3.Connection:
        why = self._marker.lost(begins_alone=self._begins_alone) if self._marker is not None else ""
        if why:
            raise UnreadableLog(why)
        connection = super()._open()
        try:
            _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.OperationalError:  # no room on the disk: it is merged later
            return connection
        except sqlite3.DatabaseError as error:
            connection.close()
            raise UnreadableLog(str(error)) from None
        write_ahead = write_ahead_of(self.path)
        if lost_commits(write_ahead, max(frames, 0)) > 1:
            why = f"{write_ahead.name} is damaged, and what was written after that place is lost"
            if not self._begins_alone:
                close_and_keep(connection, write_ahead)
                raise UnreadableLog(why)
            self._say("error", f"{self.path}: {why}")
        return connection

    def set_servers(self, count: int) -> None:
        """Note the number of servers in the quorum: one of several never begins anew by itself."""
        with self._lock:
            if self._marker is not None:
                self._marker.set_servers(count)

    def close(self) -> None:
        """See `LogStore.close`."""
        with self._lock:
            if self._marker is not None:
                self._marker.closed()
        super().close()

    def load_raft(self, own: Server, replay: Callable[[Store, int, bytes], None]) -> StoredState:
        """The stored state. `own`: the only server of a quorum that a file of format 2 is made to; it is `replay`ed.

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
            found = self._load_raft()
            hard = found.hard_state
            why = self._marker.forgotten(hard.term, hard.voted_term) if self._marker is not None else ""
            if why:
                raise UnreadableLog(why)
            return found

    def adopt(
        self, hard_state: HardState, meta: SnapshotMeta | None, records: Sequence[bytes], entries: Sequence[LogEntry]
    ) -> Exception | None:
        """Store what another program had stored, all of it or nothing, in a file that is loaded and empty."""
        with self._lock:
            statements: list[tuple[str, tuple[Any, ...]]] = [_put("hard_state", pack_hard_state(hard_state))]
            if meta is not None:
                statements += [
                    ("INSERT INTO snapshot VALUES (?, ?, ?)", (number, meta.index, part))
                    for number, part in enumerate(pack_parts(records))
                ]
                statements.append(_put("snapshot", pack_meta(meta)))
                if all(entry.index != meta.index for entry in entries):
                    statements.append(_put("unconfirmed", pack([meta.index, meta.term])))
            statements += [("INSERT INTO entries VALUES (?, ?)", row) for row in rows_of(entries)]
            return self._transaction(statements)

    def write(self, update: Update) -> Exception | None:
        """Make an update durable, all of it or nothing."""
        with self._lock:
            connection = self._connection
            try:
                rows = list(rows_of(update.entries))
                if update.is_one_row(len(rows)) and not self._torn:
                    self._torn = True
                    connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows[0])
                else:
                    self._write_all(update, rows)
            except (sqlite3.Error, OverflowError, WireError) as error:
                return self._failed(error)
            self._torn = False
            if self._marker is not None:
                if update.hard_state is None:
                    self._marker.written()
                else:
                    self._marker.written(update.hard_state.term, update.hard_state.voted_term)
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
                    for entry in entries_in(row_first, row):
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

    # -- snapshots: rows of several may stand beside each other, the one that `meta` names is the snapshot

    def begin_snapshot(self, index: int) -> SnapshotJob:
        """Begin a snapshot at `index`; waits for no job of another thread."""
        return SnapshotJob(index, 0, self._generation)

    def add_to_snapshot(self, job: SnapshotJob, records: Sequence[bytes]) -> Exception | None:
        """Store one part of a snapshot, behind all that are there: parts of several may come by turns."""
        statements: list[tuple[str, tuple[Any, ...]]] = [
            (
                "INSERT INTO snapshot SELECT coalesce(max(part), -1) + 1, ?, ? FROM snapshot",
                (job.index, pack_part(records)),
            )
        ]
        if not job.part:  # what is left of one that failed
            statements.insert(0, ("DELETE FROM snapshot WHERE idx = ?", (job.index,)))
        with self._lock:
            if job.generation != self._generation:
                return STALE
            error = self._transaction(statements)
        job.part += error is None
        return error

    def finish_raft_snapshot(self, job: SnapshotJob, meta: SnapshotMeta, keep_from: int) -> Exception | None:
        """All parts of a snapshot are stored: it is the snapshot now, and entries before `keep_from` go."""
        with self._lock:
            if job.generation != self._generation:
                return STALE
            kept = ",".join(map(str, {0, *self._being_read}))
            return self._transaction(
                [
                    (f"DELETE FROM snapshot WHERE idx < ? AND idx NOT IN ({kept})", (job.index,)),
                    _drop_before(keep_from),
                    _put("snapshot", pack_meta(meta)),
                    ("DELETE FROM raft WHERE key = 'unconfirmed'", ()),  # entries after it are committed
                ]
            )

    def finish_install(self, job: SnapshotJob, meta: SnapshotMeta, *, keep_entries: bool) -> Exception | None:
        """The same for a snapshot that goes in the place of the entries up to it, or of all entries."""
        with self._lock:
            if job.generation != self._generation:
                return STALE
            error = self._transaction(
                [
                    ("DELETE FROM snapshot WHERE idx != ?", (job.index,)),
                    _drop_before(meta.index + 1) if keep_entries else ("DELETE FROM entries", ()),
                    _put("snapshot", pack_meta(meta)),
                    _put("unconfirmed", pack([meta.index, meta.term])),
                ]
            )
            self._generation += error is None
            return error

    def discard_snapshot(self, job: SnapshotJob) -> Exception | None:
        """Drop the parts of a snapshot that is not to be finished."""
        with self._lock:
            meta = self._meta()
            if job.generation != self._generation or (meta is not None and meta.index == job.index):
                return None
            return self._transaction([("DELETE FROM snapshot WHERE idx = ?", (job.index,))])

    def hold_snapshot(self) -> SnapshotMeta:
        """Keep the parts of the newest snapshot until `release_snapshot`. Raises `RPCError` if there is none."""
        with self._lock:
            meta = self._meta()
            if meta is None:
                raise RPCError("there is no snapshot yet")
            self._being_read[meta.index] += 1
            return meta

    def release_snapshot(self, index: int) -> Exception | None:
        """Release the parts of the snapshot."""
        with self._lock:
            self._being_read[index] -= 1
            self._being_read += Counter()  # without those at 0
            meta = self._meta()
            if index in self._being_read or (meta is not None and meta.index == index):
                return None
            return self._transaction([("DELETE FROM snapshot WHERE idx = ?", (index,))])

    def snapshot_part(self, index: int, after: int) -> tuple[int, bytes] | None:
        """The number of the next part of a snapshot, and its records; None at the end. Raises `RPCError`."""
        with self._lock:
            try:
                row = self._connection.execute(
                    "SELECT part, data FROM snapshot WHERE idx = ? AND part > ? ORDER BY part LIMIT 1", (index, after)
                ).fetchone()
                return None if row is None else (row[0], b"".join(unpack_parts(iter(row[1:]))))
            except (sqlite3.Error, WireError, TypeError) as error:
                raise RPCError(f"the snapshot in {self.path} cannot be read: {error}") from None

    # -- inside

    def _load_raft(self) -> StoredState:
        meta = self._meta()
        state: Store | None = None
        if meta is not None:
            self._connection.execute("DELETE FROM snapshot WHERE idx != ?", (meta.index,))  # never finished
            rows = self._connection.execute("SELECT data FROM snapshot WHERE idx = ? ORDER BY part", (meta.index,))
            state = snapshots.restore(meta.index, unpack_parts((data for (data,) in rows), self._damaged))
        return StoredState(self._hard_state(), meta, state, list(self._stored_entries()), self._unconfirmed())

    def _damaged(self, why: str) -> None:
        """A part of the snapshot is damaged: a quorum of one goes on with it, as nobody else has the state."""
        if not self._begins_alone:
            refuse_part(why)
        self._say("error", f"{self.path}: {why}: some of the state may be wrong")

    def _stored_entries(self) -> Iterator[LogEntry]:
        for first, row in self._connection.execute("SELECT idx, data FROM entries ORDER BY idx"):
            yield from entries_in(first, row)

    def _hard_state(self) -> HardState:
        row = self._connection.execute("SELECT value FROM raft WHERE key = 'hard_state'").fetchone()
        if row is None:
            return HardState()
        return unpack_hard_state(row[0])

    def _unconfirmed(self) -> tuple[int, int]:
        row = self._connection.execute("SELECT value FROM raft WHERE key = 'unconfirmed'").fetchone()
        index, term = (0, 0) if row is None else unpack(row[0])
        return index, term

    def _meta(self) -> SnapshotMeta | None:
        row = self._connection.execute("SELECT value FROM raft WHERE key = 'snapshot'").fetchone()
        if row is None:
            return None
        return unpack_meta(row[0])

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
                _put("snapshot", pack_meta(meta)),
                _put("hard_state", pack_hard_state(HardState(TAKEN_OVER_TERM, TAKEN_OVER_TERM, own.address))),
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
            connection.execute(*_put("hard_state", pack_hard_state(update.hard_state)))
        if update.confirmed is not None:
            connection.execute(
                "DELETE FROM raft WHERE key = 'unconfirmed' AND value = ?", (pack(list(update.confirmed)),)
            )
        if update.discards_all:
            connection.execute("DELETE FROM entries")
            connection.execute("DELETE FROM snapshot")
            connection.execute("DELETE FROM raft WHERE key = 'snapshot'")
        cut = update.truncate_from
        if self._torn and rows:
            cut = rows[0][0] if cut is None else min(cut, rows[0][0])
        if cut is not None:
            self._cut(cut)
        connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)
        self._torn = True
        connection.execute("COMMIT")
        self._generation += update.discards_all

    def _cut(self, index: int) -> None:
        """Drop the entries from `index` on, also those that stand in a row with earlier ones."""
        connection = self._connection
        connection.execute("DELETE FROM entries WHERE idx >= ?", (index,))
        last = connection.execute("SELECT idx, data FROM entries ORDER BY idx DESC LIMIT 1").fetchone()
        if last is not None:
            entries = list(entries_in(*last))
            if entries[-1].index >= index:
                rest = list(rows_of([entry for entry in entries if entry.index < index]))
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


class MemoryDatabase(RaftDatabase):
    """A log without a file, for servers of a quorum that store nothing: it ends with its server."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        super().__init__(":memory:", say)

    def _make_marker(self, path: Path, folder: Path | None) -> LogMarker | None:  # noqa: ARG002
        return None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._check_ours(connection)
        return connection


def _put(key: str, value: bytes) -> tuple[str, tuple[str, bytes]]:
    return "INSERT OR REPLACE INTO raft VALUES (?, ?)", (key, value)


def _drop_before(index: int) -> tuple[str, tuple[int]]:
    """Drop the rows whose entries all stand before `index`; one that goes on beyond it stays whole."""
    return "DELETE FROM entries WHERE idx < (SELECT max(idx) FROM entries WHERE idx <= ?)", (index,)
