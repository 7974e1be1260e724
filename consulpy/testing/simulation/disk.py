"""Disks and threads of a simulated agent: jobs that run inline, files in memory."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.python.failure import Failure

from consulpy.agent.process.disk_thread import DiskThread, Job


class InlineDisk(DiskThread):
    """Does each job at once, as a disk does that is fast."""

    def run(self, job: Job) -> None:
        """See `DiskThread.run`."""
        self._submitted += 1
        self._timed(job)

    def call(self, job: Job, done: Job, size: int = 1) -> None:  # noqa: ARG002 - how many makes no difference
        """See `DiskThread.call`."""
        self.run(job)
        done()


class InlinePool:
    """A thread pool (Twisted's) that does each job at once."""

    def callInThread(self, job: Callable[..., object], *arguments: Any, **named: Any) -> None:
        """See `ThreadPool`."""
        job(*arguments, **named)

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], object], job: Callable[..., object], *arguments: Any, **named: Any
    ) -> None:
        """See `ThreadPool`."""
        try:
            result: Any = job(*arguments, **named)
        except Exception:
            done(False, Failure())
        else:
            done(True, result)

    def stop(self) -> None:
        """See `ThreadPool`."""


class MemoryFiles:
    """The small files of an agent, which outlive its process (`consulpy.local.persist.records.Files`)."""

    is_full = False

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def read(self, folder: str) -> dict[str, bytes]:
        """All files of a folder by path."""
        return {path: data for path, data in self._files.items() if path.rpartition("/")[0] == folder}

    def commit(self, changes: Mapping[str, bytes | None], *, durable: bool = True) -> None:  # noqa: ARG002
        """Write (or, for None, remove) these files."""
        for path, data in changes.items():
            if data is None:
                self._files.pop(path, None)
            else:
                self._files[path] = data

    def checkpoint(self) -> None:
        """Nothing to do: the files are in place."""
