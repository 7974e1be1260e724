"""One thread that waits for the disk, so that the reactor need not; unless the disk is quicker than the thread."""

from collections.abc import Callable
from math import inf
from queue import SimpleQueue
from threading import Thread
from typing import Final

from twisted.logger import Logger

_log = Logger()

#: A disk that took less than this for its last job is quick, in seconds: to a thread and back costs some 0.1 ms, and
#: nothing that the reactor does is as urgent as this is short.
QUICK_S: Final = 0.001
#: A job for more than so many is the thread's: while it waits for the disk, the reactor takes the next ones.
FEW: Final = 2
#: After one for more, so many jobs for few are the thread's too: else those who come together would go apart.
CROWD_MEMORY: Final = 16


class DiskThread:
    """Runs jobs one after the other, from the first one on until `stop`. `seconds`: a clock."""

    def __init__(self, name: str, seconds: Callable[[], float]) -> None:
        self._name = name
        self._seconds = seconds
        self._given = self._done = 0
        self._took_s = inf
        self._crowd = 0
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, job: Callable[[], None]) -> None:
        """Run `job` in the thread."""
        self._given += 1
        self._jobs.put(job)
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    @property
    def is_quiet(self) -> bool:
        """Whether a small job would be run at once now."""
        return not self._crowd and self._took_s < QUICK_S and self._given == self._done

    def at_once(self, job: Callable[[], None], size: int) -> bool:
        """Run `job` here and now if that is quicker; else do nothing, and say so. `size`: for how many it is.

        It is quicker if the disk was quick lately, the thread has nothing to do, and writers come one by one.
        """
        if size > FEW:
            self._crowd = CROWD_MEMORY
        elif self._crowd:
            self._crowd -= 1
        elif self.is_quiet:
            self._time(job)
            return True
        return False

    def stop(self) -> None:
        """Wait until everything that was given is done."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._time(job)
            except Exception:
                _log.failure("a job of the thread {name} failed", name=self._name)
            self._done += 1

    def _time(self, job: Callable[[], None]) -> None:
        began_s = self._seconds()
        try:
            job()
        finally:
            self._took_s = self._seconds() - began_s
