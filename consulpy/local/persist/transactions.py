"""Changes of the agent's services and checks, stored in batches that share a flush of the disk.

A change is one call of a method of `LocalState`. It is planned (validated against the present state, nothing changed),
stored, carried out, then answered. Two changes of a batch may not concern the same service or check, since each is
planned before the other is carried out: the second waits for the next batch. So changes take effect in the order of the
calls, and what is on disk is what is in memory.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.errors import RPCError
from consulpy.group_commit import Batch, Call, GroupCommit, Job, Later, Run, run_inline
from consulpy.local.persist.records import Files
from consulpy.log import Logger

_log = Logger()

#: Changes queued for the disk; more are refused.
QUEUE_MAX: Final = 4096
#: Changes of one batch.
BATCH_MAX: Final = 128
#: Seconds without a write after which the files are checkpointed, and the most seconds from a change to its checkpoint.
CHECKPOINT_IDLE_S: Final = 0.5
CHECKPOINT_MAX_S: Final = 5.0

_T = TypeVar("_T")


class _Conflict(Exception):
    """Raised for a change of a service or check that the batch changes already."""


class _Batch:
    """Changes that are stored together. `applied`: called when they have been carried out, or could not be stored."""

    def __init__(self, files: Files | None, applied: Job) -> None:
        self.changes: dict[str, bytes | None] = {}
        self.durable = False
        #: What the changes concern.
        self.claimed: set[str] = set()
        self.effects: list[Job] = []
        #: Each request with the result of its change, a `Failure` if it was refused.
        self.answers: list[tuple[Deferred[Any], Any]] = []
        self.error: OSError | None = None
        self._files = files
        self._applied = applied

    @property
    def size(self) -> int:
        """See `Batch.size`."""
        return len(self.answers)

    @property
    def is_stored_inline(self) -> bool:
        """See `Batch.is_stored_inline`."""
        return not self.changes

    def add(self, changes: dict[str, bytes | None], effect: Job, durable: bool) -> None:
        """Add files to write and what follows when they are stored."""
        self.changes.update(changes)
        self.durable |= durable
        self.effects.append(effect)

    def write(self) -> None:
        """See `Batch.write`."""
        if self._files is not None and self.changes:
            try:
                self._files.commit(self.changes, durable=self.durable)
            except OSError as error:
                self.error = error

    def apply(self) -> None:
        """See `Batch.apply`."""
        if self.error is None:
            for effect in self.effects:
                try:
                    effect()
                except Exception:
                    _log.failure("a change that is on disk could not be carried out")
        self._applied()

    def answer(self) -> None:
        """See `Batch.answer`."""
        failure = None if self.error is None else Failure(_refused(self.error))
        for done, result in self.answers:
            if not done.called:
                # a Failure makes it fail
                done.callback(result if failure is None or isinstance(result, Failure) else failure)


class Transactions:
    """Plans and stores changes. `files`: None stores nothing. `run` None: changes are stored inline.

    `run`, `hand_back`, `call`, `later`: to the disk thread and back (`GroupCommit`).
    """

    def __init__(
        self,
        files: Files | None,
        clock: Clock,
        run: Run | None = None,
        hand_back: Run = run_inline,
        call: Call | None = None,
        later: Later = run_inline,
    ) -> None:
        self._files = files
        self._clock = clock
        self._run = run if files is not None else None
        self._commits = GroupCommit(self, self._run, hand_back, call, later)
        self._queue: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()
        self._planning: _Batch | None = None
        self._claims: set[str] = set()
        self._checkpoint_timer: Timer | None = None
        self._written_s = self._first_written_s = 0.0

    # Called while a change is planned

    @property
    def stores(self) -> bool:
        """Whether changes are stored at all."""
        return self._files is not None

    def claim(self, *names: str) -> None:
        """Declare what the change that is being planned concerns; to be called before any of it is read."""
        if self._planning is None:  # called directly: what is being stored comes first
            self._commits.flush()
            return
        if not self._planning.claimed.isdisjoint(names):
            raise _Conflict
        self._claims.update(names)

    def write(self, changes: dict[str, bytes | None], effect: Job, *, durable: bool = True) -> None:
        """Store the change as planned, then run `effect`: with its batch, or inline. Raises `RPCError`."""
        if self._planning is not None:
            self._planning.add(changes, effect, durable)
            return
        self._commits.flush()
        batch = _Batch(self._files, self._checkpoint_later)
        batch.add(changes, effect, durable)
        batch.write()
        if batch.error is not None:
            raise _refused(batch.error)
        effect()
        self._checkpoint_inline()
        self._checkpoint_later()

    # Called by clients

    def submit(self, change: Callable[[], _T]) -> "Deferred[_T]":
        """Plan, store and carry out `change` with others. Fires with its result once that is on disk.

        Fails with what `change` raised, or with `RPCError` if it cannot be stored; then nothing is changed.
        """
        if len(self._queue) >= QUEUE_MAX:
            return fail(RPCError(f"too many registrations are waiting for the disk: {QUEUE_MAX}"))
        done: Deferred[_T] = Deferred()
        self._queue.append((change, done))
        self._commits.schedule()
        return done

    def close(self) -> None:
        """Store everything that is queued and checkpoint; from then on changes are stored inline."""
        self._run = None
        cancel_timer(self._checkpoint_timer)
        self._commits.close()
        self._checkpoint_inline()

    # The source of `GroupCommit`

    @property
    def has_pending(self) -> bool:
        """See `BatchSource.has_pending`."""
        return bool(self._queue)

    def next_batch(self) -> Batch | None:
        """See `BatchSource.next_batch`: plans the queued changes up to the first conflict."""
        if not self._queue:
            return None
        batch = self._planning = _Batch(self._files, self._stored)
        try:
            while self._queue and len(batch.answers) < BATCH_MAX:
                change, done = self._queue[0]
                self._claims = set()
                try:
                    result = change()
                except _Conflict:
                    break
                except Exception:
                    batch.answers.append((done, Failure()))
                else:
                    batch.answers.append((done, result))
                    batch.claimed |= self._claims
                self._queue.popleft()
        finally:
            self._planning = None
        return batch

    # Checkpoints

    def _stored(self) -> None:
        if self._run is not None and self._files is not None and self._files.is_full:
            self._run(partial(_checkpoint, self._files))
        self._checkpoint_inline()
        self._checkpoint_later()

    def _checkpoint_inline(self) -> None:
        if self._run is None and self._files is not None:
            _checkpoint(self._files)

    def _checkpoint_later(self) -> None:
        self._written_s = self._clock.seconds()
        if self._checkpoint_timer is None and self._run is not None:
            self._first_written_s = self._written_s
            self._checkpoint_timer = self._clock.callLater(CHECKPOINT_IDLE_S, self._checkpoint_if_idle)

    def _checkpoint_if_idle(self) -> None:
        self._checkpoint_timer = None
        if self._run is None or self._files is None:
            return
        now_s = self._clock.seconds()
        due_s = min(self._written_s + CHECKPOINT_IDLE_S, self._first_written_s + CHECKPOINT_MAX_S)
        if due_s > now_s:
            self._checkpoint_timer = self._clock.callLater(due_s - now_s, self._checkpoint_if_idle)
        else:
            self._run(partial(_checkpoint, self._files))


def _checkpoint(files: Files) -> None:
    try:
        files.checkpoint()
    except OSError as error:  # the changes stay in the journal; the next change tries again
        _log.error("services and checks could not be put into place: {error}", error=str(error))


def _refused(error: OSError) -> RPCError:
    return RPCError(f"failed persisting to the data directory: {error}")
