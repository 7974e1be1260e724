"""A watchdog of the reactor: measures the duration of its turns, and logs what ran in long ones.

A turn is the work of the reactor between two polls: due timers, results of threads, received bytes. Gossip, DNS and
HTTP wait for its end. Each turn is counted (`runtime.reactor_turn`, in milliseconds); one above `LATE_S` gets a line in
the log that names the calls in which it was at `LATE_S`, and for how much of the time after that the thread had a
processor, if that was less than half: then the machine is busy, or the disk or swap space is slow.

The reactor's poller is wrapped, and a system interval timer is set for each turn; its signal shows the running calls.
Nothing runs while the reactor polls. Cost: 2 microseconds a turn.
"""

import atexit
import gc
import signal
from collections.abc import Callable
from functools import partial
from threading import current_thread, main_thread
from time import thread_time
from types import FrameType
from typing import Any, Final

from consulpy.clock import Turn
from consulpy.log import Logger
from consulpy.metrics.registry import Registry

_log = Logger()

#: A longer turn is logged, in seconds.
LATE_S: Final = 0.2
#: Least interval of two log lines, in seconds; late turns between them are counted.
LOG_INTERVAL_S: Final = 10.0
#: Longer turns are single samples with extremes, in seconds; of the others only count and sum are recorded.
_LONG_S: Final = 0.01
#: Most calls in a log line, the innermost first.
_CALLS_MAX: Final = 6
_SET_TIMER: Final = partial(signal.setitimer, signal.ITIMER_REAL)
_PACKAGE: Final = __name__.partition(".")[0]


class Watchdog:
    """The watchdog of one reactor. `seconds()`: its monotonic clock; `warn(text)`: logs; `turn`: updated each turn.

    `set_timer(seconds)`: calls `expired` after that time; 0: never (`signal.setitimer`). `cpu_seconds()`: processor
    time of this thread, read in late turns only.
    """

    def __init__(
        self,
        metrics: Registry,
        turn: Turn,
        seconds: Callable[[], float],
        *,
        set_timer: Callable[[float], object] = _SET_TIMER,
        cpu_seconds: Callable[[], float] = thread_time,
        warn: Callable[[str], None] = lambda text: _log.warn("{text}", text=text),
    ) -> None:
        self._metrics = metrics
        self._turn = turn
        self._seconds = seconds
        self._set_timer = set_timer
        self._warn = warn
        self._cpu_seconds = cpu_seconds
        #: Time and processor time when the current turn became late; None before that.
        self._late_since: tuple[float, float] | None = None
        #: Number of short turns, and their sum in milliseconds.
        self._count, self._total_ms = 0, 0.0
        self._where = ""
        self._collecting_since_s = self._collected_s = 0.0
        self._unlogged = 0
        self._logged_s = -LOG_INTERVAL_S
        metrics.pull("runtime.reactor_turn", lambda: (self._count, self._total_ms), samples=True)

    def wrap(self, poll: Callable[[float, int], Any]) -> Callable[[float, int], Any]:
        """The reactor's `poll`, with the turns between its calls measured."""
        seconds, set_timer, turn = self._seconds, self._set_timer, self._turn

        def watched(timeout: float, maximum: int) -> Any:
            set_timer(0)
            took_s = seconds() - turn.began_s
            if took_s < _LONG_S:
                self._count += 1
                self._total_ms += 1000 * took_s
            else:
                self._long(took_s)
            try:
                return poll(timeout, maximum)
            finally:
                turn.began_s, self._collected_s = seconds(), 0.0
                set_timer(LATE_S)

        turn.began_s = seconds()
        return watched

    def expired(self, _signal: int, frame: FrameType | None) -> None:
        """Signal handler: record the calls of a late turn."""
        self._where = _calls(frame)
        self._late_since = self._seconds(), self._cpu_seconds()

    def collecting(self, phase: str, _info: dict[str, int]) -> None:
        """Hook of `gc.callbacks`: measures garbage collections, which a log line shows apart from the calls."""
        now_s = self._seconds()
        if phase == "start":
            self._collecting_since_s = now_s
        else:
            self._collected_s += now_s - self._collecting_since_s

    def _long(self, took_s: float) -> None:
        self._metrics.sample("runtime.reactor_turn", 1000 * took_s)
        where, self._where = self._where, ""
        late_since, self._late_since = self._late_since, None
        if took_s < LATE_S:
            return
        now_s = self._seconds()
        if now_s - self._logged_s < LOG_INTERVAL_S:
            self._unlogged += 1
            return
        others, self._unlogged, self._logged_s = self._unlogged, 0, now_s
        text = f"a turn of the reactor took {took_s:.3f} s"
        if self._collected_s > _LONG_S:
            text += f", {self._collected_s:.3f} s of it garbage collection"
        text += f"; after {LATE_S} s it was in {where or 'nothing of ours'}"
        if late_since is not None:
            text += self._waits(*late_since)
        self._warn(text + (f" ({others} more since the last such line)" if others else ""))

    def _waits(self, since_s: float, cpu_since_s: float) -> str:
        """Log text for a turn in which the thread mostly had no processor; times are as of when `expired` ran."""
        rest_s, cpu_s = self._seconds() - since_s, self._cpu_seconds() - cpu_since_s
        if rest_s < _LONG_S or cpu_s > rest_s / 2:
            return ""
        return f"; of the {rest_s:.3f} s after that it had a processor for {cpu_s:.3f} s"


def _calls(frame: FrameType | None) -> str:
    """The innermost call, and the calls of this package around it."""
    found: list[str] = []
    while frame is not None and len(found) < _CALLS_MAX:
        module = str(frame.f_globals.get("__name__", ""))
        if not found or module.partition(".")[0] == _PACKAGE:
            found.append(f"{module}:{frame.f_lineno} {frame.f_code.co_qualname}")
        frame = frame.f_back
    return " < ".join(found)


def install(reactor: Any, metrics: Registry, turn: Turn) -> None:
    """Watch `reactor`, if its poller can be wrapped and this is the main thread. Only for a process of one agent."""
    poller: Any = getattr(reactor, "_poller", None)
    is_free = signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    if not hasattr(poller, "poll") or current_thread() is not main_thread() or not is_free:
        return
    watchdog = Watchdog(metrics, turn, reactor.seconds)
    signal.signal(signal.SIGALRM, watchdog.expired)
    atexit.register(_stop)
    reactor.addSystemEventTrigger("after", "shutdown", _stop)
    gc.callbacks.append(watchdog.collecting)
    reactor._poller = _Poller(poller, watchdog.wrap(poller.poll))


def _stop() -> None:
    """Disarm the timer, whose signal would end the process once Python's handlers are gone."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    _SET_TIMER(0)


class _Poller:
    """The reactor's poller with another `poll`."""

    def __init__(self, poller: Any, poll: Callable[[float, int], Any]) -> None:
        self.poll = poll
        self.register = poller.register
        self.modify = poller.modify
        self.unregister = poller.unregister
        self.close = poller.close
        self.fileno = poller.fileno


__all__ = ["LATE_S", "LOG_INTERVAL_S", "Watchdog", "install"]
