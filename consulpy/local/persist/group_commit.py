"""`GroupCommit`: the changes of the agent's services and checks, in groups that go to disk together.

A change is one call of a method of `LocalState`. It is planned (checked against what there is, nothing done yet), then
written, then done, then answered. While the thread writes one group, what comes in meanwhile waits and becomes the
next one. Two changes of a group may not concern the same thing, since each is planned before the other is done: the
second waits for the next group. So the order is that of the calls, and what is on disk is what is done.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer
from consulpy.errors import RPCError
from consulpy.local.persist.records import Files

_log = Logger()

#: Changes that may wait for the disk; more are refused.
WAITING_LIMIT: Final = 4096
#: Changes of one group.
GROUP_LIMIT: Final = 128
#: Files are put into place when nothing was written for this long, and at the latest so long after a change.
TIDY_AFTER_S: Final = 0.5
TIDY_WITHIN_S: Final = 5.0

_T = TypeVar("_T")
#: Runs a job on another thread, or back in this one.
Run = Callable[[Callable[[], None]], None]
#: `call(job, done, count)`: runs `job`, which is for `count` requests, on another thread, then `done` here, before or
#: after it returns (`consulpy.agent.process.disk_thread.DiskThread.call`).
Call = Callable[[Callable[[], None], Callable[[], None], int], None]


class _Conflict(Exception):
    """Another change of the group concerns the same."""


@dataclass(slots=True, eq=False)
class _Batch:
    """Changes that are written together, once: by the thread, or by whoever cannot wait for it."""

    files: Files | None
    changes: dict[str, bytes | None] = field(default_factory=dict)
    durable: bool = False
    touched: set[str] = field(default_factory=set)
    effects: list[Callable[[], None]] = field(default_factory=list)
    answers: list[tuple["Deferred[Any]", Any]] = field(default_factory=list)
    error: OSError | None = None
    finished: bool = False
    _written: bool = False
    _lock: Any = field(default_factory=Lock)

    def write(self) -> None:
        """Commit the changes, unless that was done."""
        with self._lock:
            if self._written:
                return
            self._written = True
            if self.files is not None and self.changes:
                try:
                    self.files.commit(self.changes, durable=self.durable)
                except OSError as error:
                    self.error = error


class GroupCommit:
    """`files`: None keeps nothing. `run`, `hand_back`: to a thread and back; None: everything is done at once.

    `call`: both in one, which may wait a moment for the result (None: made of the two). `later`: runs a job when the
    reactor has read what there is: all that goes together.
    """

    def __init__(
        self,
        files: Files | None,
        clock: Clock,
        run: Run | None = None,
        hand_back: Run = lambda job: job(),
        call: Call | None = None,
        later: Callable[[Callable[[], None]], object] = lambda job: job(),
    ) -> None:
        self._files = files
        self._clock = clock
        self._run = run if files is not None else None
        self._hand_back = hand_back
        self._call = call or self._run_and_hand_back
        self._later = later
        self._is_due = False  # the next group is made in this turn of the reactor
        self._waiting: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()
        self._planning: _Batch | None = None
        self._names: set[str] = set()
        self._under_way: _Batch | None = None
        self._tidying: Timer | None = None
        self._written_s = self._untidy_s = 0.0

    # For whoever plans a change

    def touch(self, *names: str) -> None:
        """The change that is being planned concerns these; to be said before anything about them is looked at."""
        if self._planning is not None:
            if not self._planning.touched.isdisjoint(names):
                raise _Conflict
            self._names.update(names)

    def write(self, changes: dict[str, bytes | None], effect: Callable[[], None], *, durable: bool = True) -> None:
        """Write the change as planned, then do `effect`: with its group, or at once. Raises `RPCError`."""
        if self._planning is not None:
            self._join(self._planning, changes, effect, durable)
            return
        self.settle()
        group = _Batch(self._files)
        self._join(group, changes, effect, durable)
        group.write()
        if group.error is not None:
            raise _refused(group.error)
        effect()
        self._tidy()
        self._tidy_later()

    def _join(self, group: _Batch, changes: dict[str, bytes | None], effect: Callable[[], None], durable: bool) -> None:
        group.changes.update(changes)
        group.durable |= durable
        group.effects.append(effect)

    # For whoever asks for one

    def soon(self, change: Callable[[], _T]) -> "Deferred[_T]":
        """Have `change` planned, written and done with others; what it returned, once that is on disk.

        Fails with what it raised, or with `RPCError` if the disk refuses; then nothing is changed.
        """
        if len(self._waiting) >= WAITING_LIMIT:
            return fail(RPCError(f"too many registrations are waiting for the disk: {WAITING_LIMIT}"))
        done: Deferred[_T] = Deferred()
        self._waiting.append((change, done))
        if not self._is_due and self._under_way is None:
            self._is_due = True
            self._later(self._next)
        return done

    def settle(self) -> None:
        """Finish the group that is under way, in this thread."""
        group = self._under_way
        if group is not None:
            group.write()
            self._finish(group)

    def close(self) -> None:
        """Finish everything, and put the files into place; after that all is done at once."""
        self._run = None
        if self._tidying is not None and self._tidying.active():
            self._tidying.cancel()
        self.settle()
        self._next()
        self._tidy()

    def _next(self) -> None:
        self._is_due = False
        while self._waiting and self._under_way is None:
            group, refused = self._plan()
            if self._run is None or not group.changes:
                group.write()
                self._finish(group)
                self._tidy()
            else:
                self._under_way = group
                # while others wait, the reactor would wait for each of them
                call = self._run_and_hand_back if self._waiting else self._call
                call(group.write, partial(self._finish, group), len(group.answers))
            for done, failure in refused:
                _answer(done, failure)

    def _plan(self) -> tuple[_Batch, list[tuple["Deferred[Any]", Failure]]]:
        """The next group, and who asked for what cannot be."""
        group = _Batch(self._files)
        refused = []
        self._planning = group
        try:
            while self._waiting and len(group.answers) < GROUP_LIMIT:
                change, done = self._waiting[0]
                self._names = set()
                try:
                    result = change()
                except _Conflict:
                    break
                except Exception:
                    refused.append((done, Failure()))
                else:
                    group.answers.append((done, result))
                    group.touched |= self._names
                self._waiting.popleft()
        finally:
            self._planning = None
        return group, refused

    def _run_and_hand_back(self, job: Callable[[], None], done: Callable[[], None], _count: int) -> None:
        def in_thread() -> None:
            job()
            self._hand_back(done)

        assert self._run is not None
        self._run(in_thread)

    def _finish(self, group: _Batch) -> None:
        """A group is on disk: do it; or tell everybody in it why it is not."""
        if group.finished:
            return
        group.finished = True
        if self._under_way is group:
            self._under_way = None
        failure = None if group.error is None else Failure(_refused(group.error))
        if failure is None:
            for effect in group.effects:
                try:
                    effect()
                except Exception:
                    _log.failure("a change that is on disk could not be done")
        if self._run is not None and self._files is not None and self._files.is_full:
            self._run(partial(_tidy, self._files))
        self._next()
        self._tidy_later()
        for done, result in group.answers:
            _answer(done, result if failure is None else failure)

    # Putting files into place

    def _tidy(self) -> None:
        if self._run is None and self._files is not None:
            _tidy(self._files)

    def _tidy_later(self) -> None:
        self._written_s = self._clock.seconds()
        if self._tidying is None and self._run is not None:
            self._untidy_s = self._written_s
            self._tidying = self._clock.callLater(TIDY_AFTER_S, self._tidy_if_quiet)

    def _tidy_if_quiet(self) -> None:
        self._tidying = None
        if self._run is None or self._files is None:
            return
        files, now_s = self._files, self._clock.seconds()
        due_s = min(self._written_s + TIDY_AFTER_S, self._untidy_s + TIDY_WITHIN_S)
        if due_s > now_s:
            self._tidying = self._clock.callLater(due_s - now_s, self._tidy_if_quiet)
        else:
            self._run(lambda: _tidy(files))


def _tidy(files: Files) -> None:
    try:
        files.tidy()
    except OSError as error:  # they stand in the journal, and are tried again after the next change
        _log.error("services and checks could not be put into place: {error}", error=str(error))


def _answer(done: "Deferred[Any]", result: Any) -> None:
    if not done.called:
        done.callback(result)  # a Failure makes it fail


def _refused(error: OSError) -> RPCError:
    return RPCError(f"failed persisting to the data directory: {error}")


__all__ = ["GroupCommit"]
