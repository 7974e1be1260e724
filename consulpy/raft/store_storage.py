"""`Storage` for the machine: the SQLite file, worked on by one thread, the state being a `Store`."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from consulpy.codec.msgpack import pack
from consulpy.errors import ConsulpyError, RPCError
from consulpy.raft.configuration import Server
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.messages import LogEntry
from consulpy.raft.storage import Done, SnapshotMeta, SnapshotReader, StoredState, Update
from consulpy.state import archive
from consulpy.state import snapshot as snapshots
from consulpy.state.commands import decode
from consulpy.state.compaction import Compaction
from consulpy.state.disk import SnapshotJob
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store

#: Runs a job in the disk's thread.
Run = Callable[[Callable[[], None]], None]
#: `call(job, done, size)`: runs `job` there, then `done` here (`consulpy.agent.process.disk_thread.DiskThread.call`).
Call = Callable[[Callable[[], None], Callable[[], None], int], None]

_CLOSED: Final = RPCError("the state log is closed")


@dataclass(slots=True)
class StateReader:
    """A snapshot that is being sent: a `state.bin` as real servers have it."""

    meta: SnapshotMeta
    state: bytes

    @property
    def size(self) -> int:
        """Its size, in bytes."""
        return len(self.state)

    def read(self, offset: int, size: int) -> bytes:
        """A part of it."""
        return self.state[offset : offset + size]


class StoreStorage:
    """A `Storage`. `own`: this server, for a file that was a single server's."""

    def __init__(self, database: RaftDatabase, own: Server, run: Run, hand_back: Run, call: Call | None = None) -> None:
        self._database = database
        self._own = own
        self._run = run
        self._hand_back = hand_back
        self._call = call or self._run_and_hand_back
        self._compaction: Compaction | None = None

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
        if isinstance(state, Store):
            records = list(Snapshot.of(state).records())
            self._in_thread(lambda: self._database.install(meta, records, keep_entries=False), done)
            return
        target = _Target(self._database, meta, keep_from)
        state.index = meta.index
        self._compaction = Compaction(target, state, self._run, self._hand_back, done)
        self._compaction.start()

    def install_snapshot(
        self, meta: SnapshotMeta, body: Any, *, keep_entries: bool, done: Callable[[Any], None]
    ) -> None:
        """See `Storage.install_snapshot`. `body`: the bytes of a `state.bin`."""
        if self._compaction is not None:
            self._compaction.cancel()
            self._compaction = None

        def install() -> Any:
            try:
                records = archive.split(body)
                store = snapshots.restore(meta.index, records)
            except (ConsulpyError, ValueError) as error:
                return error
            return self._database.install(meta, records, keep_entries=keep_entries) or store

        self._in_thread(install, done)

    def open_snapshot(self, done: Callable[[SnapshotReader | Exception], None]) -> None:
        """See `Storage.open_snapshot`."""

        def read() -> SnapshotReader | Exception:
            found = self._database.read_snapshot()
            if isinstance(found, Exception):
                return found
            meta, records = found
            return StateReader(meta, pack({"LastIndex": meta.index}) + b"".join(records))

        self._in_thread(read, done)

    def close(self) -> None:
        """Close the file; the thread has done its work."""
        if self._compaction is not None:
            self._compaction.cancel()
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
    """The file as a `SnapshotFile`, for one snapshot."""

    def __init__(self, database: RaftDatabase, meta: SnapshotMeta, keep_from: int) -> None:
        self._database = database
        self._meta = meta
        self._keep_from = keep_from
        self.begin_snapshot = database.begin_snapshot
        self.add_to_snapshot = database.add_to_snapshot

    def finish_snapshot(self, job: SnapshotJob) -> Exception | None:
        """See `SnapshotFile`."""
        return self._database.finish_raft_snapshot(job, self._meta, self._keep_from)


def _replay(store: Store, index: int, data: bytes) -> None:
    """Apply a command of a single server's log. Raises `WireError` for one that is not understood."""
    command = decode(data)
    with suppress(ConsulpyError):  # it was refused then as well
        command.apply(store, index)
