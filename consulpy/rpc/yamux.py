"""yamux: many streams on one connection, as a pure machine for both ends (docs/wire/rpc.md 2).

Bytes go in by `Connection.receive`, bytes come out by the `write` that it is given. A frame is 12 bytes, big endian:

    version u8 = 0 | type u8 | flags u16 | stream u32 | length u32      then, for type Data only, `length` bytes

Each stream has a window of 262144 bytes each way; who sends beyond it is cut off. A FIN is sent exactly once for each
stream: real peers end the connection at a second one, and leak the stream without one.
"""

from collections import deque
from collections.abc import Callable
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final, Protocol

from consulpy.errors import WireError

HEADER: Final = Struct(">BBHII")
#: The window of a new stream, in bytes, and the largest that we ever grant.
WINDOW: Final = 262144
#: Streams that the peer opened and we did not accept yet; more are reset.
ACCEPT_BACKLOG: Final = 256
#: Streams of ours that the peer has not acknowledged; more wait for their turn.
UNACKNOWLEDGED_LIMIT: Final = 256
#: Streams of one connection, each of which may be one blocking query; more are refused.
STREAM_LIMIT: Final = 16384
_VERSION: Final = 0
_LARGEST_WINDOW: Final = 2**32 - 1


class Type(IntEnum):
    """What a frame is."""

    DATA = 0
    WINDOW_UPDATE = 1
    PING = 2
    GO_AWAY = 3


class Flag(IntFlag):
    """What a frame does besides."""

    SYN = 1
    ACK = 2
    FIN = 4
    RST = 8


#: As plain numbers: `IntFlag` arithmetic costs microseconds on each frame.
_SYN, _ACK, _FIN, _RST = 1, 2, 4, 8


class Reason(IntEnum):
    """Why somebody says go away."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


def frame(kind: int, flags: int, stream: int, length: int) -> bytes:
    """A frame's header."""
    return HEADER.pack(_VERSION, kind, flags, stream, length)


class Receiver(Protocol):
    """Who is told what comes on a stream."""

    def data_received(self, data: bytes) -> None:
        """Some bytes; say `Stream.consumed` when they are dealt with, or the peer will stop sending."""

    def ended(self) -> None:
        """The peer sends no more. Close the stream some time."""

    def drained(self) -> None:
        """All that had to wait for the peer's window, or for the socket, is out."""

    def lost(self, reason: str) -> None:
        """The stream is gone, and cannot be used any more."""


class Stream:
    """One stream of a connection. Set `receiver` before anything can arrive."""

    __slots__ = (
        "_acknowledged",
        "_connection",
        "_fin_received",
        "_fin_sent",
        "_fin_wanted",
        "_open",
        "_pending",
        "_receive_window",
        "_send_window",
        "_syn_sent",
        "_unconsumed",
        "id",
        "receiver",
    )

    def __init__(self, connection: "Connection", stream_id: int) -> None:
        self.id = stream_id
        self.receiver: Receiver | None = None
        self._connection = connection
        self._send_window = WINDOW
        self._receive_window = WINDOW
        self._unconsumed = 0
        self._pending = bytearray()
        self._syn_sent = False
        self._acknowledged = False
        self._fin_wanted = False
        self._fin_sent = False
        self._fin_received = False
        self._open = True

    @property
    def is_usable(self) -> bool:
        """Whether it can carry another call: neither end has closed it."""
        return self._open and not self._fin_wanted and not self._fin_received

    @property
    def pending(self) -> int:
        """Bytes that wait for the peer's window."""
        return len(self._pending)

    @property
    def is_clear(self) -> bool:
        """Whether all that was sent is out."""
        return not self._pending

    def accept(self) -> None:
        """Take a stream that the peer opened."""
        if self._open and not self._acknowledged:
            self._acknowledged = True
            self._connection._accepted(self)

    def send(self, data: bytes) -> None:
        """Send, now or as soon as the peer's window allows. Nothing happens on a stream that is closed."""
        if self._open and not self._fin_wanted:
            self._pending += data
            self._connection._on_pending(len(data))
            self._flush()

    def consumed(self, size: int) -> None:
        """The application has dealt with so many received bytes: the peer may send more, in large steps."""
        self._unconsumed = max(0, self._unconsumed - size)
        if self._connection._payload_left and self._connection._payload_stream is self:
            return  # the rest of a frame still needs its window; see `_payload`
        delta = WINDOW - self._unconsumed - self._receive_window
        if self._open and not self._fin_received and delta >= WINDOW // 2:
            self._receive_window += delta
            self._connection._write(frame(Type.WINDOW_UPDATE, 0, self.id, delta))

    def close(self) -> None:
        """Send no more, once what was sent is out. Received bytes are thrown away from now on."""
        if self._open and not self._fin_wanted:
            self._fin_wanted = True
            self.receiver = None
            self.consumed(self._unconsumed)
            self._flush()

    def reset(self) -> None:
        """Forget the stream at once, at both ends."""
        if self._open:
            if self._syn_sent:
                self._connection._write(frame(Type.WINDOW_UPDATE, _RST, self.id, 0))
            self.receiver = None
            self._connection._forget(self)

    def _flush(self) -> None:
        connection = self._connection
        if not self._syn_sent:
            return
        if connection.is_paused:
            connection._held_back[self] = None
            return
        size = min(len(self._pending), self._send_window)
        if size:
            self._send_window -= size
            payload = bytes(memoryview(self._pending)[:size])
            del self._pending[:size]
            connection._write(frame(Type.DATA, 0, self.id, size) + payload)
            connection._on_pending(-size)
        if self._fin_wanted and not self._fin_sent and not self._pending:
            self._fin_sent = True
            connection._write(frame(Type.WINDOW_UPDATE, _FIN, self.id, 0))
            if self._fin_received:
                connection._forget(self)

    def _drop_pending(self) -> None:
        dropped = len(self._pending)
        self._pending.clear()
        if dropped:
            self._connection._on_pending(-dropped)

    def _flush_and_tell(self) -> None:
        """Send what had to wait; the receiver may go on when that was all."""
        had_to_wait = bool(self._pending)
        self._flush()
        if had_to_wait and not self._pending and self._open and self.receiver is not None:
            self.receiver.drained()


class Connection:
    """One end of a connection.

    `client`: whether we connected. `write(bytes)` sends. `on_open(stream)` is told of streams that the peer opens: it
    sets `stream.receiver` and calls `stream.accept()`. `on_pong(number)` is told of answered pings.
    `on_pending(change)`: so many bytes more, or fewer, wait to be taken by the peer.
    """

    def __init__(
        self,
        *,
        client: bool,
        write: Callable[[bytes], None],
        on_open: Callable[[Stream], None] | None = None,
        on_pong: Callable[[int], None] | None = None,
        on_pending: Callable[[int], None] = lambda _change: None,
    ) -> None:
        self._client = client
        self._write_out = write
        self._on_open = on_open
        self._on_pong = on_pong
        self._on_pending = on_pending
        self._next_id = 1 if client else 2
        self._ping_number = 0
        self._streams: dict[int, Stream] = {}
        self._unaccepted = 0
        self._unacknowledged = 0
        self._waiting: deque[Stream] = deque()
        self._held_back: dict[Stream, None] = {}
        self._buffer = bytearray()
        self._payload_left = 0
        self._payload_stream: Stream | None = None
        self._payload_flags = 0
        #: No more bytes may go out for now (the socket is full).
        self.is_paused = False
        #: The peer told us to open no more streams.
        self.is_going_away = False
        self.is_closed = False
        #: Streams that were refused because there were too many.
        self.refused = 0

    @property
    def stream_count(self) -> int:
        """Streams that are not yet closed at both ends."""
        return len(self._streams) + len(self._waiting)

    # What we do

    def open(self, receiver: Receiver) -> Stream:
        """Open a stream; bytes may be sent at once. Raises `WireError` when the connection takes no more."""
        if self.is_closed or self.is_going_away:
            raise WireError("session shutdown")
        if self.stream_count >= STREAM_LIMIT:
            self.refused += 1
            raise WireError(f"too many streams on one connection: {STREAM_LIMIT}")
        if self._next_id + 2 * len(self._waiting) >= 2**32:
            raise WireError("streams exhausted")
        stream = Stream(self, 0)
        stream.receiver = receiver
        self._waiting.append(stream)
        self._open_waiting()
        return stream

    def ping(self) -> int:
        """Ask whether the peer is there; the number comes back with `on_pong`."""
        number = self._ping_number
        self._ping_number = (number + 1) % 2**32
        self._write(frame(Type.PING, _SYN, 0, number))
        return number

    def pause(self) -> None:
        """The socket is full: hold back data (frames without payload go out all the same)."""
        self.is_paused = True

    def resume(self) -> None:
        """The socket takes bytes again: streams send in the order in which they had to stop."""
        self.is_paused = False
        while self._held_back and not self.is_paused:
            stream = next(iter(self._held_back))
            del self._held_back[stream]
            stream._flush_and_tell()

    def close(self, reason: str) -> None:
        """The connection is gone: every stream is told."""
        if self.is_closed:
            return
        self.is_closed = True
        streams = [*self._streams.values(), *self._waiting]
        self._streams.clear()
        self._waiting.clear()
        self._held_back.clear()
        for stream in streams:
            stream._open = False
            receiver, stream.receiver = stream.receiver, None
            if receiver is not None:
                receiver.lost(reason)
        for stream in streams:  # only now: there would be room for others' answers
            stream._drop_pending()

    # What the peer does

    def receive(self, data: bytes) -> None:
        """Take bytes, in any slicing. Raises `WireError` when the peer breaks the rules: then close the connection."""
        if self.is_closed:
            return
        self._buffer += data
        buffer, position = self._buffer, 0
        try:
            while not self.is_closed:
                if self._payload_left:
                    size = min(self._payload_left, len(buffer) - position)
                    if not size:
                        break
                    chunk = bytes(memoryview(buffer)[position : position + size])
                    position += size
                    self._payload(chunk)
                elif len(buffer) - position >= HEADER.size:
                    header = HEADER.unpack_from(buffer, position)
                    position += HEADER.size
                    self._frame(*header)
                else:
                    break
        except WireError:
            self._write(frame(Type.GO_AWAY, 0, 0, Reason.PROTOCOL_ERROR))
            raise
        finally:
            del buffer[:position]

    def _frame(self, version: int, kind: int, flags: int, stream_id: int, length: int) -> None:
        if version != _VERSION:
            raise WireError(f"yamux: version {version}, not {_VERSION}")
        if kind <= Type.WINDOW_UPDATE:
            self._stream_frame(kind, flags, stream_id, length)
        elif kind == Type.PING:
            if flags & _SYN:
                self._write(frame(Type.PING, _ACK, 0, length))
            elif self._on_pong is not None:
                self._on_pong(length)
        elif kind == Type.GO_AWAY:
            self.is_going_away = True
            if length != Reason.NORMAL:
                raise WireError(f"yamux: the peer went away with error {length}")
        else:
            raise WireError(f"yamux: unknown frame type {kind}")

    def _stream_frame(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        if flags & _SYN:
            self._peer_opens(stream_id)
        stream = self._streams.get(stream_id)
        if kind == Type.DATA:
            if stream is not None:
                if length > stream._receive_window:
                    raise WireError(f"yamux: {length} bytes into a window of {stream._receive_window}")
                stream._receive_window -= length
            self._payload_left, self._payload_stream, self._payload_flags = length, stream, flags
            if not length:
                self._flags(stream, flags)
            elif flags & _ACK and stream is not None:
                self._acknowledge(stream)
        elif stream is not None:
            stream._send_window = min(stream._send_window + length, _LARGEST_WINDOW)
            self._flags(stream, flags)
            stream._flush_and_tell()

    def _payload(self, chunk: bytes) -> None:
        """Bytes of a data frame; its FIN or RST counts after the last of them."""
        self._payload_left -= len(chunk)
        stream = self._payload_stream
        if stream is not None and stream._open and stream.receiver is not None:
            stream._unconsumed += len(chunk)
            stream.receiver.data_received(chunk)
        if not self._payload_left:
            self._payload_stream = None
            if stream is not None:
                stream.consumed(0)
            self._flags(stream, self._payload_flags)

    def _flags(self, stream: Stream | None, flags: int) -> None:
        if stream is None or not stream._open:
            return
        if flags & _ACK:
            self._acknowledge(stream)
        if flags & _FIN:
            if stream._fin_received:
                raise WireError(f"yamux: a second FIN on stream {stream.id}")
            stream._fin_received = True
            if stream._fin_sent:
                self._forget(stream)
            elif stream.receiver is not None:
                stream.receiver.ended()
        if flags & _RST and stream._open:
            receiver, stream.receiver = stream.receiver, None
            self._forget(stream)
            if receiver is not None:
                receiver.lost("connection reset")

    def _peer_opens(self, stream_id: int) -> None:
        if stream_id == 0 or stream_id in self._streams:
            raise WireError(f"yamux: stream {stream_id} is opened twice")
        too_many = self._unaccepted >= ACCEPT_BACKLOG or self.stream_count >= STREAM_LIMIT
        if self._on_open is None or too_many:
            self.refused += 1
            self._write(frame(Type.WINDOW_UPDATE, _RST, stream_id, 0))
            return
        stream = Stream(self, stream_id)
        stream._syn_sent = True
        self._streams[stream_id] = stream
        self._unaccepted += 1
        self._on_open(stream)

    # Accounts

    def _write(self, data: bytes) -> None:
        if not self.is_closed:
            self._write_out(data)

    def _accepted(self, stream: Stream) -> None:
        self._unaccepted -= 1
        self._write(frame(Type.WINDOW_UPDATE, _ACK, stream.id, 0))

    def _acknowledge(self, stream: Stream) -> None:
        if self._is_ours(stream) and not stream._acknowledged:
            stream._acknowledged = True
            self._unacknowledged -= 1
            self._open_waiting()

    def _open_waiting(self) -> None:
        while self._waiting and self._unacknowledged < UNACKNOWLEDGED_LIMIT:
            stream = self._waiting.popleft()
            stream.id = self._next_id
            self._next_id += 2
            self._streams[stream.id] = stream
            self._unacknowledged += 1
            stream._syn_sent = True
            self._write(frame(Type.WINDOW_UPDATE, _SYN, stream.id, 0))
            stream._flush()

    def _is_ours(self, stream: Stream) -> bool:
        return bool(stream.id % 2) == self._client

    def _forget(self, stream: Stream) -> None:
        stream._open = False
        self._held_back.pop(stream, None)
        self._unregister(stream)
        stream._drop_pending()

    def _unregister(self, stream: Stream) -> None:
        if not stream._syn_sent:
            self._waiting.remove(stream)
            return
        self._streams.pop(stream.id, None)
        if not stream._acknowledged:
            if self._is_ours(stream):
                self._unacknowledged -= 1
                self._open_waiting()
            else:
                self._unaccepted -= 1
