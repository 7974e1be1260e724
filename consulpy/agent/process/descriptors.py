"""File descriptors: as many as the system grants, some of which clients never get, and one line when they run out."""

import errno
import resource
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

from consulpy.connections import ConnectionTable, total_for

_log = Logger()

#: The limit is raised to no more than this.
WANTED: Final = 65_536
#: The same is said once in so many seconds.
SAY_EVERY_S: Final = 30.0
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)
#: How they stand in Twisted's own lines, and in the text of an error; the fields that have an error's text.
_NAMES: Final = ("EMFILE", "ENFILE")
_NUMBERS: Final = tuple(f"[Errno {number}]" for number in _EXHAUSTED)
_ERRORS: Final = ("error", "why")


def raise_limit() -> None:
    """Use what the hard limit grants, as Go's programs do: the soft one is often 1024, for the sake of `select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_table(seconds: Callable[[], float]) -> ConnectionTable:
    """The connections of all clients of an agent. `seconds()`: a clock."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    table = ConnectionTable(total_for(soft if soft != resource.RLIM_INFINITY else WANTED))
    limiter = OncePer(SAY_EVERY_S)

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
    """Says once in `every_s` seconds that something may be done."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s: float | None = None

    def may(self, now_s: float) -> bool:
        """Whether it is time again; at once when the clock was set back."""
        if self._last_s is not None and 0 <= now_s - self._last_s < self._every_s:
            return False
        self._last_s = now_s
        return True


def is_exhaustion(event: dict[str, Any]) -> bool:
    """Whether a log event tells that there was no file descriptor: by an error in it, its failure, or its text."""
    failure = event.get("log_failure")
    found = [*event.values(), *([failure.value] if failure is not None else ())]
    if any(isinstance(each, OSError) and each.errno in _EXHAUSTED for each in found):
        return True
    if event.get("acceptError") in _NAMES or str(event.get("log_format")).startswith(_NAMES):
        return True
    return any(number in str(event[key]) for key in _ERRORS if key in event for number in _NUMBERS)
