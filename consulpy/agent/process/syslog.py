"""Syslog (`enable_syslog`, `syslog_facility`), in the format of Consul's datagrams.

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

#: Paths of syslog's socket on various systems.
PATHS: Final = ("/dev/log", "/var/run/syslog", "/var/run/log")
_SYSTEM: Final = ("KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP")
#: Numbers of facilities. Source: RFC 5424 6.2.1.
_FACILITIES: Final = {
    **{name: number for number, name in enumerate(_SYSTEM)},
    **{f"LOCAL{number}": 16 + number for number in range(8)},
}
#: Severities that Consul uses: info is sent as notice, debug as informational.
_SEVERITIES: Final = {LogLevel.debug: 6, LogLevel.info: 5, LogLevel.warn: 4, LogLevel.error: 3, LogLevel.critical: 2}


class SyslogSink(LogSink):
    """Observer that sends datagrams without blocking; a full socket drops the line.

    `now()`: local time; `tag`: the program's name in each line. Raises `ConfigError` if no syslog listens, or for an
    unknown facility.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        paths: tuple[str, ...] = PATHS,
        now: Callable[[], datetime] = datetime.now,
        tag: str = "consulpy",
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
        self._tag = tag
        self._socket: socket.socket | None = None
        if not self._connect():
            raise ConfigError(f"enable_syslog (-syslog): no syslog listens at {', '.join(paths)}")

    def _connect(self) -> bool:
        for path in self._paths:
            client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            client.setblocking(False)
            try:
                client.connect(path)
            except OSError:
                client.close()
                continue
            self._socket = client
            return True
        return False

    def _emit(self, event: dict[str, Any], line: str) -> None:
        severity = _SEVERITIES.get(event.get("log_level", LogLevel.info), 5)
        stamp = self._now().strftime("%b %e %H:%M:%S")
        data = f"<{self._facility * 8 + severity}>{stamp} {self._tag}[{os.getpid()}]: {line}\n".encode()
        for _ in range(2):  # reconnect once after a restart of syslog
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
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
