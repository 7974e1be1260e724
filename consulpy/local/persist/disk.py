"""`JournaledDirectory`: the small files of the agent in its data directory, changed in atomic, durable commits.

A commit is one line of a journal, flushed once, however many files it changes. A checkpoint puts the files themselves
into place and empties the journal. After a crash the next start replays the journal: each commit is there whole, or not
at all. A line of the journal:

    CRC32 of the rest in 8 hex digits, blank, {"services/HASH": base64 or null (removed), ...}, line feed

The journal is preallocated: zeros follow the last line.
"""

import base64
import errno
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import Final

import orjson

from consulpy.log import Logger

_log = Logger()

#: Name of the journal, in the data directory.
JOURNAL: Final = "local-journal"
#: Journal size in bytes, and number of changed files, above which the next commit is followed by a checkpoint.
JOURNAL_MAX_BYTES: Final = 4 * 1024 * 1024
PENDING_MAX: Final = 256
#: Bytes by which the journal is preallocated.
GROW_MIN_BYTES: Final = 16 * 1024
GROW_MAX_BYTES: Final = 256 * 1024
_TEMPORARY: Final = ".tmp"
_CRC_DIGITS: Final = 8


class JournaledDirectory:
    """A `consulpy.local.persist.records.Files` below the folder `root` (created if missing). Raises OSError.

    Thread-safe.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._lock = RLock()
        #: Changes that are in the journal only, by path.
        self._pending: dict[str, bytes | None] = {}
        #: Paths among them that were committed with `durable`.
        self._durable: set[str] = set()
        self._journal = -1
        self._size = 0
        #: Size of the journal with its zeros: a flush that does not change a file's size costs half.
        self._allocated = 0
        #: Whether the journal may end with a line whose commit failed.
        self._torn = False
        self._replay()

    def read(self, folder: str) -> dict[str, bytes]:
        """All files of a folder by path. Raises `OSError`."""
        self.checkpoint()
        place = self.root / folder
        if not place.exists():
            return {}
        found = sorted(path for path in place.iterdir() if path.is_file() and path.suffix != _TEMPORARY)
        return {f"{folder}/{path.name}": path.read_bytes() for path in found}

    def commit(self, changes: Mapping[str, bytes | None], *, durable: bool = True) -> None:
        """Write (or, for None, remove) these files, all or none.

        When this returns they survive a crash of this process and, if `durable`, of the machine.
        """
        with self._lock:
            wanted = {path: data for path, data in changes.items() if data is not None or self._is_there(path)}
            if not wanted:
                return
            self._append(_line(wanted), durable)
            self._pending.update(wanted)
            if durable:
                self._durable.update(wanted)

    @property
    def is_full(self) -> bool:
        """Whether a checkpoint is due."""
        return self._size > JOURNAL_MAX_BYTES or len(self._pending) > PENDING_MAX

    def checkpoint(self) -> None:
        """Put the files that are in the journal only into place, and empty the journal."""
        with self._lock:
            if not self._pending and not self._size:
                return
            folders: set[Path] = set()
            for path, data in self._pending.items():
                place = self.root / path
                if data is None:
                    place.unlink(missing_ok=True)
                else:
                    _write(place, data, path in self._durable)
                if path in self._durable:
                    folders.add(place.parent)
            for folder in folders:
                if folder.is_dir():
                    _sync_folder(folder)
            self._pending.clear()
            self._durable.clear()
            self._remove_journal()

    def _is_there(self, path: str) -> bool:
        if path in self._pending:
            return self._pending[path] is not None
        return (self.root / path).exists()

    # The journal

    def _append(self, line: bytes, durable: bool) -> None:
        if self._journal < 0:
            self._journal = os.open(self.root / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._size, self._allocated, self._torn = 0, 0, False
            _sync_folder(self.root)
        if self._torn:
            self._cut()
        self._torn = True
        try:
            if self._size + len(line) > self._allocated:
                self._grow(len(line))
            _write_at(self._journal, line, self._size)
            if durable:
                os.fdatasync(self._journal)
        except OSError:
            self._cut()
            raise
        self._torn = False
        self._size += len(line)

    def _cut(self) -> None:
        """Remove what a failed commit left: it must never be replayed."""
        os.ftruncate(self._journal, self._size)
        self._allocated, self._torn = self._size, False

    def _grow(self, needed: int) -> None:
        allocated = self._size + needed + min(max(self._size, GROW_MIN_BYTES), GROW_MAX_BYTES)
        _write_at(self._journal, bytes(allocated - self._allocated), self._allocated)
        self._allocated = allocated

    def _remove_journal(self) -> None:
        """Remove the journal, so that other programs find the folder as Consul leaves it."""
        (self.root / JOURNAL).unlink(missing_ok=True)
        if self._journal >= 0:
            os.close(self._journal)
        self._journal, self._size = -1, 0

    def _replay(self) -> None:
        journal = self.root / JOURNAL
        if not journal.exists():
            return
        lines = journal.read_bytes().rstrip(b"\0").splitlines()
        known = [_changes_in(line) for line in lines]
        # The last commit may be torn: it was not acknowledged.
        whole = known.index(None) if None in known else len(known)
        if whole < len(known) - 1:
            _log.error("{journal} is damaged: {lost} changes are lost", journal=journal, lost=len(known) - whole)
        for changes in known[:whole]:
            self._pending.update(changes or {})
        self._durable.update(self._pending)
        _log.warn("finishing {count} changes of services and checks that a crash interrupted", count=whole)
        self._size = 1  # there is a journal, also if it holds nothing
        self.checkpoint()


def _line(changes: Mapping[str, bytes | None]) -> bytes:
    encoded = {path: None if data is None else base64.b64encode(data).decode() for path, data in changes.items()}
    text = orjson.dumps(encoded)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    if os.pwrite(descriptor, data, at) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _changes_in(line: bytes) -> dict[str, bytes | None] | None:
    """The changes in a line of the journal, None for a torn one."""
    if not line.startswith(b"{"):  # until 0.1 a journal was one object without a checksum, written whole
        check, _, text = line.partition(b" ")
        if len(check) != _CRC_DIGITS or check != b"%08x" % zlib.crc32(text):
            return None
        line = text
    try:
        encoded = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return {path: None if data is None else base64.b64decode(data) for path, data in encoded.items()}


def _write(place: Path, data: bytes, durable: bool) -> None:
    _make_private(place.parent)
    beside = place.with_suffix(_TEMPORARY)
    with open(beside, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    beside.replace(place)


def _make_private(folder: Path) -> None:
    """Create a folder and its missing parents, readable by this user only."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        _make_private(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _private(path: str, flags: int) -> int:
    """Opener of files that this user only may read: they hold tokens."""
    return os.open(path, flags, 0o600)
