"""The requests of one connection to us, answered in their order (docs/wire/raft.md 1)."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgpack

from consulpy.codec.record import Record
from consulpy.errors import RPCError, WireError
from consulpy.raft.framing import MESSAGE_LIMIT, STATE_CHUNK, RaftUnpacker
from consulpy.raft.messages import (
    AppendEntries,
    InstallSnapshot,
    Request,
    decode_request,
    encode_error,
    encode_reply,
)
from consulpy.raft.storage import SnapshotWriter

#: Maximum size of a leader's snapshot, in bytes.
STATE_LIMIT: Final = 1 << 30
#: Requests of one connection, and their bytes, that may wait for an answer; no more is read meanwhile.
OPEN_LIMIT: Final = 128
OPEN_BYTES_LIMIT: Final = 64 << 20


class RaftStream:
    """The requests of one connection.

    `handle(request, respond, body)`: the machine. `receive(request)`: where the state after an `InstallSnapshot` goes,
    None if it is not wanted. `write`, `set_reading`, `close(why)`: of the connection. `on_memory(change)`: by how many
    bytes what is read of an unfinished request has grown.
    """

    def __init__(
        self,
        handle: Callable[[Request, Callable[[Record | None, str], None], Any], None],
        receive: Callable[[InstallSnapshot], SnapshotWriter | None],
        write: Callable[[bytes], object],
        set_reading: Callable[[bool], object],
        close: Callable[[str], object],
        lost: Callable[["RaftStream"], None] = lambda _: None,
        on_memory: Callable[[int], object] = lambda _change: None,
    ) -> None:
        self._handle = handle
        self._receive = receive
        self._write = write
        self._set_reading = set_reading
        self._close = close
        self._on_lost = lost
        self._on_memory = on_memory
        self._received = self._unfinished = 0
        self._unpacker = RaftUnpacker()
        self._kind: int | None = None
        self._snapshot: InstallSnapshot | None = None
        self._body: SnapshotWriter | None = None
        self._missing = 0
        self._answers: deque[list[bytes]] = deque()
        self._sizes: deque[int] = deque()
        self._open_bytes = 0
        self._is_lost = False
        self._is_full = self._is_taking = self._is_storing = False
        self._is_reading = True
        #: The leader whose requests came here last.
        self.leader = ""

    def data_received(self, data: bytes) -> None:
        """Process received bytes. Raises `WireError` for an invalid request."""
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull:
            raise WireError(f"a Raft message of more than {MESSAGE_LIMIT} bytes") from None
        self._received += len(data)
        self._take()

    def lost(self) -> None:
        """The connection is lost; answers are discarded."""
        self._is_lost = True
        self._answers.clear()
        if self._body is not None:
            self._body.close()
        self._on_lost(self)

    def _take(self) -> None:
        """Process buffered input, unless a request is being handled or a part of a snapshot is being stored."""
        if self._is_taking:
            return
        self._is_taking = True
        try:
            while not (self._is_lost or self._is_storing) and self._next():
                pass
        except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as error:
            raise WireError(f"msgpack: {str(error) or type(error).__name__}") from None
        finally:
            self._is_taking = False
        unfinished = self._received - self._unpacker.finished
        if unfinished != self._unfinished:
            change, self._unfinished = unfinished - self._unfinished, unfinished
            self._on_memory(change)

    def _next(self) -> bool:
        """Process the next object or part of a snapshot; False if more bytes are needed."""
        if self._snapshot is not None:
            return self._take_state()
        start = self._unpacker.finished
        try:
            value = self._unpacker.unpack()
        except msgpack.OutOfData:
            return False
        if self._kind is None:
            if not isinstance(value, int) or isinstance(value, bool):
                raise WireError(f"a Raft message type was expected, not {type(value).__name__}")
            self._kind = value
            return True
        request = decode_request(self._kind, value)
        self._kind = None
        if isinstance(request, AppendEntries):
            self.leader = request.leader
        if isinstance(request, InstallSnapshot):
            if not 0 <= request.size <= STATE_LIMIT:
                raise WireError(f"a snapshot of {request.size} bytes")
            self._snapshot, self._missing = request, request.size
            self._body = self._receive(request)
        else:
            self._answer(request, None, self._unpacker.finished - start)
        return True

    def _take_state(self) -> bool:
        request = self._snapshot
        assert request is not None
        if self._missing:
            piece = self._unpacker.read_bytes(min(self._missing, STATE_CHUNK))
            if not piece:
                return False
            self._missing -= len(piece)
            if self._body is not None:
                self._is_storing = True
                self._body.write(piece, self._stored)
                self._pace()
            return True
        body, self._body, self._snapshot = self._body, None, None
        self._answer(request, body if body is not None else RPCError("not wanted"), 0)
        return True

    def _stored(self) -> None:
        """A part of a snapshot is stored: continue."""
        self._is_storing = False
        if self._is_taking or self._is_lost:
            return
        try:
            self._take()
        except WireError as error:
            self._close(str(error))
            return
        self._pace()

    def _pace(self) -> None:
        """Pause reading while a part of a snapshot is being stored, or too many answers are pending."""
        reads = not (self._is_storing or self._is_full)
        if reads != self._is_reading:
            self._is_reading = reads
            self._set_reading(reads)

    def _answer(self, request: Request, body: Any, size: int) -> None:
        slot: list[bytes] = []
        self._answers.append(slot)
        self._sizes.append(size)
        self._open_bytes += size

        def respond(reply: Record | None, error: str) -> None:
            if slot or self._is_lost:
                return
            if error:
                slot.append(encode_error(error, reply))
            else:
                assert reply is not None
                slot.append(encode_reply(reply))
            self._send_answers()

        self._handle(request, respond, body)
        if len(self._answers) > OPEN_LIMIT or self._open_bytes > OPEN_BYTES_LIMIT:
            self._is_full = True
            self._pace()

    def _send_answers(self) -> None:
        """Send answers in order, up to the first request without one."""
        ready: list[bytes] = []
        while self._answers and self._answers[0]:
            ready += self._answers.popleft()
            self._open_bytes -= self._sizes.popleft()
        if ready:
            self._write(b"".join(ready))
        if self._is_full and len(self._answers) <= OPEN_LIMIT // 2 and self._open_bytes <= OPEN_BYTES_LIMIT // 2:
            self._is_full = False
            self._pace()
