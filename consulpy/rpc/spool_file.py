"""A snapshot archive on its way between a connection and the state: in memory while it is small, else in a file.

The file has no name, is where the system keeps temporary files (`TMPDIR`), and is written and read in a thread. Neither
end of a connection is faster than the other: what sends is paused while a piece is written.
"""

from collections.abc import Callable
from tempfile import SpooledTemporaryFile
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from consulpy.errors import RPCError
from consulpy.piece_sender import Found, PieceSender
from consulpy.structs.options import QueryMeta

#: Largest archive that is held in memory, in bytes; a larger one is written to a file.
MEMORY_BYTES: Final = 2**20
#: How much is read at a time, in bytes.
PIECE_BYTES: Final = 2**18

#: Runs a job in a thread; its result.
InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


class Spool:
    """An archive. `file`: its bytes; its owner closes it."""

    def __init__(self, data: bytes = b"") -> None:
        self.file = SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 - closed by `close`
        self.size = 0
        if data:
            self.write(data)
        self.file.seek(0)

    def write(self, data: bytes) -> None:
        """Write where the file stands: at its end."""
        self.size += self.file.write(data)

    @property
    def is_in_memory(self) -> bool:
        """Whether reading it waits for no disk."""
        return self.size <= MEMORY_BYTES

    def read_all(self) -> bytes:
        """The whole archive, for a small one."""
        self.file.seek(0)
        return self.file.read()

    def close(self) -> None:
        """Close and delete the file."""
        self.file.close()


#: Metadata of a reply, and the archive that was saved; the receiver closes it.
SnapshotResult = tuple[QueryMeta, Spool | None]


class SpoolWriter:
    """Writes what comes over a connection. `set_reading(bool)`: of the connection."""

    def __init__(self, in_thread: InThread, set_reading: Callable[[bool], object]) -> None:
        self.spool = Spool()
        #: Bytes so far, written or not.
        self.size = 0
        self._in_thread = in_thread
        self._set_reading = set_reading
        self._pieces: list[bytes] = []
        self._is_writing = False
        self._is_abandoned = False
        self._error: RPCError | None = None
        self._done: Deferred[Spool] | None = None

    def write(self, piece: bytes) -> None:
        """Write a piece; the sender is paused until it is written."""
        self.size += len(piece)
        if self.size <= MEMORY_BYTES:
            self.spool.write(piece)
        else:
            self._pieces.append(piece)
            if not self._is_writing:
                self._write()

    def finish(self) -> "Deferred[Spool]":
        """The archive, once all of it is written, at its beginning. Fails with `RPCError` if the disk did."""
        self._done = Deferred()
        done = self._done
        if not self._is_writing:
            self._finished()
        return done

    def abandon(self) -> None:
        """Close it: the caller is gone."""
        self._is_abandoned = True
        if not self._is_writing:
            self.spool.close()

    def _write(self) -> None:
        pieces, self._pieces = self._pieces, []
        self._is_writing = True
        self._set_reading(False)

        def append() -> None:
            if self._error is None:
                self.spool.write(b"".join(pieces))

        self._in_thread(append).addErrback(self._failed).addCallback(self._written)

    def _failed(self, failure: Failure) -> None:
        failure.trap(OSError)
        self._error = RPCError(f"the snapshot cannot be stored: {failure.getErrorMessage()}")

    def _written(self, _: None) -> None:
        self._is_writing = False
        if self._is_abandoned:
            self.spool.close()
        elif self._pieces:
            self._write()
        elif self._done is not None:
            self._finished()
        else:
            self._set_reading(True)

    def _finished(self) -> None:
        done = self._done
        assert done is not None
        if self._error is not None:
            self.spool.close()
            done.errback(self._error)
        else:
            self.spool.file.seek(0)
            done.callback(self.spool)


class SpoolSender(PieceSender):
    """Writes an archive to `consumer`, from where the file stands; closes it at the end or when the consumer is gone.

    `done(error)`: all is written, or the file could not be read; not called after `stopProducing`.
    """

    def __init__(
        self, spool: Spool, consumer: Any, in_thread: InThread, done: Callable[[Exception | None], None]
    ) -> None:
        run = maybeDeferred if spool.is_in_memory else in_thread

        def read(found: Found) -> None:
            pieces = run(lambda: spool.file.read(PIECE_BYTES))
            pieces.addErrback(lambda failure: RPCError(failure.getErrorMessage())).addCallback(found)

        super().__init__(consumer, read, done, spool.close)
