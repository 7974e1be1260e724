"""One thread that waits for the disk, so that the reactor need not.

A quick disk is done before a thread's result would have come back through the reactor's next turn (some 0.1 ms). So
where the last job was quick the reactor waits for this one, for `WAIT_MAX_S` at the most: it never waits for the disk
itself, and a disk that hangs costs it that once.
"""

from collections.abc import Callable
from math import inf
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

from twisted.logger import Logger

_log = Logger()

#: How long the reactor waits for the result of one job, in seconds; after a job that took longer it does not wait.
WAIT_MAX_S: Final = 0.0005
#: Larger batches of concurrent requests are not waited for: meanwhile the reactor reads the next requests.
CONCURRENT_MAX: Final = 2
#: After a larger batch, so many small ones are not waited for either: else concurrent clients would go apart.
CONCURRENT_HOLD: Final = 16

Job = Callable[[], None]


class DiskThread:
    """Runs jobs one after the other, from the first one on until `stop`.

    `seconds`: a clock. `hand_back`: runs a job in the reactor's thread (`reactor.callFromThread`).
    """

    def __init__(
        self, name: str, seconds: Callable[[], float], hand_back: Callable[[Job], object] = lambda job: job()
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._hand_back = hand_back
        self._given = self._done = 0
        self._took_s = inf
        self._hold = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, job: Job) -> None:
        """Run `job` in the thread."""
        self._queue(lambda: self._timed(job))

    @property
    def is_quiet(self) -> bool:
        """Whether the result of a small job would be waited for now."""
        return not self._hold and self._took_s < WAIT_MAX_S and self._given == self._done

    def call(self, job: Job, done: Job, size: int = 1, meanwhile: Job | None = None) -> None:
        """Run `job` in the thread, then `done` in the reactor's: before this returns if the job is quick.

        `size`: how many concurrent requests it is for. `meanwhile`: may run here while the thread
        wakes, where its result is waited for (else it would only keep the interpreter from the thread).
        `job` must not raise.
        """
        if size > CONCURRENT_MAX:
            self._hold = CONCURRENT_HOLD
        elif self._hold:
            self._hold -= 1
        elif self.is_quiet:
            self._call_and_wait(job, done, meanwhile)
            return

        def in_thread() -> None:
            self._timed(job)
            self._hand_back(done)

        self._queue(in_thread)

    def _call_and_wait(self, job: Job, done: Job, meanwhile: Job | None) -> None:
        over, claim = Lock(), Lock()
        over.acquire()

        def in_thread() -> None:
            self._timed(job)
            over.release()
            if not claim.acquire(blocking=False):  # the reactor waits no more
                self._hand_back(done)

        self._queue(in_thread)
        if meanwhile is not None:
            meanwhile()
        if over.acquire(timeout=WAIT_MAX_S) or not claim.acquire(blocking=False):
            done()

    def stop(self) -> None:
        """Wait until everything that was given is done."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _queue(self, job: Job) -> None:
        self._given += 1
        self._jobs.put(job)
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _timed(self, job: Job) -> None:
        began_s = self._seconds()
        try:
            job()
        except Exception:
            _log.failure("a job of the thread {name} failed", name=self._name)
        self._took_s = self._seconds() - began_s
        self._done += 1
