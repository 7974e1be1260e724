"""The log of an agent that twistd runs: the lines of `consulpy agent`, at the place that twistd's options say."""

import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.logfile import LogFile

from consulpy.agent.process.logs import LogSink
from consulpy.agent.process.syslog import SyslogSink
from consulpy.config.schema import RuntimeConfig

#: twistd's log file where it is given none and runs in the background.
_DEFAULT_FILE: Final = "twistd.log"


class TwistdLog:
    """The log observer for twistd. `observer`: None leaves the log to twistd. Raises `ConfigError` without a syslog.

    `options`: those of twistd: `nodaemon`, `logfile`, `syslog`, `prefix`, `logger`.
    """

    def __init__(self, config: RuntimeConfig, options: Mapping[str, Any], reactor: IReactorFromThreads) -> None:
        self.observer: LogSink | None = None
        #: Writes a line that is no event: to a terminal only, as `consulpy agent` does.
        self.show: Callable[[str], None] = lambda _line: None
        file = options.get("logfile") or ("-" if options.get("nodaemon") else _DEFAULT_FILE)
        if options.get("logger") or (file == "-" and not options.get("nodaemon")):
            return  # another observer, or a daemon that has no standard output, which twistd refuses
        if options.get("syslog"):
            self.observer = SyslogSink(config, tag=options.get("prefix") or "consulpy")
        elif file == "-":
            out = sys.stdout  # twistd turns what is printed later into events

            def show(line: str) -> None:
                print(line, file=out, flush=True)

            self.show = show
            self.observer = LogSink(config.log_level, config.log_json, lambda line: show(f"    {line}"), follow=True)
        else:
            written = _log_file(file, reactor)
            self.observer = LogSink(
                config.log_level, config.log_json, lambda line: written.write(f"{line}\n"), follow=True
            )


def _log_file(path: str, reactor: IReactorFromThreads) -> LogFile:
    """The log file; as under any twistd it is rotated at 1 MB, and by SIGUSR1."""
    file: LogFile = LogFile.fromFullPath(str(Path(path).absolute()))
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda _number, _frame: reactor.callFromThread(file.rotate))
    return file
