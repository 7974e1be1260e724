"""Files that an agent keeps for its operator: its pid (`pid_file`) and its log (`log_file`, with rotation)."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import globalLogPublisher
from twisted.python.logfile import LogFile

from consulpy.agent.process.disk_thread import DiskThread
from consulpy.agent.process.logs import LogSink
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError

if TYPE_CHECKING:
    from consulpy.agent.process.syslog import SyslogSink

#: The name of the log in a `log_file` that is a folder, as Consul's.
LOG_NAME = "consul.log"
#: What the umask leaves of it; the same for the pid file: no more than others may read it.
LOG_MODE: Final = 0o640
PID_MODE: Final = 0o644
#: Lines of the log that wait for the disk; more are dropped, and counted.
LINES_MAX: Final = 10_000


class _RotatedLog(LogFile):
    """A log that begins anew after `size` bytes and after `period_s` seconds, 0 for never.

    Of the old ones `most` are kept: 0 for all, less for none (Consul's `log_rotate_max_files`).
    """

    def __init__(
        self, name: str, folder: str, size: int, period_s: float, most: int, seconds: Callable[[], float]
    ) -> None:
        self._seconds = seconds
        self._period_s = period_s
        self._began_s = seconds()
        self._keep_none = most < 0
        kept = 1 if self._keep_none else most or None
        super().__init__(name, folder, size or None, maxRotatedFiles=kept)  # type: ignore[no-untyped-call]

    def _openFile(self) -> None:
        """A new file has Consul's mode. (Twisted's own way to say one changes the umask of all threads.)"""
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, LOG_MODE))
        super()._openFile()  # type: ignore[no-untyped-call]

    def shouldRotate(self) -> bool:
        """Twisted asks before each write."""
        old = 0 < self._period_s <= self._seconds() - self._began_s
        return bool(old or super().shouldRotate())  # type: ignore[no-untyped-call]

    def rotate(self) -> None:
        """Begin anew."""
        super().rotate()  # type: ignore[no-untyped-call]
        self._began_s = self._seconds()
        if self._keep_none:
            Path(f"{self.path}.1").unlink(missing_ok=True)


class AgentFiles:
    """Written from now until `close`. Raises `ConfigError` where a file can't be made.

    `seconds()`: a clock. `run`: runs a job on the thread that waits for the disk (None: one of its own).
    """

    def __init__(
        self,
        config: RuntimeConfig,
        seconds: Callable[[], float],
        run: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._seconds = seconds
        self._pid_file = Path(config.pid_file) if config.pid_file else None
        self._log: Any = None
        self._disk = DiskThread("log-file", seconds)
        self._run = run or self._disk.run
        self._lines: deque[str] = deque()
        self._is_writing = False
        #: Lines that did not fit into `LINES_MAX`; counted in the log when it goes on.
        self._dropped = 0
        self._sink: LogSink | None = None
        self._syslog: SyslogSink | None = None
        try:
            if self._pid_file is not None:
                with open(self._pid_file, "w", opener=lambda path, flags: os.open(path, flags, PID_MODE)) as file:
                    file.write(str(os.getpid()))
            if config.log_file:
                self._open_log(config)
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}: choose another pid_file or log_file") from None
        if config.enable_syslog:
            self._open_syslog(config)

    def _open_syslog(self, config: RuntimeConfig) -> None:
        from consulpy.agent.process.syslog import SyslogSink

        try:
            self._syslog = SyslogSink(config)
        except ConfigError:
            self.close()
            raise
        globalLogPublisher.addObserver(self._syslog)

    def _open_log(self, config: RuntimeConfig) -> None:
        """A new file after `log_rotate_duration`, and whenever `log_rotate_bytes` are written."""
        place = Path(config.log_file)
        folder, name = (
            (place, LOG_NAME) if config.log_file.endswith("/") or place.is_dir() else (place.parent, place.name)
        )
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._log = _RotatedLog(
            name,
            str(folder),
            config.log_rotate_bytes,
            config.log_rotate_duration_s,
            config.log_rotate_max_files,
            self._seconds,
        )
        self._sink = LogSink(config.log_level, config.log_json, self._write, follow=True)
        globalLogPublisher.addObserver(self._sink)

    def _write(self, line: str) -> None:
        """Have a line written in the disk's thread, with all that wait by then."""
        if len(self._lines) >= LINES_MAX:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._is_writing:
            self._is_writing = True
            self._run(self._write_lines)

    def _write_lines(self) -> None:  # in the thread
        self._is_writing = False  # first: a line that comes from here on has the thread called again
        dropped, self._dropped = self._dropped, 0
        while self._lines:
            self._log.write(self._lines.popleft() + "\n")
        if dropped:
            self._log.write(f"[WARN] {dropped} lines of the log were dropped: the disk was too slow\n")
        self._log.flush()

    def close(self) -> None:
        """Write no more; the pid file goes."""
        if self._sink is not None:
            globalLogPublisher.removeObserver(self._sink)
            self._sink = None
            self._disk.stop()
            self._log.close()
        if self._syslog is not None:
            globalLogPublisher.removeObserver(self._syslog)
            self._syslog.close()
            self._syslog = None
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)
            self._pid_file = None
