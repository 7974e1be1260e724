"""The log of commands: every change of the state is submitted here, stored in order, then applied.

`submit(command, done)` calls `done` with the command's result once it is stored and applied, or with an error. All
commands that are submitted while a commit is running go together into the next transaction (`consulpy.group_commit`).
What is applied is what was stored: the command decoded from its bytes, so that a replay cannot differ.

`MemoryLog` is for `-dev`: nothing is stored. `consulpy.raft.replicated_log` is the log of several servers.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any, Final, Protocol

from consulpy.errors import ConsulpyError, RPCError
from consulpy.group_commit import Batch, Call, GroupCommit, Job, Later, Run, run_inline
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.state.apply import CommandApplier, Say
from consulpy.state.commands import Command, decode
from consulpy.state.compaction import Compaction
from consulpy.state.disk import LogStore
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store

Done = Callable[[Any], None]

#: Commands queued for a commit; more are refused.
PENDING_LIMIT: Final = 16384
#: Commands of one transaction: bounds the time for which applying them keeps the reactor.
BATCH_LIMIT: Final = 512
#: Entries after which the log is compacted into a snapshot (Consul's `raft_snapshot_threshold`).
COMPACT_AFTER: Final = 16384
#: And at least this many entries for each row of the state: all rows go into the snapshot, so the cost of a write does
#: not grow with the state.
ENTRIES_PER_ROW: Final = 8

#: The error of a batch whose `write` did not return.
_NOT_WRITTEN: Final = RPCError("internal error: the write was not stored")


class Log(Protocol):
    """Where commands are submitted."""

    store: Store

    def submit(self, command: Command, done: Done) -> None:
        """Store and apply `command`; then call `done` with its result, or with the exception that stopped it."""

    def restore(self, new: Store, done: Done) -> None:
        """Put `new` in the place of the whole state, at an index of its own; then call `done` as `submit` does.

        What was submitted before may be lost, what is submitted after happens on top of it.
        """

    def close(self) -> None:
        """Store what is pending and stop."""


class _AnsweringLog:
    """Applies commands and answers their callers."""

    def __init__(self, store: Store, say: Say, metrics: Measures, seconds: Callable[[], float]) -> None:
        self.store = store
        self._say = say
        self._metrics = metrics
        self._seconds = seconds
        self._applier = CommandApplier(store, say, metrics, seconds)

    def answer(self, done: Done, result: Any) -> None:
        """Call `done` with `result`; an exception that it raises is logged."""
        try:
            done(result)
        except Exception as error:
            self._say("error", f"the receiver of a command's result failed: {type(error).__name__}: {error}")


def index_after(store: Store, new: Store) -> int:
    """The index of a state that replaces another: beyond everything that either had."""
    return max(store.index, new.index) + 1


class MemoryLog(_AnsweringLog):
    """A log that stores nothing."""

    def __init__(
        self,
        store: Store,
        *,
        say: Say = lambda _level, _text: None,
        metrics: Measures = NOTHING,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__(store, say, metrics, seconds)
        self._queue: deque[tuple[bytes, Done]] = deque()
        self._busy = False

    def submit(self, command: Command, done: Done) -> None:
        """Apply at once; a command submitted by a `done` waits for its turn."""
        self._queue.append((command.encode(sparse=True), done))
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                data, done = self._queue.popleft()
                self._metrics.incr("raft.apply")
                self.answer(done, self._applier.apply(self.store.index + 1, data))
        finally:
            self._busy = False

    def restore(self, new: Store, done: Done) -> None:
        """See `Log.restore`."""
        new.index = index_after(self.store, new)
        self.store.replace_by(new)
        self.answer(done, None)

    def close(self) -> None:
        """Nothing is pending, nothing to store."""


class LocalLog(_AnsweringLog):
    """A log in one SQLite file. Its methods are called in the reactor's thread; the disk thread writes the file.

    `run`, `hand_back`, `call`, `later`: to the disk thread and back (`GroupCommit`). `seconds`: clock of `metrics`.
    Opening replays the file into `store`. Raises `ConfigError` when the file is in use, or may not be written.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        *,
        run: Run,
        hand_back: Run,
        call: Call | None = None,
        later: Later = run_inline,
        say: Say = lambda _level, _text: None,
        compact_after: int = COMPACT_AFTER,
        entries_per_row: int = ENTRIES_PER_ROW,
        metrics: Measures = NOTHING,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__(store, say, metrics, seconds)
        self._run = run
        self._hand_back = hand_back
        self._commits = GroupCommit(self, run, hand_back, call, later, overlap=False)
        self._pending: deque[tuple[bytes, Done]] = deque()
        self._compaction: Compaction | None = None
        self._restores: deque[tuple[Store, Done]] = deque()
        self._closed = False
        self._compact_after = compact_after
        self._entries_per_row = entries_per_row
        self._database = LogStore(path, say)
        self.entries = self._database.load(store, self._replay)
        self.commits = 0
        self._maybe_compact()

    def submit(self, command: Command, done: Done) -> None:
        """See `Log.submit`."""
        if self._closed:
            self.answer(done, RPCError("the state log is closed"))
        elif len(self._pending) >= PENDING_LIMIT:
            self.answer(done, RPCError(f"too many writes are waiting for the disk: {PENDING_LIMIT}"))
        else:
            self._pending.append((command.encode(sparse=True), done))
            self._commits.schedule()

    def restore(self, new: Store, done: Done) -> None:
        """See `Log.restore`."""
        if self._closed:
            self.answer(done, RPCError("the state log is closed"))
            return
        self._restores.append((new, done))
        self._commits.schedule()

    def close(self) -> None:
        """Store and apply what is pending, in this thread, then close the file. Waits for a commit that is running."""
        self._closed = True
        self._end_compaction()
        self._commits.flush()
        while self._restores:
            self.answer(self._restores.popleft()[1], RPCError("the state log is closed"))
        self._commits.close()
        self._database.close()

    def _replay(self, index: int, data: bytes) -> None:
        command = decode(data)  # raises for what we do not understand: then the file is not used
        try:
            command.apply(self.store, index)
        except ConsulpyError:
            pass  # it was refused then as well
        except Exception as error:
            self._say("error", f"command {index} could not be applied: {type(error).__name__}: {error}")

    # The source of `GroupCommit`

    @property
    def has_pending(self) -> bool:
        """See `BatchSource.has_pending`."""
        return bool(self._pending or self._restores)

    def next_batch(self) -> Batch | None:
        """See `BatchSource.next_batch`."""
        if self._restores:
            self._end_compaction()
            return _Restore(self, self._database, *self._restores.popleft())
        if not self._pending:
            return None
        entries = [self._pending.popleft() for _ in range(min(len(self._pending), BATCH_LIMIT))]
        return _Commit(self, self._database, self.store.index + 1, entries, self._seconds())

    def apply_commit(self, commit: "_Commit") -> list[Any]:
        """Apply the entries of a stored batch in order; the results, or the error for each if it is not stored."""
        count = len(commit.entries)
        self.commits += 1
        self._metrics.incr("raft.apply", count)
        self._metrics.sample("raft.commitTime", 1000 * (self._seconds() - commit.began_s))
        if commit.error is not None:
            self._say("error", f"{count} writes could not be stored: {commit.error}")
            results: list[Any] = [commit.error] * count
        else:
            self.entries += count
            results = [
                self._applier.apply(self.store.index + 1, command or data)
                for (data, _), command in zip(commit.entries, commit.commands or repeat(None), strict=False)
            ]
        self._maybe_compact()
        return results

    def apply_restored(self, new: Store, index: int) -> None:
        """Replace the state by `new`, which is stored at `index`."""
        new.index = index
        self.entries = 0
        self.store.replace_by(new)

    # Compaction

    def _maybe_compact(self) -> None:
        if self._compaction is not None or self._closed or self.entries < self._compact_after:
            return
        if self.entries >= self._entries_per_row * self.store.rows:
            snapshot = Snapshot.of(self.store)
            done = partial(self._compacted, snapshot.index)
            self._compaction = Compaction(self._database, snapshot, self._run, self._hand_back, done)
            self._compaction.start()

    def _compacted(self, index: int, error: Exception | None) -> None:
        self._compaction = None
        if self._closed:
            return
        if error is None:
            self.entries = self.store.index - index
            self._say("info", f"the state log was compacted at index {index}")
        else:
            self._say("warn", f"the state log could not be compacted, it goes on growing: {error}")
            self.entries = 0  # try again after as many entries as before

    def _end_compaction(self) -> None:
        compaction, self._compaction = self._compaction, None
        if compaction is not None:
            compaction.cancel()


class _Commit:
    """A transaction of some entries, `first` being the index of the first one."""

    is_stored_inline = False

    def __init__(
        self, log: LocalLog, database: LogStore, first: int, entries: list[tuple[bytes, Done]], began_s: float
    ) -> None:
        self.entries = entries
        self.size = len(entries)
        self.meanwhile: Job | None = self._decode
        self.error: Exception | None = _NOT_WRITTEN
        self.began_s = began_s
        #: The entries decoded, None for one that cannot be; empty unless `meanwhile` has run.
        self.commands: list[Command | None] = []
        self._log = log
        self._database = database
        self._first = first
        self._results: list[Any] = []

    def write(self) -> None:
        """See `Batch.write`."""
        self.error = self._database.append(self._first, [data for data, _ in self.entries])

    def apply(self) -> None:
        """See `Batch.apply`."""
        self._results = self._log.apply_commit(self)

    def answer(self) -> None:
        """See `Batch.answer`."""
        for (_, done), result in zip(self.entries, self._results, strict=True):
            self._log.answer(done, result)

    def _decode(self) -> None:
        self.commands = [_decoded(data) for data, _ in self.entries]


class _Restore:
    """A transaction that replaces the whole state by `new`."""

    is_stored_inline = False
    meanwhile: Job | None = None
    #: Encoding a state takes long: `Call` does not wait for a batch of this size.
    size = BATCH_LIMIT

    def __init__(self, log: LocalLog, database: LogStore, new: Store, done: Done) -> None:
        self._log = log
        self._database = database
        self._new = new
        self._done = done
        self._index = index_after(log.store, new)
        self._error: Exception | None = _NOT_WRITTEN

    def write(self) -> None:
        """See `Batch.write`."""
        self._error = self._database.replace(self._index, list(Snapshot.of(self._new).records()))

    def apply(self) -> None:
        """See `Batch.apply`."""
        if self._error is None:
            self._log.apply_restored(self._new, self._index)

    def answer(self) -> None:
        """See `Batch.answer`."""
        self._log.answer(self._done, self._error)


def _decoded(data: bytes) -> Command | None:
    try:
        return decode(data)
    except Exception:  # applying it says why
        return None
