"""Log lines in Consul's format, for the terminal, the log file, syslog and `/v1/agent/monitor`.

2026-11-23T06:32:34.762Z [WARN]  agent.serf: text
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakSet

import orjson
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from consulpy.agent.process.descriptors import LOG_INTERVAL_S, OncePer, is_exhaustion
from consulpy.codec.printable import printable
from consulpy.codec.secrets import text_without_secrets
from consulpy.log import Logger, split_namespace

#: Consul's levels, and the least rank that each shows.
LEVELS: Final = {"TRACE": -1, "DEBUG": 0, "INFO": 1, "WARN": 2, "ERR": 3, "ERROR": 3}

_RANK: Final = {LogLevel.debug: 0, LogLevel.info: 1, LogLevel.warn: 2, LogLevel.error: 3, LogLevel.critical: 3}
#: Words by rank; the last one has rank -1.
_WORD: Final = ("[DEBUG]", "[INFO] ", "[WARN] ", "[ERROR]", "[TRACE]")


def _rank(event: dict[str, Any]) -> int:
    """The rank of an event's level; -1 for debug events with `trace` set, as Twisted has no trace level."""
    return -1 if event.get("trace") else _RANK.get(event.get("log_level"), 1)


def log_line(event: dict[str, Any], as_json: bool = False) -> str:
    """One event as one line without its end; further lines of a traceback are indented."""
    stamp = datetime.fromtimestamp(event["log_time"], UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    level = _WORD[_rank(event)]
    module = _module(str(event.get("log_namespace", "")))
    text = printable(text_without_secrets(formatEvent(event)))
    failure = event.get("log_failure")
    if failure is not None:
        traceback = _indented(failure.getTraceback())
        text = f"{text}: {traceback}" if text else traceback
    if as_json:
        word = level.strip(" []").lower()
        shown = {"@level": word, "@message": text, "@module": module, "@timestamp": stamp}
        return orjson.dumps(shown).decode()
    return f"{stamp} {level} {module}: {text}"


def _indented(traceback: str) -> str:
    return "\n    ".join(printable(text_without_secrets(line)) for line in traceback.splitlines())


def _module(namespace: str) -> str:
    """`consulpy.memberlist.machine` -> `agent.memberlist`; the gossip pools have their own names, `agent.serf.lan`."""
    parts = split_namespace(namespace)[1].split(".")
    if parts[0] != "consulpy":
        return parts[0] or "agent"
    named = parts[1:3] if parts[2:] in (["lan"], ["wan"]) else parts[1:2]
    return ".".join(["agent", *(part for part in named if part not in ("agent", "service"))])


#: Sinks that write at the debug level.
_debugging: "WeakSet[LogSink]" = WeakSet()


#: Sinks that write what is below the debug level.
_tracing: "WeakSet[LogSink]" = WeakSet()

#: Sinks whose level follows `log_level`.
_following: "WeakSet[LogSink]" = WeakSet()


def set_level(level: str) -> None:
    """Apply a changed `log_level`. KeyError for an unknown level."""
    for sink in list(_following):
        sink.set_level(level)


def debugging() -> bool:
    """Whether any sink writes at the debug level."""
    return bool(_debugging)


def tracing() -> bool:
    """Whether any sink writes at the trace level."""
    return bool(_tracing)


@implementer(ILogObserver)
class LogSink:
    """Observer that passes events of `level` and above to `write`, one line each.

    `follow`: `set_level` of this module changes the level after a reload. `node`: only events of that agent, in a
    program with several.
    """

    def __init__(
        self, level: str, as_json: bool, write: Callable[[str], None], *, follow: bool = False, node: str = ""
    ) -> None:
        self._node = node
        self._as_json = as_json
        self._write = write
        self._exhausted = OncePer(LOG_INTERVAL_S)
        self.set_level(level)
        if follow:
            _following.add(self)

    def set_level(self, level: str) -> None:
        """Change the least level. KeyError for an unknown level."""
        self._least = LEVELS[level.upper()]
        (_debugging.add if self._least <= 0 else _debugging.discard)(self)
        (_tracing.add if self._least < 0 else _tracing.discard)(self)

    def __call__(self, event: dict[str, Any]) -> None:
        """Write one event, if its level is shown."""
        if self._node and split_namespace(str(event.get("log_namespace", "")))[0] != self._node:
            return
        rank = _rank(event)
        if is_exhaustion(event):
            self._log_exhaustion(event)
            return
        noise = rank <= _RANK[LogLevel.info] and str(event.get("log_namespace", "")).startswith(_NOISY)
        if rank >= self._least and not noise:
            self._emit(event, log_line(event, self._as_json))

    def _emit(self, _event: dict[str, Any], line: str) -> None:
        self._write(line)

    def _log_exhaustion(self, event: dict[str, Any]) -> None:
        """One line in an interval, instead of one for each connection, query and check."""
        if self._least <= _RANK[LogLevel.warn] and self._exhausted.may(event["log_time"]):
            text = f"out of file descriptors (ulimit -n); said once in {LOG_INTERVAL_S:g} s"
            shown = {**event, "log_format": "{text}", "text": text, "log_failure": None, "log_level": LogLevel.warn}
            shown["log_namespace"] = "consulpy.agent"
            self._write(log_line(shown, self._as_json))


#: Namespaces of Twisted that log each connection, factory and step of twistd at the info level; not shown.
_NOISY: Final = ("twisted.internet.", "twisted.names.", "twisted.scripts.", "twisted.web.", "log_legacy", "stdout")


def stream(level: str, as_json: bool, write: Callable[[str], None], node: str = "") -> Callable[[], None]:
    """Pass log lines to `write` until the returned function is called. KeyError for an unknown level.

    `node`: see `LogSink`.
    """
    sink = LogSink(level, as_json, write, node=node)
    globalLogPublisher.addObserver(sink)
    ended = False

    def cancel() -> None:
        nonlocal ended
        if not ended:
            ended = True
            globalLogPublisher.removeObserver(sink)
            _debugging.discard(sink)
            _tracing.discard(sink)

    return cancel


def reporter(part: str) -> Callable[[str, str], None]:
    """The log function of a part without I/O: `log(level, text)`; level: trace, debug, info, warn or error.

    `part`: where its lines come from, as `serf.lan`.
    """
    log = Logger(f"consulpy.{part}")
    levels = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}

    def report(level: str, text: str) -> None:
        if level == "trace":
            if tracing():  # each probe has such a line, and an event costs as much as all the rest of it
                log.debug("{text}", text=text, trace=True)
        else:
            log.emit(levels[level], "{text}", text=text)

    return report
