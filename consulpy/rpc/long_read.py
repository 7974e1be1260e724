"""Reads whose rows are filtered over several turns of the reactor: an expression takes microseconds a row.

The rows are those of one moment: they are replaced in the store, never changed, so the reply shows one state whatever
is written meanwhile. Its index and its dependencies are known at once: a blocking query evaluates nothing before its
index has passed.
"""

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.clock import Clock
from consulpy.structs.options import QueryMeta

#: Time of all long reads together in one turn, in seconds.
SLICE_S: Final = 0.01

#: Yields where a turn may end; returns the reply.
Steps = Generator[None, None, Any]


class LongRead:
    """A reply that is not computed yet. `meta`: what it will have as metadata."""

    __slots__ = ("meta", "steps")

    def __init__(self, meta: QueryMeta, steps: Steps) -> None:
        self.meta = meta
        self.steps = steps

    def then(self, change: Callable[[Any], Any]) -> "LongRead":
        """The read with its reply changed by `change`."""
        return LongRead(self.meta, _changed(self.steps, change))


def _changed(steps: Steps, change: Callable[[Any], Any]) -> Steps:
    reply = yield from steps
    return change(reply)


class LongReads:
    """The long reads in progress, which share one slice of each turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: deque[tuple[Steps, Deferred[Any]]] = deque()
        self._is_scheduled = False

    def __len__(self) -> int:
        return len(self._queue)

    def finish(self, read: LongRead) -> "Deferred[Any]":
        """The reply of `read`, in a later turn. Fails with what its steps raise. Cancelling it ends the work."""
        entry: tuple[Steps, Deferred[Any]] = (read.steps, Deferred(lambda _: self._cancel(entry)))
        self._queue.append(entry)
        self._schedule()
        return entry[1]

    def _cancel(self, entry: "tuple[Steps, Deferred[Any]]") -> None:
        if entry in self._queue:
            self._queue.remove(entry)
            entry[0].close()

    def _schedule(self) -> None:
        if self._queue and not self._is_scheduled:
            self._is_scheduled = True
            self._clock.callLater(0, self._slice)

    def _slice(self) -> None:
        ends_s = self._clock.seconds() + SLICE_S
        while self._queue:
            self._step()
            if self._clock.seconds() >= ends_s:
                break
        self._is_scheduled = False
        self._schedule()

    def _step(self) -> None:
        """One step of the first read, which then stands behind the others."""
        steps, done = self._queue[0]
        self._queue.rotate(-1)
        try:
            next(steps)
        except StopIteration as end:
            self._queue.remove((steps, done))
            done.callback(end.value)
        except Exception as error:
            self._queue.remove((steps, done))
            done.errback(error)
