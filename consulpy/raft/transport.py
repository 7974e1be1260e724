"""Raft's calls on connections that begin with byte 1 (docs/wire/raft.md 1): the end that answers, and ours that calls.

    RaftStream    requests of one connection to us, answered in their order
    Peers         the machine's `Sender`: a pipelined connection for each server's log, others for everything else
    LeaderWatch   notices that the leader's program has ended: its connections close, and it refuses new ones

Bytes are bounded by what a real leader may send: 64 values of 512 kB in one request, 128 requests without an answer.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgpack
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.clock import Clock, Timer
from consulpy.codec.record import Record
from consulpy.errors import RPCError, WireError
from consulpy.raft.configuration import Server
from consulpy.raft.interfaces import Answered, Unreachable
from consulpy.raft.messages import (
    AppendEntries,
    InstallSnapshot,
    RaftError,
    Request,
    decode_reply,
    decode_request,
    encode_error,
    encode_reply,
    encode_request,
)
from consulpy.raft.storage import SnapshotReader

#: The first byte of a connection.
RAFT_BYTE: Final = b"\x01"
#: The largest request or answer, in bytes.
MESSAGE_LIMIT: Final = 64 << 20
#: The largest state that is taken from a leader, in bytes.
STATE_LIMIT: Final = 1 << 30
#: Requests of one connection, and their bytes, that may wait for an answer; no more is read meanwhile.
OPEN_LIMIT: Final = 128
OPEN_BYTES_LIMIT: Final = 64 << 20
#: How long a call may take; sending a state may take as long for each `STATE_CHUNK` bytes.
CALL_TIMEOUT_S: Final = 10.0
STATE_CHUNK: Final = 256 << 10
#: What an unpacker sets aside for its input at first, in bytes; a whole MiB unless it is told.
_READ_SIZE: Final = 1 << 14
#: Connections to one server that are held open while nothing is asked.
IDLE_LIMIT: Final = 3


def _unpacker() -> Any:
    size = MESSAGE_LIMIT + STATE_CHUNK
    return msgpack.Unpacker(raw=True, strict_map_key=False, read_size=_READ_SIZE, max_buffer_size=size)


class RaftStream:
    """The requests of one connection.

    `handle(request, respond, body)`: the machine. `refuses(request)`: whether the state after an `InstallSnapshot` is
    not wanted. `write`, `set_reading`: of the connection. Raises `WireError` for what is no request.
    """

    def __init__(
        self,
        handle: Callable[[Request, Callable[[Record | None, str], None], Any], None],
        refuses: Callable[[InstallSnapshot], bool],
        write: Callable[[bytes], object],
        set_reading: Callable[[bool], object],
        lost: Callable[["RaftStream"], None] = lambda _: None,
    ) -> None:
        self._handle = handle
        self._refuses = refuses
        self._write = write
        self._set_reading = set_reading
        self._on_lost = lost
        self._unpacker = _unpacker()
        self._kind: int | None = None
        self._snapshot: InstallSnapshot | None = None
        self._body: bytearray | None = bytearray()
        self._missing = 0
        self._answers: deque[list[bytes]] = deque()
        self._sizes: deque[int] = deque()
        self._open_bytes = 0
        self._is_lost = False
        self._is_paused = False
        #: The leader whose requests came here last.
        self.leader = ""

    def data_received(self, data: bytes) -> None:
        """More bytes."""
        try:
            self._unpacker.feed(data)
            while not self._is_lost and self._next():
                pass
        except msgpack.BufferFull:
            raise WireError(f"a Raft message of more than {MESSAGE_LIMIT} bytes") from None
        except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as error:
            raise WireError(f"msgpack: {str(error) or type(error).__name__}") from None

    def lost(self) -> None:
        """The connection is gone; answers go nowhere."""
        self._is_lost = True
        self._answers.clear()
        self._on_lost(self)

    def _next(self) -> bool:
        """Take the next object or piece of state; False if more bytes are needed."""
        if self._snapshot is not None:
            return self._take_state()
        start = self._unpacker.tell()
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
            self._body = None if self._refuses(request) else bytearray()
        else:
            self._answer(request, None, self._unpacker.tell() - start)
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
                self._body += piece
            return True
        body, self._body, self._snapshot = self._body, bytearray(), None
        self._answer(request, bytes(body) if body is not None else RPCError("not wanted"), request.size)
        return True

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
        if not self._is_paused and (len(self._answers) > OPEN_LIMIT or self._open_bytes > OPEN_BYTES_LIMIT):
            self._is_paused = True
            self._set_reading(False)

    def _send_answers(self) -> None:
        """Send what is answered, up to the first request that is not."""
        ready: list[bytes] = []
        while self._answers and self._answers[0]:
            ready += self._answers.popleft()
            self._open_bytes -= self._sizes.popleft()
        if ready:
            self._write(b"".join(ready))
        if self._is_paused and len(self._answers) <= OPEN_LIMIT // 2 and self._open_bytes <= OPEN_BYTES_LIMIT // 2:
            self._is_paused = False
            self._set_reading(True)


class PeerConnection(Protocol):
    """A connection that we made. Calls may be sent without waiting; answers come in their order."""

    def __init__(self, clock: Clock, closed: Callable[["PeerConnection"], None]) -> None:
        self._clock = clock
        self._closed = closed
        self._unpacker = _unpacker()
        self._calls: deque[tuple[type[Request], Answered, Timer]] = deque()
        self._error: Any = None
        self._has_error = False
        self.is_open = True

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked."""
        return self.is_open and not self._calls

    def connectionMade(self) -> None:
        """Say that this is Raft."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.write(RAFT_BYTE)

    def ask(self, request: Request, answered: Answered, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Send a request."""
        timer = self._clock.callLater(timeout_s, self._timed_out)
        self._calls.append((type(request), answered, timer))
        transport: Any = self.transport
        transport.write(encode_request(request))

    def dataReceived(self, data: bytes) -> None:
        """More of the answers."""
        try:
            self._unpacker.feed(data)
            while self.is_open and self._next():
                pass
        except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException, WireError) as error:
            self.close(f"its answer cannot be read: {error}")

    def _next(self) -> bool:
        try:
            value = self._unpacker.unpack()
        except msgpack.OutOfData:
            return False
        if not self._has_error:
            self._error, self._has_error = value, True
            return True
        self._has_error = False
        if not self._calls:
            raise WireError("an answer to nothing")
        kind, answered, timer = self._calls.popleft()
        timer.cancel()
        try:
            reply: Record | Exception = decode_reply(kind, self._error, value)
        except RaftError as error:
            reply = error
        answered(reply)
        return True

    def _timed_out(self) -> None:
        self.close("i/o timeout")

    def close(self, why: str) -> None:
        """Close the connection; all calls fail."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()
        self._end(why)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """The server closed it."""
        self._end("EOF")

    def _end(self, why: str) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._closed(self)
        calls, self._calls = self._calls, deque()
        for _, answered, timer in calls:
            if timer.active():
                timer.cancel()
            answered(RaftError(why))


@implementer(IPullProducer)
class _StateProducer:
    """Writes a state as fast as the connection takes it."""

    def __init__(self, connection: PeerConnection, snapshot: SnapshotReader) -> None:
        self._transport: Any = connection.transport
        self._snapshot = snapshot
        self._sent = 0

    def resumeProducing(self) -> None:
        """The next piece."""
        piece = self._snapshot.read(self._sent, STATE_CHUNK)
        self._sent += len(piece)
        if piece:
            self._transport.write(piece)
        if not piece or self._sent >= self._snapshot.size:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        """The connection is gone; whoever waits for the answer hears it."""


#: `dial(server, make)`: connects to a server of the quorum, fails with an exception that says why not.
Dial = Callable[[Server, Callable[[], Protocol]], "Deferred[Any]"]


class Peers:
    """The connections to all other servers: a `Sender`. `survey(server, answered)`: as `Sender.survey`."""

    def __init__(self, clock: Clock, dial: Dial, survey: Callable[[Server, Answered], None]) -> None:
        self._clock = clock
        self._dial = dial
        self.survey = survey
        self._logs: dict[str, _LogConnection] = {}
        self._idle: dict[str, list[PeerConnection]] = {}
        self._all: set[PeerConnection] = set()
        self._is_closed = False

    def call(self, server: Server, request: Request, answered: Answered) -> None:
        """See `Sender.call`."""
        if isinstance(request, AppendEntries) and not request.is_heartbeat:
            self._log(server).ask(request, answered)
            return
        idle = self._idle.get(server.address, [])
        while idle:
            connection = idle.pop()
            if connection.is_idle:
                self._ask(server, connection, request, answered)
                return
        self.connect(server, lambda made: self._ask(server, made, request, answered), answered)

    def install(self, server: Server, request: Request, snapshot: SnapshotReader, answered: Answered) -> None:
        """See `Sender.install`."""

        def connected(connection: PeerConnection) -> None:
            def finished(reply: Record | Exception) -> None:
                connection.close("done")
                answered(reply)

            timeout_s = CALL_TIMEOUT_S * max(snapshot.size / STATE_CHUNK, 1)
            connection.ask(request, finished, timeout_s)
            transport: Any = connection.transport
            if snapshot.size:
                transport.registerProducer(_StateProducer(connection, snapshot), False)

        self.connect(server, connected, answered)

    def abort(self, server: Server) -> None:
        """See `Sender.abort`."""
        log = self._logs.pop(server.address, None)
        if log is not None:
            log.close()

    def close(self) -> None:
        """Close everything."""
        self._is_closed = True
        for connection in list(self._all):
            connection.close("closed")
        self._logs.clear()
        self._idle.clear()

    def connect(
        self, server: Server, connected: Callable[[PeerConnection], None], failed: Callable[[Exception], None]
    ) -> None:
        """Make a connection of its own."""
        made = self._dial(server, lambda: PeerConnection(self._clock, self._all.discard))

        def succeeded(connection: PeerConnection) -> None:
            if self._is_closed:
                connection.close("closed")
                return
            self._all.add(connection)
            connected(connection)

        def not_made(failure: Failure) -> None:
            # Never from within the call.
            self._clock.callLater(0, failed, Unreachable(str(failure.value)))

        made.addCallbacks(succeeded, not_made)

    def _log(self, server: Server) -> "_LogConnection":
        log = self._logs.get(server.address)
        if log is None or log.is_closed:
            log = self._logs[server.address] = _LogConnection(self, server)
        return log

    def _ask(self, server: Server, connection: PeerConnection, request: Request, answered: Answered) -> None:
        def finished(reply: Record | Exception) -> None:
            idle = self._idle.setdefault(server.address, [])
            if connection.is_open and not self._is_closed:
                if len(idle) < IDLE_LIMIT:
                    idle.append(connection)
                else:
                    connection.close("not needed")
            answered(reply)

        connection.ask(request, finished)


class _LogConnection:
    """The connection for one server's log: what is asked before it is made waits."""

    def __init__(self, peers: Peers, server: Server) -> None:
        self._waiting: list[tuple[Request, Answered]] = []
        self._connection: PeerConnection | None = None
        self.is_closed = False
        peers.connect(server, self._connected, self._failed)

    def ask(self, request: Request, answered: Answered) -> None:
        """Send, or wait for the connection."""
        if self._connection is not None:
            self._connection.ask(request, answered)
            self.is_closed = not self._connection.is_open
        else:
            self._waiting.append((request, answered))

    def close(self) -> None:
        """Close it; all calls fail."""
        self.is_closed = True
        if self._connection is not None:
            self._connection.close("aborted")
        self._fail_waiting(RaftError("aborted"))

    def _connected(self, connection: PeerConnection) -> None:
        if self.is_closed:
            connection.close("aborted")
            return
        self._connection = connection
        waiting, self._waiting = self._waiting, []
        for request, answered in waiting:
            connection.ask(request, answered)

    def _failed(self, error: Exception) -> None:
        self.is_closed = True
        self._fail_waiting(error)

    def _fail_waiting(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for _, answered in waiting:
            answered(error)


class LeaderWatch:
    """Notices the end of the leader's program.

    `leader()`: the address of the leader that is known. `refuses(address, answered)`: dials and says whether the
    connection was refused. `died(address)`: called then.
    """

    def __init__(
        self,
        leader: Callable[[], str],
        refuses: Callable[[str, Callable[[bool], None]], None],
        died: Callable[[str], None],
    ) -> None:
        self._leader = leader
        self._refuses = refuses
        self._died = died
        self._streams: set[RaftStream] = set()

    def opened(self, stream: RaftStream) -> None:
        """Another connection to us."""
        self._streams.add(stream)

    def lost(self, stream: RaftStream) -> None:
        """One is closed. If it was the leader's last one, and it takes no new ones, it is gone."""
        self._streams.discard(stream)
        leader = stream.leader
        if leader and leader == self._leader() and not any(each.leader == leader for each in self._streams):
            self._refuses(leader, lambda refused: self._died(leader) if refused else None)
