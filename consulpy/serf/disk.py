"""The snapshot file on disk.

Source: docs/wire/gossip.md 6.11.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from consulpy.errors import ConfigError
from consulpy.log import Logger

#: Maximum bytes of a snapshot that is read into memory.
READ_LIMIT_BYTES: Final = 64 * 1024 * 1024


class SnapshotFile:
    """A `SnapshotStore` on disk.

    `run(job)`: runs jobs in order in the disk thread. Only `read` and `set_aside`, which are called before any other
    method, use the caller's thread.
    """

    def __init__(self, path: Path, run: Callable[[Callable[[], None]], None] = lambda job: job()) -> None:
        self._path = path
        self._run = run
        self._file: BinaryIO | None = None
        self._pending: list[bytes] = []
        self._is_flushing = False
        self._log = Logger()

    def read(self) -> str:
        """The file's text; creates a missing file. Raises `ConfigError`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = _open_to_append(self._path)
            size = self._path.stat().st_size
            if size > READ_LIMIT_BYTES:
                self.set_aside(f"it has {size} bytes")
            self._file.seek(0)
            return self._file.read().decode("utf-8", "surrogateescape")
        except OSError as error:
            raise ConfigError(f"failed to open snapshot {self._path}: {error.strerror or error}") from None

    def append(self, text: str) -> None:
        """Buffer lines until `flush`."""
        self._pending.append(text.encode("utf-8", "surrogateescape"))

    def flush(self) -> None:
        """Write buffered lines to the operating system, unless an earlier flush is running."""
        if self._pending and not self._is_flushing:
            self._is_flushing = True
            self._run(partial(self._flush, self._take_pending()))

    def replace(self, text: str) -> None:
        """Write `text` to a new file and rename it over the old one."""
        self._run(partial(self._replace, self._take_pending(), text.encode("utf-8", "surrogateescape")))

    def sync(self) -> None:
        """Write buffered lines and fsync."""
        self._run(partial(self._sync, self._take_pending()))

    def _take_pending(self) -> bytes:
        data = b"".join(self._pending)
        self._pending.clear()
        return data

    # In the disk thread

    def _flush(self, data: bytes) -> None:
        self._write(data)
        self._is_flushing = False

    def _write(self, data: bytes) -> None:
        if data and self._file is not None:
            try:
                self._file.write(data)
                self._file.flush()
            except OSError as error:
                self._log_error(error)

    def _replace(self, pending: bytes, data: bytes) -> None:
        self._write(pending)  # the old file continues to be used
        draft = self._path.with_name(self._path.name + ".compact")
        try:
            with open(draft, "wb", opener=_opener) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            _sync_directory(self._path.parent)
            if self._file is not None:
                self._file.close()
            self._file = _open_to_append(self._path)
        except OSError as error:
            self._log_error(error)

    def _sync(self, pending: bytes) -> None:
        self._write(pending)
        try:
            if self._file is not None:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._log_error(error)

    def set_aside(self, why: str) -> None:
        """Rename the file to `PATH.damaged-N` and create a new one. Raises `ConfigError`."""
        self._pending.clear()
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        try:
            if self._file is not None:
                self._file.close()
            self._path.replace(aside)
            self._file = _open_to_append(self._path)
        except OSError as error:
            raise ConfigError(f"failed to set aside snapshot {self._path}: {error.strerror or error}") from None
        self._log.error(
            "snapshot {path} cannot be used ({why}); it is kept as {aside}, and a new one begun",
            path=str(self._path),
            why=why,
            aside=str(aside),
        )

    def close(self) -> None:
        """Write buffered lines and close the file."""
        self._run(partial(self._close, self._take_pending()))

    def _close(self, pending: bytes) -> None:
        self._write(pending)
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _log_error(self, error: OSError) -> None:
        self._log.error("snapshot {path}: {why}", path=str(self._path), why=error.strerror or str(error))


def _sync_directory(path: Path) -> None:
    """Fsync a directory: a rename is durable only after that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_to_append(path: Path) -> BinaryIO:
    return os.fdopen(_opener(str(path), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC), "a+b")


def _opener(path: str, flags: int) -> int:
    """Open with the file mode of real agents."""
    return os.open(path, flags, 0o644)
