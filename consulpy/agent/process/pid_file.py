"""The pid file (`pid_file`)."""

import os
from pathlib import Path
from typing import Final

#: Mode of the file, before the umask.
PID_MODE: Final = 0o644


class PidFile:
    """A file that holds the number of this process until `remove`. Raises OSError."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        with open(self._path, "w", opener=lambda name, flags: os.open(name, flags, PID_MODE)) as file:
            file.write(str(os.getpid()))

    def remove(self) -> None:
        """Delete the file, if it is still there."""
        self._path.unlink(missing_ok=True)
