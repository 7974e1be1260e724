"""The log file: a snapshot of the state and the entries after it, in SQLite (WAL, synchronous=FULL).

    snapshot(part, idx, data)   records of `consulpy.state.snapshot` up to index `idx`, several per part; parts with a
                                larger `idx` than others belong to an unfinished next snapshot
    entries(idx, data)          the entries after it, without a gap; one row per transaction

Here: opening, snapshots, and reading the formats before Raft. There a row of entries is the byte 0xFF and the msgpack
array of its commands, `idx` being the index of the first; or (before format 2) one command. `consulpy.raft.disk` has
the present format.

A file that is not a log, or can't be read, is renamed aside with a log line, never deleted. SQLite's lock excludes a
second agent; it ends with the process.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Final
from zlib import crc32

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack, unpack
from consulpy.errors import ConfigError, RPCError, WireError
from consulpy.state import snapshot as snapshots
from consulpy.state.store import Store

#: "cons" in SQLite's header, which identifies our files.
APPLICATION_ID: Final = 0x636F6E73
FORMAT: Final = 2
#: First byte of a row of several entries; no command starts with it.
_BATCH_MARK: Final = b"\xff"
#: First byte of a row of snapshot records with a checksum: four bytes, CRC-32 of the rest. Rows of earlier versions
#: have none.
_PART_MARK: Final = b"\xfd"
_CHECKSUM_BYTES: Final = 4
#: Maximum bytes of snapshot records in one row.
PART_BYTES: Final = 1 << 18
#: Size in bytes to which the write-ahead log is truncated after a snapshot.
WAL_MAX_BYTES: Final = 8 << 20

_SCHEMA: Final = """
    CREATE TABLE entries (idx INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE snapshot (part INTEGER PRIMARY KEY, idx INTEGER NOT NULL, data BLOB NOT NULL);
"""


@dataclass(slots=True)
class SnapshotJob:
    """A snapshot being written. `part`: how many parts it has so far; `generation`: of the state that it belongs to."""

    index: int
    part: int
    generation: int


class UnreadableLog(Exception):
    """The file is not a log, or damaged."""


class LogStore:
    """The open log file. Methods may be called from any thread; a lock serializes them."""

    #: The newest format that this class reads.
    format = FORMAT

    def __init__(self, path: str, say: Callable[[str, str], None]) -> None:
        self.path = Path(path)
        self._say = say
        self._lock = Lock()
        #: Whether a failed commit may have left entries that were never acknowledged.
        self._torn = False
        #: Number of replacements of the whole state; snapshots of an earlier generation are not finished.
        self._generation = 0
        self._connection = self._open_or_set_aside()

    def close(self) -> None:
        """Close the file and release its lock."""
        with self._lock:
            self._connection.close()

    def _load(self, store: Store, replay: Callable[[int, bytes], None]) -> None:
        """Restore the snapshot into `store`, then call `replay` for each entry after it."""
        rows = self._connection.execute(
            "SELECT idx, data FROM snapshot WHERE idx = (SELECT min(idx) FROM snapshot) ORDER BY part"
        ).fetchall()
        if rows:
            store.replace_by(snapshots.restore(rows[0][0], unpack_parts(data for _, data in rows)))
        entries = self._connection.execute("SELECT idx, data FROM entries WHERE idx > ? ORDER BY idx", (store.index,))
        for first, row in entries:
            if first != store.index + 1:
                raise UnreadableLog(f"entry {store.index + 1} is missing")
            for data in _commands(row):
                replay(store.index + 1, data)

    def _failed(self, error: Exception) -> Exception:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as again:
                self._say("error", f"{self.path}: {again}")
        return RPCError(f"could not be written to {self.path}: {error}")

    # Opening

    def _open_or_set_aside(self) -> sqlite3.Connection:
        try:
            return self._open()
        except UnreadableLog as error:
            self._set_aside(str(error))
            return self._open()

    def _open(self) -> sqlite3.Connection:
        """Open or create the file, and lock it. Raises `ConfigError`, or `UnreadableLog`."""
        if self.path.exists() and not os.access(self.path, os.R_OK | os.W_OK):
            raise ConfigError(f"{self.path} may not be read and written by this user: change its owner, or -data-dir")
        try:
            self.path.touch(mode=0o600)  # it holds tokens; SQLite's other files get the same mode
        except OSError as error:
            raise self._why_not(error) from None
        try:
            connection = sqlite3.connect(self.path, timeout=1.0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._why_not(error) from None
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            self._check_ours(connection)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
            connection.execute("PRAGMA synchronous=FULL")
            # overwriting the write-ahead log from its start costs half of growing it
            connection.execute(f"PRAGMA journal_size_limit={WAL_MAX_BYTES}").fetchall()
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.close()
            raise self._why_not(error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_ours(self, connection: sqlite3.Connection) -> None:
        """Check that the file is a log, or make it one if it is empty."""
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not application_id and not tables:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={self.format}")
        elif application_id != APPLICATION_ID:
            raise UnreadableLog("it is another program's database")
        elif version > self.format:
            raise ConfigError(f"{self.path} was written by a newer consulpy: use that one, or another -data-dir")
        elif version < FORMAT:
            connection.execute(f"PRAGMA user_version={FORMAT}")

    def _why_not(self, error: Exception) -> Exception:
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if code is not None else None
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return ConfigError(
                f"{self.path} is in use by another agent: stop that one, or give this one its own -data-dir"
            )
        if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return UnreadableLog(str(error))
        return ConfigError(
            f"{self.path} cannot be written ({error}): -data-dir must be a folder this user may write to"
        )

    def _set_aside(self, why: str) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.bad-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        self._say("error", f"{self.path} cannot be used ({why}); it was kept as {aside}, and the state begins empty")


#: The error of a snapshot of a state that was replaced.
STALE: Final = RPCError("the state was replaced meanwhile")


def pack_parts(records: Sequence[bytes]) -> Iterator[bytes]:
    """Pack records into rows of about `PART_BYTES`."""
    part: list[bytes] = []
    size = 0
    for record in records:
        part.append(record)
        size += len(record)
        if size >= PART_BYTES:
            yield pack_part(part)
            part, size = [], 0
    yield pack_part(part)


def pack_part(records: Sequence[bytes]) -> bytes:
    """A row of records, with their checksum."""
    packed = pack(records)
    return _PART_MARK + crc32(packed).to_bytes(_CHECKSUM_BYTES, "big") + packed


def _commands(row: bytes) -> list[bytes]:
    """The commands in a row of entries."""
    if not row.startswith(_BATCH_MARK):
        return [row]
    commands = unpack(memoryview(row)[1:])
    if not isinstance(commands, list) or not all(isinstance(each, bytes) for each in commands):
        raise WireError("a row of entries is no list of commands")
    return commands


def refuse_part(why: str) -> None:
    """Refuse a damaged part of a snapshot. Raises `WireError`."""
    raise WireError(why)


def unpack_parts(parts: Iterator[bytes], damaged: Callable[[str], None] = refuse_part) -> Iterator[bytes]:
    """The records in rows made by `pack_parts`. Raises `WireError`.

    `damaged(why)`: called for a row whose checksum is wrong; if it returns, the row is read nevertheless.
    """
    for part in parts:
        packed = memoryview(part)
        if part.startswith(_PART_MARK):
            start = len(_PART_MARK) + _CHECKSUM_BYTES
            packed = packed[start:]
            if crc32(packed) != int.from_bytes(part[len(_PART_MARK) : start], "big"):
                damaged("the checksum of a part of the snapshot is wrong")
        records = unpack(packed)
        if not isinstance(records, list):
            raise WireError("a part of the snapshot is no list")
        yield from records
