"""Group commit: one batch of writes is stored at a time; what is submitted meanwhile becomes the next batch.

Pure: threads are given as functions. What a batch holds, how it is stored and what follows is up to its `BatchSource`.
"""

from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol

Job = Callable[[], None]
#: Runs a job in another thread, or back in the reactor's (tests: at once).
Run = Callable[[Job], None]
#: `call(job, done, size)`: runs `job`, which is for `size` requests, in another thread, then `done` in this one, before
#: or after it returns (`consulpy.agent.process.disk_thread.DiskThread.call`).
Call = Callable[[Job, Job, int], None]
#: Runs a job once the reactor has read what has arrived.
Later = Callable[[Job], object]


def run_inline(job: Job) -> None:
    """Run `job` at once, in this thread."""
    job()


class Batch(Protocol):
    """Writes that are stored together. No method may raise."""

    @property
    def size(self) -> int:
        """Number of requests in the batch."""

    @property
    def is_stored_inline(self) -> bool:
        """Whether `write` does not wait for a disk, and so needs no thread."""

    def write(self) -> None:
        """Store the batch and remember the error, if any. Called once, in any thread."""

    def apply(self) -> None:
        """Carry out what was stored. The next batch is taken from the source after this."""

    def answer(self) -> None:
        """Give each request its result or the error."""


class BatchSource(Protocol):
    """The queue of writes."""

    @property
    def has_pending(self) -> bool:
        """Whether writes are queued."""

    def next_batch(self) -> Batch | None:
        """The next batch, removed from the queue; None if nothing is queued."""


class _Commit:
    """A batch being stored. The disk thread and `flush` both call `write`; the first one stores the batch."""

    __slots__ = ("_is_written", "_lock", "batch", "is_finished")

    def __init__(self, batch: Batch) -> None:
        self.batch: Final = batch
        self.is_finished = False
        self._is_written = False
        self._lock = Lock()

    def write(self) -> None:
        with self._lock:
            if not self._is_written:
                self._is_written = True
                self.batch.write()


class GroupCommit:
    """Stores the batches of `source`, one at a time.

    `run`, `hand_back`: to the disk thread and back; `run` None: batches are stored inline. `call`: both in one, which
    may wait briefly for the result (None: made of the two). `later`: delays the start of a batch until the reactor has
    read what has arrived, so that all of it shares the batch.
    """

    def __init__(
        self,
        source: BatchSource,
        run: Run | None,
        hand_back: Run = run_inline,
        call: Call | None = None,
        later: Later = run_inline,
    ) -> None:
        self._source = source
        self._run = run
        self._hand_back = hand_back
        self._call = call or self._run_and_hand_back
        self._later = later
        self._is_scheduled = False
        self._current: _Commit | None = None

    def schedule(self) -> None:
        """Start the next batch soon, unless one is being stored: that one starts it."""
        if self._current is None and not self._is_scheduled:
            self._is_scheduled = True
            self._later(self._start)

    def flush(self) -> None:
        """Store and answer the batch that is being stored, in this thread; wait for the disk thread if it has begun.

        The next batch is not started: the caller may write something of its own first.
        """
        commit = self._current
        if commit is not None:
            commit.write()
            self._apply(commit)
            commit.batch.answer()

    def close(self) -> None:
        """Store and answer everything in this thread; from then on batches are stored inline."""
        self._run = None
        self.flush()
        self._start()

    def _start(self) -> None:
        self._is_scheduled = False
        while self._current is None and (batch := self._source.next_batch()) is not None:
            if self._run is not None and not batch.is_stored_inline:
                self._store(batch)
                return
            batch.write()
            batch.apply()
            batch.answer()

    def _store(self, batch: Batch) -> None:
        commit = self._current = _Commit(batch)
        is_inside = True

        def done() -> None:
            if commit.is_finished:  # by `flush`
                self._start()
                return
            self._apply(commit)
            if not is_inside:
                self._start()  # the disk works on while the answers are given
                batch.answer()
                return
            batch.answer()
            if self._source.has_pending:
                self.schedule()

        # with more writes queued `call` would wait for each batch in turn
        call = self._run_and_hand_back if self._source.has_pending else self._call
        call(commit.write, done, batch.size)
        is_inside = False

    def _apply(self, commit: _Commit) -> None:
        commit.is_finished = True
        self._current = None
        commit.batch.apply()

    def _run_and_hand_back(self, job: Job, done: Job, _size: int) -> None:
        def in_thread() -> None:
            job()
            self._hand_back(done)

        assert self._run is not None
        self._run(in_thread)
