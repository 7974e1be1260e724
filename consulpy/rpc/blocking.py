"""Blocking queries: reads that wait until the index of their reply passes that of the request (docs/wire/rpc.md 7)."""

from collections.abc import Callable
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.clock import Clock, cancel_timer
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.rpc.limits.time_slice import TimeSlicer
from consulpy.rpc.long_read import LongRead
from consulpy.state.watch import Watch, WatchRegistry, WatchSet

#: The longest wait, and the default one, in seconds.
MAX_WAIT_S: Final = 600.0
DEFAULT_WAIT_S: Final = 300.0
#: Jitter: up to this fraction of the wait is added, so that clients do not return all at once.
JITTER_FRACTION: Final = 16


class Indexed(Protocol):
    """A reply with `meta.index`."""

    meta: Any


#: Runs the read; records its dependencies in the `WatchSet` (None: not needed).
Run = Callable[[WatchSet | None], Indexed]
#: Computes the reply of a long read.
Finish = Callable[[LongRead], "Deferred[Any]"]


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """Default and maximum of the wait, in seconds."""

    default_s: float = DEFAULT_WAIT_S
    longest_s: float = MAX_WAIT_S


DEFAULT_WAITS: Final = WaitLimits()


def wait_s(max_query_time_ns: int, rng: Random, limits: WaitLimits = DEFAULT_WAITS) -> float:
    """The wait of a query with this `MaxQueryTime` (in nanoseconds), with jitter, in seconds."""
    wanted_s = max_query_time_ns / 1e9
    wait = min(limits.default_s if wanted_s <= 0 else wanted_s, limits.longest_s)
    return wait + rng.random() * wait / JITTER_FRACTION


class BlockingQuery:
    """One blocking query.

    `run` is called at once, and again in a turn after each change of its last dependencies, until the index of its
    reply passes `min_index`; `woken`: the queue in which it waits for that turn. `epoch()`: another object after the
    state was replaced; then the query ends with any index.
    `reply` fires with the reply; cancelling it ends the wait. `finish`: computes it if `run` returned a long read.
    `prepare`: called before each later run, which waits for its result (that never fails), if there is one.
    """

    def __init__(
        self,
        run: Run,
        min_index: int,
        max_wait_s: float,
        watchers: WatchRegistry,
        clock: Clock,
        woken: TimeSlicer,
        epoch: Callable[[], object] = lambda: None,
        finish: Finish | None = None,
        prepare: "Callable[[], Deferred[None] | None] | None" = None,
    ) -> None:
        self._prepare = prepare
        self._preparing: Deferred[None] | None = None
        self._finish = finish
        self._finishing: Deferred[Any] | None = None
        self._run = run
        self._min_index = min_index
        self._watchers = watchers
        self._woken = woken
        self._epoch = epoch
        self._first_epoch = epoch()
        self._watch: Watch | None = None
        self.reply: Deferred[Any] = Deferred(lambda _: self._stop())
        self._timeout = clock.callLater(max_wait_s, self._timed_out)
        self._run_again()

    def _run_again(self) -> None:
        watch = WatchSet()
        try:
            reply = self._run(watch)
        except Exception as error:  # any error of the read is the result
            self._stop()
            self.reply.errback(error)
            return
        replaced = self._epoch() is not self._first_epoch
        if max(reply.meta.index, 1) > self._min_index or replaced:
            self._stop()
            self._reply(reply)
        else:
            self._watch = self._watchers.wait(watch, self._changed)

    def _changed(self) -> None:
        # In a later turn: several changes cost one run, and the writer does not wait for it.
        self._watch = None
        self._woken.defer(self, self._woken_up)

    def _woken_up(self) -> None:
        self._prepared(self._run_again)

    def _prepared(self, run: Callable[[], None]) -> None:
        """Have the query prepared and run; what is under way is given up."""
        self._give_up_preparing()
        self._preparing = self._prepare() if self._prepare is not None else None
        if self._preparing is None:
            run()
        else:
            self._preparing.addCallbacks(
                lambda _: self._run_prepared(run), lambda failure: failure.trap(CancelledError)
            )

    def _run_prepared(self, run: Callable[[], None]) -> None:
        self._preparing = None
        run()

    def _give_up_preparing(self) -> None:
        preparing, self._preparing = self._preparing, None
        if preparing is not None:
            preparing.cancel()

    def _timed_out(self) -> None:
        self._stop()
        self._prepared(self._run_last)

    def _run_last(self) -> None:
        try:
            reply = self._run(None)
        except Exception as error:
            self.reply.errback(error)
        else:
            self._reply(reply)

    def _reply(self, reply: Indexed) -> None:
        if isinstance(reply, LongRead) and self._finish is not None:
            self._finishing = self._finish(reply)
            self._finishing.addCallbacks(self.reply.callback, self._failed)
        else:
            self.reply.callback(reply)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):  # then `reply` was cancelled
            self.reply.errback(failure)

    def _stop(self) -> None:
        self._give_up_preparing()
        if self._finishing is not None:
            self._finishing.cancel()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._woken.cancel(self)
        cancel_timer(self._timeout)
