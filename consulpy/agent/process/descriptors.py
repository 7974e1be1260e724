"""File descriptors: the limit, the share that clients may use, and one log line when they are exhausted."""

import errno
import resource
from collections.abc import Callable
from typing import Any, Final

from consulpy.connections import ConnectionTable, total_for
from consulpy.log import Logger

_log = Logger()

#: Most file descriptors that the limit is raised to.
WANTED: Final = 65_536
#: Least interval of two log lines about exhaustion, in seconds.
LOG_INTERVAL_S: Final = 30.0
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)
#: The errors in Twisted's log events: as a name, as a number in a text, and the fields that hold such a text.
_NAMES: Final = ("EMFILE", "ENFILE")
_NUMBERS: Final = tuple(f"[Errno {number}]" for number in _EXHAUSTED)
_ERRORS: Final = ("error", "why")


def raise_limit() -> None:
    """Raise the soft limit (often 1024, because of `select`) to the hard one, at most `WANTED`, as Go programs do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_table(seconds: Callable[[], float]) -> ConnectionTable:
    """The table of all client connections of an agent. `seconds()`: a clock."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    table = ConnectionTable(total_for(soft if soft != resource.RLIM_INFINITY else WANTED))
    limiter = OncePer(LOG_INTERVAL_S)

    def full() -> None:
        if limiter.may(seconds()):
            _log.warn(
                "{total} connections of clients are open, all that the limit of {soft} file descriptors (ulimit -n) "
                "leaves: for each new one the one that was idle for longest is closed",
                total=table.total,
                soft=soft,
            )

    table.on_full = full
    return table


class OncePer:
    """Limits an action to one in `every_s` seconds."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s: float | None = None

    def may(self, now_s: float) -> bool:
        """Whether the action is allowed at `now_s`; always after the clock was set back."""
        if self._last_s is not None and 0 <= now_s - self._last_s < self._every_s:
            return False
        self._last_s = now_s
        return True


def is_exhaustion(event: dict[str, Any]) -> bool:
    """Whether a log event reports EMFILE or ENFILE: in an exception, a failure or a text."""
    failure = event.get("log_failure")
    found = [*event.values(), *([failure.value] if failure is not None else ())]
    if any(isinstance(each, OSError) and each.errno in _EXHAUSTED for each in found):
        return True
    if event.get("acceptError") in _NAMES or str(event.get("log_format")).startswith(_NAMES):
        return True
    return any(number in str(event[key]) for key in _ERRORS if key in event for number in _NUMBERS)
