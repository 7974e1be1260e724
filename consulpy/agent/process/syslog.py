"""The log to the host's syslog (`enable_syslog`, `syslog_facility`), in the form that Consul sends it.

<133>Nov 28 22:18:21 consulpy[4823]: 2026-11-28T22:18:21.058Z [INFO]  agent: text
"""

import os
import socket
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from twisted.logger import LogLevel

from consulpy.agent.process.logs import LogSink
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError

#: Where syslog listens, by the systems' habits.
PATHS: Final = ("/dev/log", "/var/run/syslog", "/var/run/log")
_SYSTEM: Final = ("KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP")
#: RFC 5424 6.2.1: the host's own, and eight for programs such as this.
_FACILITIES: Final = {
    **{name: number for number, name in enumerate(_SYSTEM)},
    **{f"LOCAL{number}": 16 + number for number in range(8)},
}
#: Consul's severities: info is a notice there, and debug an info.
_SEVERITIES: Final = {LogLevel.debug: 6, LogLevel.info: 5, LogLevel.warn: 4, LogLevel.error: 3, LogLevel.critical: 2}


class SyslogSink(LogSink):
    """An observer that sends datagrams and never waits: what syslog does not take is dropped.

    `now()`: local time. Raises `ConfigError` where nobody listens, and for a facility of no name.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        paths: tuple[str, ...] = PATHS,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        super().__init__(config.log_level, config.log_json, lambda _: None, follow=True)
        facility = _FACILITIES.get(config.syslog_facility.upper())
        if facility is None:
            raise ConfigError(
                f"syslog_facility: expected one of {', '.join(_FACILITIES)}, not {config.syslog_facility!r}"
            )
        self._facility = facility
        self._paths = paths
        self._now = now
        self._socket: socket.socket | None = None
        if not self._connect():
            raise ConfigError(f"enable_syslog (-syslog): no syslog listens at {', '.join(paths)}")

    def _connect(self) -> bool:
        for path in self._paths:
            sending = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sending.setblocking(False)
            try:
                sending.connect(path)
            except OSError:
                sending.close()
                continue
            self._socket = sending
            return True
        return False

    def _emit(self, event: dict[str, Any], line: str) -> None:
        severity = _SEVERITIES.get(event.get("log_level", LogLevel.info), 5)
        stamp = self._now().strftime("%b %e %H:%M:%S")
        data = f"<{self._facility * 8 + severity}>{stamp} consulpy[{os.getpid()}]: {line}\n".encode()
        for _ in range(2):  # once more after syslog was started anew
            if self._socket is None and not self._connect():
                return
            assert self._socket is not None, "connected"
            try:
                self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.close()
            else:
                return

    def close(self) -> None:
        """Send no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
