"""`DirectoryFiles`: the small files of the agent in its data directory, each write atomic and on disk.

One file is written beside its place, flushed, and renamed. Several are first written together into a journal, which is
replayed at the next start if we die before all are in place: after a kill all of them are there, or none.
"""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from twisted.logger import Logger

_log = Logger()

#: Holds several changes until all are in place.
JOURNAL: Final = "local-journal"
_TEMPORARY: Final = ".tmp"


class DirectoryFiles:
    """A `consulpy.local.files.Files` below the folder `root` (made if it is missing). Raises OSError."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self._replay()

    def read(self, folder: str) -> dict[str, bytes]:
        """All files of a folder by path."""
        place = self.root / folder
        if not place.is_dir():
            return {}
        found = sorted(path for path in place.iterdir() if path.is_file() and path.suffix != _TEMPORARY)
        return {f"{folder}/{path.name}": path.read_bytes() for path in found}

    def commit(self, changes: Mapping[str, bytes | None], *, durable: bool = True) -> None:
        """Write or remove these files, all or none; if `durable` they are on disk when this returns."""
        self._replay()  # a commit that failed half-way (a full disk) comes first
        if len(changes) > 1:
            kept = {path: None if data is None else base64.b64encode(data).decode() for path, data in changes.items()}
            self._write(JOURNAL, json.dumps(kept).encode())
        self._apply(changes, durable)
        if len(changes) > 1:
            self._remove(JOURNAL)

    def _apply(self, changes: Mapping[str, bytes | None], durable: bool = True) -> None:
        for path, data in changes.items():
            if data is None:
                self._remove(path, durable)
            else:
                self._write(path, data, durable)

    def _write(self, path: str, data: bytes, durable: bool = True) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_suffix(_TEMPORARY)
        with open(beside, "wb", opener=_private) as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        beside.replace(place)
        if durable:
            self._sync_folder(place.parent)

    def _remove(self, path: str, durable: bool = True) -> None:
        place = self.root / path
        if place.exists():
            place.unlink()
            if durable:
                self._sync_folder(place.parent)

    @staticmethod
    def _sync_folder(folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _replay(self) -> None:
        journal = self.root / JOURNAL
        if not journal.exists():
            return
        kept = json.loads(journal.read_bytes())  # it was renamed into place whole
        _log.warn("finishing {count} changes of services and checks that a crash interrupted", count=len(kept))
        self._apply({path: None if data is None else base64.b64decode(data) for path, data in kept.items()})
        self._remove(JOURNAL)


def _private(path: str, flags: int) -> int:
    """Files hold tokens: nobody else may read them."""
    return os.open(path, flags, 0o600)
