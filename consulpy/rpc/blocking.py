"""Blocking queries: a read that waits until its result is newer than what the caller knows (docs/wire/rpc.md 7)."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from consulpy.clock import Clock, Timer
from consulpy.state.watch import Watch, WatchRegistry, WatchSet

#: The longest wait, in seconds; and the wait of a caller who names none.
MAX_WAIT_S: Final = 600.0
DEFAULT_WAIT_S: Final = 300.0
#: A random part of the wait, up to a sixteenth, is added so that callers do not come back all at once.
JITTER_FRACTION: Final = 16


class Indexed(Protocol):
    """A reply with `meta.index`."""

    meta: Any


#: Runs the read; notes what it depends on in the `WatchSet` (None: nobody will wait).
Run = Callable[[WatchSet | None], Indexed]


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """The wait of a caller who names none, and the longest of any, in seconds."""

    default_s: float = DEFAULT_WAIT_S
    longest_s: float = MAX_WAIT_S


DEFAULT_WAITS: Final = WaitLimits()


def wait_s(max_query_time_ns: int, rng: Random, limits: WaitLimits = DEFAULT_WAITS) -> float:
    """How long a query with this `MaxQueryTime` may wait, in seconds."""
    wanted_s = max_query_time_ns / 1e9
    wait = min(limits.default_s if wanted_s <= 0 else wanted_s, limits.longest_s)
    return wait + rng.random() * wait / JITTER_FRACTION


class BlockingQuery:
    """One waiting read.

    `run` is called at once, and again in the turn after each change that its last result depends on, until the result's
    index passes `min_index`. `epoch()` gives an object that is another one after the whole state was replaced: then
    the read is answered whatever its index. `answered` is cancelled to stop waiting.
    """

    def __init__(
        self,
        run: Run,
        min_index: int,
        max_wait_s: float,
        watchers: WatchRegistry,
        clock: Clock,
        epoch: Callable[[], object] = lambda: None,
    ) -> None:
        self._run = run
        self._min_index = min_index
        self._watchers = watchers
        self._clock = clock
        self._epoch = epoch
        self._first_epoch = epoch()
        self._waiter: Watch | None = None
        self._rerun: Timer | None = None
        self.answered: Deferred[Any] = Deferred(lambda _: self._stop())
        self._timeout = clock.callLater(max_wait_s, self._out_of_time)
        self._try()

    def _try(self) -> None:
        self._rerun = None
        watch = WatchSet()
        try:
            reply = self._run(watch)
        except Exception as error:  # whatever the read raises is its answer
            self._stop()
            self.answered.errback(error)
            return
        replaced = self._epoch() is not self._first_epoch
        if max(reply.meta.index, 1) > self._min_index or replaced:
            self._stop()
            self.answered.callback(reply)
        else:
            self._waiter = self._watchers.wait(watch, self._woken)

    def _woken(self) -> None:
        # Not at once: several changes of one turn cost one run, and the writer does not wait for the readers.
        self._waiter = None
        self._rerun = self._clock.callLater(0, self._try)

    def _out_of_time(self) -> None:
        self._stop()
        try:
            reply = self._run(None)
        except Exception as error:
            self.answered.errback(error)
        else:
            self.answered.callback(reply)

    def _stop(self) -> None:
        if self._waiter is not None:
            self._waiter.cancel()
            self._waiter = None
        for timer in (self._rerun, self._timeout):
            if timer is not None and timer.active():
                timer.cancel()
