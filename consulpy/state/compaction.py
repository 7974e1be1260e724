"""Log compaction: replaces log entries by a snapshot, in small steps that block neither writes nor the reactor.

Each step encodes a few records in the disk thread, between two commits, and returns to the reactor before the next one:
writes wait for at most one step, and the reactor gets the interpreter between steps.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol

from consulpy.state.disk import PART_BYTES, SnapshotJob
from consulpy.state.snapshot import Snapshot

#: Records encoded in one step, which takes about a millisecond.
STEP_RECORDS: Final = 64

#: Runs a job in the disk thread (or, in tests, at once).
_Run = Callable[[Callable[[], None]], None]


class SnapshotFile(Protocol):
    """Where a snapshot is written, part by part; each method returns the error, or None."""

    def begin_snapshot(self, index: int) -> SnapshotJob:
        """Begin a snapshot at `index`."""

    def add_to_snapshot(self, job: SnapshotJob, records: Sequence[bytes]) -> Exception | None:
        """Store one part."""

    def finish_snapshot(self, job: SnapshotJob) -> Exception | None:
        """The last part is stored: it takes the place of the former snapshot."""


class Compaction:
    """One compaction. `done(error)` is called in the reactor's thread, unless it was cancelled."""

    def __init__(
        self,
        database: SnapshotFile,
        snapshot: Snapshot,
        run: _Run,
        hand_back: _Run,
        done: Callable[[Exception | None], None],
    ) -> None:
        self.index = snapshot.index
        self._database = database
        self._records = snapshot.records()
        self._run = run
        self._hand_back = hand_back
        self._done = done
        self._part: list[bytes] = []
        self._size = 0
        self._cancelled = False
        self._job = database.begin_snapshot(snapshot.index)

    def start(self) -> None:
        """Start."""
        self._next()

    def cancel(self) -> None:
        """Stop; parts already written stay in the file."""
        self._cancelled = True

    def _next(self) -> None:
        if not self._cancelled:
            self._run(self._step)

    def _step(self) -> None:  # in the disk thread
        error, is_over = self._advance()
        self._hand_back((lambda: self._end(error)) if is_over else self._next)

    def _advance(self) -> tuple[Exception | None, bool]:
        """Write the next part: (error, whether it was the last one)."""
        records = list(islice(self._records, STEP_RECORDS))
        self._part += records
        self._size += sum(map(len, records))
        is_last = len(records) < STEP_RECORDS
        if is_last or self._size >= PART_BYTES:
            error = self._database.add_to_snapshot(self._job, self._part)
            self._part, self._size = [], 0
            if error is not None:
                return error, True
        return (self._database.finish_snapshot(self._job), True) if is_last else (None, False)

    def _end(self, error: Exception | None) -> None:
        if not self._cancelled:
            self._done(error)


__all__ = ["Compaction"]
