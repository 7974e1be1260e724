"""`Storage` for the machine: the SQLite file, worked on by one thread, the state being a `Store`."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from consulpy.errors import ConsulpyError, RPCError
from consulpy.raft.configuration import Server
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.messages import LogEntry
from consulpy.raft.snapshot_transfer import IncomingSnapshot, OutgoingSnapshot
from consulpy.raft.storage import Done, SnapshotMeta, SnapshotReader, SnapshotWriter, StoredState, Update
from consulpy.state.commands import decode
from consulpy.state.compaction import Compaction
from consulpy.state.disk import STALE, SnapshotJob
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store

#: Runs a job in the disk's thread.
Run = Callable[[Callable[[], None]], None]
#: `call(job, done, size)`: runs `job` there, then `done` here (`consulpy.agent.process.disk_thread.DiskThread.call`).
Call = Callable[[Callable[[], None], Callable[[], None], int], None]

_CLOSED: Final = RPCError("the state log is closed")


class StoreStorage:
    """A `Storage`. `own`: this server, for a file that was a single server's."""

    def __init__(self, database: RaftDatabase, own: Server, run: Run, hand_back: Run, call: Call | None = None) -> None:
        self._database = database
        self._own = own
        self._run = run
        self._hand_back = hand_back
        self._call = call or self._run_and_hand_back
        #: The snapshot that is being stored, and its callback.
        self._compaction: tuple[Compaction, Done] | None = None

    def load(self) -> StoredState:
        """See `Storage.load`. Raises what reading raises."""
        return self._database.load_raft(self._own, _replay)

    def write(self, update: Update, done: Done) -> None:
        """See `Storage.write`."""
        errors: list[Exception | None] = []
        self._call(
            lambda: errors.append(self._database.write(update)),
            lambda: done(errors[0] if errors else _CLOSED),
            max(len(update.entries), 1),
        )

    def read(
        self, first: int, most_entries: int, most_bytes: int, done: Callable[[list[LogEntry] | Exception], None]
    ) -> None:
        """See `Storage.read`."""
        self._in_thread(lambda: self._database.read(first, most_entries, most_bytes), done)

    def save_snapshot(self, meta: SnapshotMeta, state: Any, keep_from: int, done: Done) -> None:
        """See `Storage.save_snapshot`. `state`: a `Snapshot`, or a `Store` that replaces the present one."""
        target = _Target(self._database, meta, None if isinstance(state, Store) else keep_from)
        snapshot = Snapshot.of(state) if isinstance(state, Store) else state
        snapshot.index = meta.index
        self._end_compaction(STALE)

        def saved(error: Exception | None) -> None:
            self._compaction = None
            done(error)

        compaction = Compaction(target, snapshot, self._run, self._hand_back, saved)
        self._compaction = (compaction, done)
        compaction.start()

    def receive_snapshot(self, index: int) -> SnapshotWriter:
        """See `Storage.receive_snapshot`."""
        return IncomingSnapshot(self._database, self._in_thread, index)

    def install_snapshot(
        self, meta: SnapshotMeta, body: Any, *, keep_entries: bool, done: Callable[[Any], None]
    ) -> None:
        """See `Storage.install_snapshot`."""
        self._end_compaction(STALE)
        body.install(meta, keep_entries, done)

    def open_snapshot(self, done: Callable[[SnapshotReader | Exception], None]) -> None:
        """See `Storage.open_snapshot`."""

        def held(meta: SnapshotMeta | Exception) -> None:
            if isinstance(meta, Exception):
                done(meta)
            else:
                OutgoingSnapshot(self._database, self._in_thread, meta).measure(done)

        self._in_thread(self._database.hold_snapshot, held)

    def _end_compaction(self, why: Exception) -> None:
        running, self._compaction = self._compaction, None
        if running is not None:
            compaction, done = running
            compaction.cancel()
            done(why)

    def close(self) -> None:
        """Close the file; the thread has done its work."""
        self._end_compaction(_CLOSED)
        self._database.close()

    def _in_thread(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        def run() -> None:
            try:
                result = job()
            except Exception as error:  # an error of ours must not leave the machine waiting
                result = error
            self._hand_back(lambda: done(result))

        self._run(run)

    def _run_and_hand_back(self, job: Callable[[], None], done: Callable[[], None], _size: int) -> None:
        self._in_thread(job, lambda _: done())


class _Target:
    """The file as a `SnapshotFile`, for one snapshot. `keep_from`: None if all entries go."""

    def __init__(self, database: RaftDatabase, meta: SnapshotMeta, keep_from: int | None) -> None:
        self._database = database
        self._meta = meta
        self._keep_from = keep_from
        self.begin_snapshot = database.begin_snapshot
        self.add_to_snapshot = database.add_to_snapshot

    def finish_snapshot(self, job: SnapshotJob) -> Exception | None:
        """See `SnapshotFile`."""
        if self._keep_from is None:
            return self._database.finish_install(job, self._meta, keep_entries=False)
        return self._database.finish_raft_snapshot(job, self._meta, self._keep_from)


def _replay(store: Store, index: int, data: bytes) -> None:
    """Apply a command of a single server's log. Raises `WireError` for one that is not understood."""
    command = decode(data)
    with suppress(ConsulpyError):  # it was refused then as well
        command.apply(store, index)
