"""The time that a command may take, its start included, and calls that are given up when it is over."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

#: An older process did not begin with this command, in seconds.
_START_MAX_S: Final = 4.0


class Deadline:
    """`limit_s`: seconds from the start of the process, which takes long itself on a busy host."""

    def __init__(self, limit_s: float) -> None:
        age_s = _process_age_s()
        self._end_s = time.perf_counter() + limit_s - (age_s if age_s < _START_MAX_S else 0.0)

    def left_s(self, least_s: float) -> float:
        """Seconds that are left, at least `least_s`."""
        return max(least_s, self._end_s - time.perf_counter())


def in_thread(call: Callable[[], T]) -> "Future[T]":
    """The result of a call in a thread that does not keep the process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # whoever waits for it gets it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _process_age_s() -> float:
    """Seconds since this process began (Linux); 0 where that is not known."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / _TICKS_PER_S
    except (OSError, ValueError, AttributeError):
        return 0.0


#: Unit of the kernel's times in /proc.
_TICKS_PER_S: Final = 100
