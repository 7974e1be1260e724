"""Snapshots on their way out of the log file and into it, one part of some 256 kB after the other.

Each step is a job of the disk's thread, so that writes and votes go between them, and neither a snapshot that is sent
nor one that is received is ever whole in memory.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from consulpy.codec.msgpack import pack
from consulpy.errors import RPCError, WireError
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.storage import SnapshotMeta, SnapshotReader
from consulpy.state.compaction import STEP_RECORDS
from consulpy.state.disk import PART_BYTES
from consulpy.state.snapshot import Restoration
from consulpy.state.state_decoder import StateDecoder

#: `do(job, done)`: runs `job` in the disk's thread, then `done` here with its result, or with what it raised.
Do = Callable[[Callable[[], Any], Callable[[Any], None]], None]

#: Precedes the first part of every snapshot.
_FIRST: Final = -1


class OutgoingSnapshot:
    """A `SnapshotReader` of the newest snapshot, which stays in the file until this is closed."""

    def __init__(self, database: RaftDatabase, do: Do, meta: SnapshotMeta) -> None:
        self.meta = meta
        self._database = database
        self._do = do
        self._header = pack({"LastIndex": meta.index})
        self.size = len(self._header)
        self._part = _FIRST
        self._has_header = False

    def measure(self, done: Callable[[SnapshotReader | Exception], None]) -> None:
        """Find out how large it is: that goes before it on the wire."""

        def measured(found: tuple[int, bytes] | Exception | None) -> None:
            if isinstance(found, Exception):
                self.close()
                done(found)
            elif found is None:
                self._part = _FIRST
                done(self)
            else:
                self._part = found[0]
                self.size += len(found[1])
                self.measure(done)

        self._do(lambda: self._database.snapshot_part(self.meta.index, self._part), measured)

    def read(self, done: Callable[[bytes | Exception], None]) -> None:
        """See `SnapshotReader.read`."""
        if not self._has_header:
            self._has_header = True
            done(self._header)
            return

        def found_part(found: tuple[int, bytes] | Exception | None) -> None:
            if isinstance(found, Exception):
                done(found)
            elif found is None:
                done(b"")
            else:
                self._part = found[0]
                done(found[1])

        self._do(lambda: self._database.snapshot_part(self.meta.index, self._part), found_part)

    def close(self) -> None:
        """See `SnapshotReader.close`."""
        self._do(lambda: self._database.release_snapshot(self.meta.index), lambda _: None)


class IncomingSnapshot:
    """A `SnapshotWriter`: a `state.bin` becomes a store, and the parts of the next snapshot in the file."""

    def __init__(self, database: RaftDatabase, do: Do, index: int) -> None:
        self._database = database
        self._do = do
        self._job = database.begin_snapshot(index)
        self._decoder = StateDecoder()
        self._restoration = Restoration(index)
        self._part: list[bytes] = []
        self._size = 0
        self._error: Exception | None = None
        self._is_closed = False

    def write(self, piece: bytes, taken: Callable[[], None]) -> None:
        """See `SnapshotWriter.write`."""
        if self._error is not None or self._is_closed:
            taken()
            return
        try:
            self._decoder.feed(piece)
        except WireError as error:
            self._error = error
        self._step(taken)

    def close(self) -> None:
        """See `SnapshotWriter.close`."""
        if not self._is_closed:
            self._is_closed = True
            self._do(lambda: self._database.discard_snapshot(self._job), lambda _: None)

    def install(self, meta: SnapshotMeta, keep_entries: bool, done: Callable[[Any], None]) -> None:
        """All is written: put it in the place of the present snapshot; `done` gets the store, or an exception."""

        def finish() -> Any:
            if self._error is not None or self._is_closed:
                raise self._error or RPCError("another snapshot is being received")
            self._decoder.end()
            store = self._restoration.finish()
            error = self._database.add_to_snapshot(self._job, self._part)
            error = error or self._database.finish_install(self._job, meta, keep_entries=keep_entries)
            return error or store

        def finished(result: Any) -> None:
            if isinstance(result, Exception):
                self.close()
            done(result)

        self._do(finish, finished)

    def _step(self, taken: Callable[[], None]) -> None:
        def stepped(has_more: bool | Exception) -> None:
            if isinstance(has_more, Exception):
                self._error = has_more
            if has_more is True and not self._is_closed:
                self._step(taken)
            else:
                taken()

        self._do(self._take_some, stepped)

    def _take_some(self) -> bool:
        """Decode some records; whether there may be more. Raises the error of the records, or of the disk."""
        if self._error is not None or self._is_closed:
            return False
        count = 0
        for record, value in islice(iter(self._decoder.next, None), STEP_RECORDS):
            self._restoration.add(record, value)
            self._part.append(record)
            self._size += len(record)
            count += 1
        if self._size >= PART_BYTES:
            error = self._database.add_to_snapshot(self._job, self._part)
            if error is not None:
                raise error
            self._part, self._size = [], 0
        return count == STEP_RECORDS
