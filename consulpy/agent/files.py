"""Files that an agent keeps for its operator: its pid (`pid_file`) and its log (`log_file`, with rotation)."""

import os
from pathlib import Path
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.python.logfile import DailyLogFile, LogFile

from consulpy.agent.logs import LogSink
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError

#: The name of the log in a `log_file` that is a folder, as Consul's.
LOG_NAME = "consul.log"


class AgentFiles:
    """Written from now until `close`. Raises `ConfigError` where a file can't be made."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._pid_file = Path(config.pid_file) if config.pid_file else None
        self._log: Any = None
        self._sink: LogSink | None = None
        try:
            if self._pid_file is not None:
                self._pid_file.write_text(str(os.getpid()))
            if config.log_file:
                self._open_log(config)
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}: choose another pid_file or log_file") from None

    def _open_log(self, config: RuntimeConfig) -> None:
        """By size where `log_rotate_bytes` is given, else once a day, as Consul's default of 24 hours does."""
        place = Path(config.log_file)
        folder, name = (
            (place, LOG_NAME) if config.log_file.endswith("/") or place.is_dir() else (place.parent, place.name)
        )
        folder.mkdir(parents=True, exist_ok=True)
        if config.log_rotate_bytes:
            most = config.log_rotate_max_files or None
            self._log = LogFile(name, str(folder), config.log_rotate_bytes, maxRotatedFiles=most)
        else:
            self._log = DailyLogFile(name, str(folder))
        self._sink = LogSink(config.log_level, config.log_json, self._write)
        globalLogPublisher.addObserver(self._sink)

    def _write(self, line: str) -> None:
        self._log.write(line + "\n")
        self._log.flush()

    def close(self) -> None:
        """Write no more; the pid file goes."""
        if self._sink is not None:
            globalLogPublisher.removeObserver(self._sink)
            self._sink = None
            self._log.close()
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)
            self._pid_file = None
