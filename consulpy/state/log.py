"""The log of commands: every change of the state is submitted here, stored in order, then applied.

`submit(command, done)` calls `done` with the command's result once it is stored and applied, or with an error. All
commands that are submitted while a commit is running go together into the next transaction (group commit). What is
applied is what was stored: the command decoded from its bytes, so that a replay cannot differ.

Raft serves the same `submit` later. `MemoryLog` is for `-dev`: nothing survives.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import repeat
from threading import Lock
from typing import Any, Final, Protocol

from consulpy.errors import ConsulpyError, RPCError
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.state.commands import Command, decode
from consulpy.state.compaction import Compaction
from consulpy.state.disk import LogStore
from consulpy.state.metrics import applied
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store

Done = Callable[[Any], None]
#: Runs a job on another thread (or, in tests, at once).
Run = Callable[[Callable[[], None]], None]
#: `call(job, done, count, meanwhile)`: runs `job`, which is for `count` requests, on another thread and `meanwhile`
#: here; then `done` here, before or after it returns (`consulpy.agent.process.disk_thread.DiskThread.call`).
Call = Callable[[Callable[[], None], Callable[[], None], int, Callable[[], None]], None]
#: `log(level, text)`, level being `info`, `warn` or `error`.
Say = Callable[[str, str], None]

#: Commands that may wait for a commit; more are refused.
PENDING_LIMIT: Final = 16384
#: Commands of one transaction: keeps the turns of the reactor short in which they are applied.
BATCH_LIMIT: Final = 512
#: Entries after which the log is compacted into a snapshot (Consul's `raft_snapshot_threshold`).
COMPACT_AFTER: Final = 16384
#: And so many for each row of the state, which all go into the snapshot: what a write costs does not grow with them.
ENTRIES_PER_ROW: Final = 8


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


class _Applying:
    """What both logs share."""

    def __init__(self, store: Store, say: Say, metrics: Measures, seconds: Callable[[], float]) -> None:
        self.store = store
        self._say = say
        self._metrics = metrics
        self._seconds = seconds

    def _apply(self, index: int, data: bytes, command: Command | None = None) -> Any:
        """Apply one stored entry, `command` if it is decoded already; an error of the command is its result."""
        try:
            if command is None:
                command = decode(data)
            began_s = self._seconds()
            result = command.apply(self.store, index)
            self._metrics.sample(*applied(command, 1000 * (self._seconds() - began_s)))
            return result
        except ConsulpyError as error:
            return error
        except Exception as error:  # our own fault in one command must not end all writing
            self._say("error", f"command {index} could not be applied: {type(error).__name__}: {error}")
            return RPCError(f"internal error: {error}")

    def _tell(self, done: Done, result: Any) -> None:
        try:
            done(result)
        except Exception as error:
            self._say("error", f"the receiver of a command's result failed: {type(error).__name__}: {error}")


def index_after(store: Store, new: Store) -> int:
    """The index of a state that replaces another: beyond everything that either had."""
    return max(store.index, new.index) + 1


class MemoryLog(_Applying):
    """A log that keeps nothing."""

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
                self._tell(done, self._apply(self.store.index + 1, data))
        finally:
            self._busy = False

    def restore(self, new: Store, done: Done) -> None:
        """See `Log.restore`."""
        new.index = index_after(self.store, new)
        self.store.replace_by(new)
        self._tell(done, None)

    def close(self) -> None:
        """Nothing is pending, nothing to store."""


class LocalLog(_Applying):
    """A log in one SQLite file, committed by one thread at a time; this object itself lives in the reactor's thread.

    `run`: runs a job in a thread (`reactor.callInThread`). `hand_back`: runs a job in the reactor's thread
    (`reactor.callFromThread`). Tests give both `lambda job: job()`. `call`: both in one, which may wait a moment for
    the result (None: made of the two). `later`: runs a job when the reactor has read what there is: all that goes
    together.
    `seconds`: the clock by which `metrics` are told how long things take.
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
        later: Callable[[Callable[[], None]], object] = lambda job: job(),
        say: Say = lambda _level, _text: None,
        compact_after: int = COMPACT_AFTER,
        entries_per_row: int = ENTRIES_PER_ROW,
        metrics: Measures = NOTHING,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__(store, say, metrics, seconds)
        self._run = run
        self._hand_back = hand_back
        self._call = call or self._run_and_hand_back
        self._later = later
        self._is_due = False  # the next commit begins in this turn of the reactor
        self._pending: deque[tuple[bytes, Done]] = deque()
        self._busy = False  # a thread has the file
        self._commit: _Commit | None = None
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
            self._tell(done, RPCError("the state log is closed"))
        elif len(self._pending) >= PENDING_LIMIT:
            self._tell(done, RPCError(f"too many writes are waiting for the disk: {PENDING_LIMIT}"))
        else:
            self._pending.append((command.encode(sparse=True), done))
            self._write_soon()

    def restore(self, new: Store, done: Done) -> None:
        """See `Log.restore`."""
        if self._closed:
            self._tell(done, RPCError("the state log is closed"))
            return
        self._restores.append((new, done))
        self._write_next()

    def close(self) -> None:
        """Store and apply what is pending, in this thread, then close the file. Waits for a commit that is running."""
        self._closed = True
        self._end_compaction()
        if self._commit is not None:
            self._commit.write()
            self._written(self._commit)
        while self._restores:
            self._tell(self._restores.popleft()[1], RPCError("the state log is closed"))
        while self._pending:
            commit = self._next_commit()
            commit.write()
            self._written(commit)
        self._database.close()

    def _replay(self, index: int, data: bytes) -> None:
        command = decode(data)  # raises for what we do not understand: then the file is not used
        try:
            command.apply(self.store, index)
        except ConsulpyError:
            pass  # it was refused then as well
        except Exception as error:
            self._say("error", f"command {index} could not be applied: {type(error).__name__}: {error}")

    # Commits: one at a time

    def _next_commit(self) -> "_Commit":
        batch = [self._pending.popleft() for _ in range(min(len(self._pending), BATCH_LIMIT))]
        return _Commit(self._database, self.store.index + 1, batch)

    def _write_soon(self) -> None:
        if not (self._busy or self._is_due):
            self._is_due = True
            self._later(self._write_next)

    def _write_next(self) -> None:
        self._is_due = False
        if self._busy or self._closed:
            return
        if self._restores:
            self._write_restored(*self._restores.popleft())
        elif self._pending:
            commit = self._commit = self._next_commit()
            commit.began_s = self._seconds()
            self._busy = True
            is_inside = True

            def written() -> None:
                self._written(commit)
                if not is_inside:
                    self._write_next()
                elif self._pending or self._restores:
                    self._write_soon()

            self._call(commit.write, written, len(commit.batch), commit.decode)
            is_inside = False

    def _run_and_hand_back(
        self, job: Callable[[], None], done: Callable[[], None], _count: int, meanwhile: Callable[[], None]
    ) -> None:
        def in_thread() -> None:
            job()
            self._hand_back(done)

        self._run(in_thread)
        meanwhile()

    def _written(self, commit: "_Commit") -> None:
        """Apply a stored batch in order, or tell everybody in it why it could not be stored."""
        if commit.told:  # by `close`
            return
        commit.told = True
        self._busy = False
        self._commit = None
        self.commits += 1
        self._metrics.incr("raft.apply", len(commit.batch))
        self._metrics.sample("raft.commitTime", 1000 * (self._seconds() - commit.began_s))
        if commit.error is not None:
            self._say("error", f"{len(commit.batch)} writes could not be stored: {commit.error}")
            for _, done in commit.batch:
                self._tell(done, commit.error)
        else:
            self.entries += len(commit.batch)
            commands = commit.commands or repeat(None)
            results = [
                (done, self._apply(self.store.index + 1, data, command))
                for (data, done), command in zip(commit.batch, commands, strict=False)
            ]
            for done, result in results:
                self._tell(done, result)
        self._maybe_compact()

    # Compaction, between commits; and what replaces the whole state

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

    def _write_restored(self, new: Store, done: Done) -> None:
        """Store a whole new state in one transaction; then, and only then, it is the state."""
        index = index_after(self.store, new)
        self._busy = True
        self._end_compaction()

        def write() -> None:  # in the thread
            error = self._database.replace(index, list(Snapshot.of(new).records()))
            self._hand_back(lambda: written(error))

        def written(error: Exception | None) -> None:
            self._busy = False
            if error is not None:
                self._tell(done, error)
            else:
                new.index = index
                self.entries = 0
                self.store.replace_by(new)
                self._tell(done, None)
            self._write_next()

        self._run(write)


class _Commit:
    """One transaction: written once, by a thread or by `close`, whoever comes first."""

    def __init__(self, database: LogStore, first: int, batch: list[tuple[bytes, Done]]) -> None:
        self.batch = batch
        self.error: Exception | None = None
        self.told = False
        self.began_s = 0.0
        #: The batch decoded, None for what cannot be; empty until `decode`.
        self.commands: list[Command | None] = []
        self._database = database
        self._first = first
        self._written = False
        self._lock = Lock()

    def write(self) -> None:
        """Store the batch, unless that was done."""
        with self._lock:
            if not self._written:
                self.error = self._database.append(self._first, [data for data, _ in self.batch])
                self._written = True

    def decode(self) -> None:
        """Decode the batch: the reactor has time for it while the disk works."""
        self.commands = [_decoded(data) for data, _ in self.batch]


def _decoded(data: bytes) -> Command | None:
    try:
        return decode(data)
    except Exception:  # applying it says why
        return None
