"""Files and log targets of a running agent: the pid file, the log file and syslog."""

from collections.abc import Callable

from twisted.logger import globalLogPublisher

from consulpy.agent.process.log_file import AgentLogFile
from consulpy.agent.process.pid_file import PidFile
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError


class AgentFiles:
    """Pid file, log file and syslog, as configured, until `close`. Raises `ConfigError` where one can't be opened.

    `seconds()`: a clock. `run`: runs a job in a disk thread (None: the log file has a thread of its own).
    """

    def __init__(
        self,
        config: RuntimeConfig,
        seconds: Callable[[], float],
        run: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        #: Called by `close`, the last one first.
        self._closers: list[Callable[[], None]] = []
        try:
            if config.pid_file:
                self._closers.append(PidFile(config.pid_file).remove)
            if config.log_file:
                self._closers.append(AgentLogFile(config, seconds, run).close)
            if config.enable_syslog:
                self._open_syslog(config)
        except OSError as error:
            self.close()
            raise ConfigError(f"{error.filename}: {error.strerror}: choose another pid_file or log_file") from None
        except ConfigError:
            self.close()
            raise

    def _open_syslog(self, config: RuntimeConfig) -> None:
        from consulpy.agent.process.syslog import SyslogSink  # most agents have none

        sink = SyslogSink(config)
        globalLogPublisher.addObserver(sink)
        self._closers += [sink.close, lambda: globalLogPublisher.removeObserver(sink)]

    def close(self) -> None:
        """Close and remove the files. A second call does nothing."""
        closers, self._closers = self._closers[::-1], []
        for close in closers:
            close()
