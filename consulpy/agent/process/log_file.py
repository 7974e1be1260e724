"""The log file (`log_file`): rotation by size and age, written in a disk thread."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from twisted.logger import globalLogPublisher
from twisted.python.logfile import LogFile

from consulpy.agent.process.disk_thread import DiskThread
from consulpy.agent.process.logs import LogSink
from consulpy.config.schema import RuntimeConfig
from consulpy.log import Logger

_log = Logger()

#: The file's name where `log_file` names a directory. Source: Consul.
LOG_NAME: Final = "consul.log"
#: Age at which a file is rotated if `log_rotate_duration` is not set, in seconds. Source: Consul.
ROTATE_S: Final = 24 * 3600.0
#: Mode of the file, before the umask.
LOG_MODE: Final = 0o640
#: Most lines that wait for the disk; further ones are dropped, and counted in the log when it continues.
LINES_MAX: Final = 10_000


class _RotatedLog(LogFile):
    """A file that is rotated after `size` bytes and after `period_s` seconds; 0: never.

    `archives_max`: how many rotated files stay; 0: all, negative: none. Source: Consul's `log_rotate_max_files`.
    """

    def __init__(
        self, name: str, folder: str, size: int, period_s: float, archives_max: int, seconds: Callable[[], float]
    ) -> None:
        self._seconds = seconds
        self._period_s = period_s
        self._opened_s = seconds()
        self._keeps_no_archive = archives_max < 0
        limit = 1 if self._keeps_no_archive else archives_max or None
        super().__init__(name, folder, size or None, maxRotatedFiles=limit)  # type: ignore[no-untyped-call]

    def _openFile(self) -> None:
        """Create the file with `LOG_MODE` first: Twisted's `defaultMode` would change the umask of all threads."""
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, LOG_MODE))
        super()._openFile()  # type: ignore[no-untyped-call]

    def shouldRotate(self) -> bool:
        """Whether size or age call for it; Twisted calls this before each write."""
        old = 0 < self._period_s <= self._seconds() - self._opened_s
        return bool(old or super().shouldRotate())  # type: ignore[no-untyped-call]

    def reopen_if_closed(self) -> None:
        """Open the file again after a rotation that failed in its middle. Raises `OSError`."""
        if self._file.closed:
            self._openFile()

    def rotate(self) -> None:
        """Rename the file and start a new one."""
        super().rotate()  # type: ignore[no-untyped-call]
        self._opened_s = self._seconds()
        if self._keeps_no_archive:
            Path(f"{self.path}.1").unlink(missing_ok=True)


class AgentLogFile:
    """Observer of the log that writes to `log_file`, from its creation until `close`. Raises OSError.

    `seconds()`: a clock. `run`: runs a job in a disk thread (None: in a thread of its own).
    """

    def __init__(
        self,
        config: RuntimeConfig,
        seconds: Callable[[], float],
        run: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._disk = DiskThread("log-file", seconds)
        self._run = run or self._disk.run
        self._lines: deque[str] = deque()
        self._is_writing = False
        self._dropped = 0
        #: Whether the last write failed: the lines since then are lost, which is said once.
        self._is_failing = False
        path = Path(config.log_file)
        is_directory = config.log_file.endswith("/") or path.is_dir()
        directory, name = (path, LOG_NAME) if is_directory else (path.parent, path.name)
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._file = _RotatedLog(
            name,
            str(directory),
            config.log_rotate_bytes,
            config.log_rotate_duration_s or ROTATE_S,
            config.log_rotate_max_files,
            seconds,
        )
        self._sink = LogSink(config.log_level, config.log_json, self._write, follow=True)
        globalLogPublisher.addObserver(self._sink)

    def _write(self, line: str) -> None:
        """Queue a line; one job in the disk thread writes all queued lines."""
        if len(self._lines) >= LINES_MAX:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._is_writing:
            self._is_writing = True
            self._run(self._write_lines)

    def _write_lines(self) -> None:  # in the thread
        self._is_writing = False  # first: a line queued from here on submits another job
        try:
            self._file.reopen_if_closed()
            while self._lines:
                self._file.write(self._lines[0] + "\n")  # type: ignore[no-untyped-call]
                self._lines.popleft()
            if self._dropped:
                self._file.write(  # type: ignore[no-untyped-call]
                    f"[WARN] {self._dropped} lines of the log were dropped: the disk was too slow, or full\n"
                )
                self._dropped = 0
            self._file.flush()  # type: ignore[no-untyped-call]
        except OSError as error:
            self._lose_lines(error)
            return
        self._is_failing = False

    def _lose_lines(self, error: OSError) -> None:  # in the thread
        """Drop the queued lines. Of several failures in a row the first is logged: its line may fail here as well."""
        self._dropped += len(self._lines)
        self._lines.clear()
        if not self._is_failing:
            self._is_failing = True
            _log.error(
                "the log file {path} cannot be written, its lines are lost until it can: {reason}",
                path=self._file.path,
                reason=error.strerror or str(error),
            )

    def close(self) -> None:
        """Stop observing, write what is queued and close the file."""
        globalLogPublisher.removeObserver(self._sink)
        self._disk.stop()
        self._file.close()  # type: ignore[no-untyped-call]
