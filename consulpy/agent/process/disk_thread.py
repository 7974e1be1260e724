"""A thread that runs disk jobs, so that the reactor does not block.

A fast disk finishes before a result could return through the reactor's next turn (some 0.1 ms). Therefore, if the last
job was fast, the reactor waits for the result, at most `WAIT_MAX_S`: a disk that hangs costs it that time once.
"""

from collections.abc import Callable
from math import inf
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final

from consulpy.log import Logger

_log = Logger()

#: Longest wait of the reactor for one result, in seconds; after a job that took longer it does not wait.
WAIT_MAX_S: Final = 0.0005
#: The reactor does not wait for larger batches of concurrent requests: it reads the next requests meanwhile.
CONCURRENT_MAX: Final = 2
#: Number of small batches after a larger one that are not waited for either, so that concurrent clients stay in step.
CONCURRENT_HOLD: Final = 16

Job = Callable[[], None]


class DiskThread:
    """Runs jobs in order, until `stop`. The thread is started by the first job.

    `seconds()`: a clock. `hand_back`: runs a job in the reactor's thread (`reactor.callFromThread`).
    """

    def __init__(
        self, name: str, seconds: Callable[[], float], hand_back: Callable[[Job], object] = lambda job: job()
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._hand_back = hand_back
        self._submitted = self._done = 0
        self._last_s = inf
        self._hold = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, job: Job) -> None:
        """Submit `job`."""
        self._queue(lambda: self._timed(job))

    @property
    def is_quiet(self) -> bool:
        """Whether the reactor would wait for the result of a small job now."""
        return not self._hold and self._last_s < WAIT_MAX_S and self._submitted == self._done

    def call(self, job: Job, done: Job, size: int = 1) -> None:
        """Run `job` in the thread, then `done` in the reactor's thread; before this returns if the job is fast.

        `size`: the number of concurrent requests in the job. `job` must not raise.
        """
        if size > CONCURRENT_MAX:
            self._hold = CONCURRENT_HOLD
        elif self._hold:
            self._hold -= 1
        elif self.is_quiet:
            self._call_and_wait(job, done)
            return

        def in_thread() -> None:
            self._timed(job)
            self._hand_back(done)

        self._queue(in_thread)

    def _call_and_wait(self, job: Job, done: Job) -> None:
        over, claim = Lock(), Lock()
        over.acquire()

        def in_thread() -> None:
            self._timed(job)
            over.release()
            if not claim.acquire(blocking=False):  # the reactor has stopped waiting
                self._hand_back(done)

        self._queue(in_thread)
        if over.acquire(timeout=WAIT_MAX_S) or not claim.acquire(blocking=False):
            done()

    def stop(self) -> None:
        """Finish all submitted jobs and end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _queue(self, job: Job) -> None:
        self._submitted += 1
        self._jobs.put(job)
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _timed(self, job: Job) -> None:
        started_s = self._seconds()
        try:
            job()
        except Exception:
            _log.failure("a job of the thread {name} failed", name=self._name)
        self._last_s = self._seconds() - started_s
        self._done += 1


def disk_thread(name: str, reactor: Any) -> DiskThread:
    """A thread for an agent on `reactor`; a simulated reactor has what stands for threads (`disk_thread(name)`)."""
    made = getattr(reactor, "disk_thread", None)
    return made(name) if made is not None else DiskThread(name, reactor.seconds, reactor.callFromThread)
