"""The lock of the data directory, which the kernel releases when its process ends."""

import fcntl
import os
from pathlib import Path

from consulpy.errors import ConfigError


class DataDirectoryLock:
    """Locks a data directory until `release`. Raises `ConfigError` if another agent holds it, or it is not writable."""

    def __init__(self, directory: Path) -> None:
        path = directory / "consulpy.lock"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"data_dir {directory} can't be written to ({error.strerror}): choose another one"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise ConfigError(
                f"data_dir {directory} is in use by another agent: end that one, or choose another directory"
            ) from None

    def release(self) -> None:
        """Release the lock."""
        os.close(self._file)
