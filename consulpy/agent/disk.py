"""One thread that waits for the disk, so that the reactor never does."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from twisted.logger import Logger

_log = Logger()


class DiskThread:
    """Runs jobs one after the other, from the first one on until `stop`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, job: Callable[[], None]) -> None:
        """Run `job` in the thread."""
        self._jobs.put(job)
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Wait until everything that was given is done."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                _log.failure("a job of the thread {name} failed", name=self._name)
