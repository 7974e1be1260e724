"""`JournaledDirectory`: the small files of the agent in its data directory, each change of several whole and on disk.

A commit is one line of a journal, flushed once, however many files it changes; the files themselves are put into place
later (`tidy`), all that changed meanwhile in one go, and then the journal is emptied. After a kill the next start reads
the journal again, so of each commit all is there, or nothing.

    CRC32 of the rest in 8 hex digits, blank, {"services/HASH": base64 or null (removed), ...}, line feed

and after the last line zeros.
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
from twisted.logger import Logger

_log = Logger()

#: Holds the changes until all are in place.
JOURNAL: Final = "local-journal"
#: A journal that is larger is emptied with the commit, and so is one with more files than this.
JOURNAL_MAX_BYTES: Final = 4 * 1024 * 1024
PENDING_MAX: Final = 256
#: By how much it grows at once.
GROW_MIN_BYTES: Final = 16 * 1024
GROW_MAX_BYTES: Final = 256 * 1024
_TEMPORARY: Final = ".tmp"
_CRC_DIGITS: Final = 8


class JournaledDirectory:
    """A `consulpy.local.persist.records.Files` below the folder `root` (made if it is missing). Raises OSError.

    Its methods may be called from any thread; one waits for the other.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._lock = RLock()
        #: What stands in the journal only, by path.
        self._pending: dict[str, bytes | None] = {}
        #: Those of them that were to survive the machine.
        self._durable: set[str] = set()
        self._journal = -1
        self._size = 0
        #: Up to where the journal is filled with zeros: a flush that need not change a file's size costs half.
        self._room = 0
        #: Whether the journal may end with a line that nobody was told of.
        self._torn = False
        self._replay()

    def read(self, folder: str) -> dict[str, bytes]:
        """All files of a folder by path."""
        self.tidy()
        place = self.root / folder
        if not place.is_dir():
            return {}
        found = sorted(path for path in place.iterdir() if path.is_file() and path.suffix != _TEMPORARY)
        return {f"{folder}/{path.name}": path.read_bytes() for path in found}

    def commit(self, changes: Mapping[str, bytes | None], *, durable: bool = True) -> None:
        """Write or remove these files, all or none.

        They survive this process when this returns, and, if `durable`, the machine too.
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
        """Whether it is time to `tidy`."""
        return self._size > JOURNAL_MAX_BYTES or len(self._pending) > PENDING_MAX

    def tidy(self) -> None:
        """Put into place what stands in the journal only, and empty it."""
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
            self._forget_journal()

    def _is_there(self, path: str) -> bool:
        if path in self._pending:
            return self._pending[path] is not None
        return (self.root / path).exists()

    # The journal

    def _append(self, line: bytes, durable: bool) -> None:
        if self._journal < 0:
            self._journal = os.open(self.root / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._size, self._room, self._torn = 0, 0, False
            _sync_folder(self.root)
        if self._torn:
            self._cut()
        self._torn = True
        try:
            if self._size + len(line) > self._room:
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
        """What a failed commit left must never be replayed."""
        os.ftruncate(self._journal, self._size)
        self._room, self._torn = self._size, False

    def _grow(self, needed: int) -> None:
        room = self._size + needed + min(max(self._size, GROW_MIN_BYTES), GROW_MAX_BYTES)
        _write_at(self._journal, bytes(room - self._room), self._room)
        self._room = room

    def _forget_journal(self) -> None:
        """Its files are all in place. It goes, so that other programs find the folder as Consul leaves it."""
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
        # The last commit may not have been finished; then nobody was told that it was.
        whole = known.index(None) if None in known else len(known)
        if whole < len(known) - 1:
            _log.error("{journal} is damaged: {lost} changes are lost", journal=journal, lost=len(known) - whole)
        for changes in known[:whole]:
            self._pending.update(changes or {})
        self._durable.update(self._pending)
        _log.warn("finishing {count} changes of services and checks that a crash interrupted", count=whole)
        self._size = 1  # there is one, whatever stands in it
        self.tidy()


def _line(changes: Mapping[str, bytes | None]) -> bytes:
    kept = {path: None if data is None else base64.b64encode(data).decode() for path, data in changes.items()}
    text = orjson.dumps(kept)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    if os.pwrite(descriptor, data, at) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _changes_in(line: bytes) -> dict[str, bytes | None] | None:
    """The changes in a line of the journal; None for a torn one."""
    if not line.startswith(b"{"):  # until 0.1 a journal was one object without a checksum, written whole
        check, _, text = line.partition(b" ")
        if len(check) != _CRC_DIGITS or check != b"%08x" % zlib.crc32(text):
            return None
        line = text
    try:
        kept = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return {path: None if data is None else base64.b64decode(data) for path, data in kept.items()}


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
    """A folder, and those above it that are missing: nobody else may look into them."""
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
    """Files hold tokens: nobody else may read them."""
    return os.open(path, flags, 0o600)
