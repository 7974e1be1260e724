"""One end of a yamux connection, as a pure state machine: input by `receive`, output by `write`."""

from collections import deque
from collections.abc import Callable
from typing import Final

from consulpy.errors import WireError
from consulpy.rpc.yamux.frames import ACK, FIN, HEADER, RST, SYN, VERSION, Reason, Type, frame
from consulpy.rpc.yamux.stream import Receiver, Stream

#: Streams of the peer that are not accepted yet; more are reset.
ACCEPT_BACKLOG: Final = 256
#: Opened streams that the peer has not acknowledged; more are queued.
UNACKNOWLEDGED_LIMIT: Final = 256
#: Streams of one connection, each of which may be a blocking query; more are refused.
STREAM_LIMIT: Final = 16384


class Connection:
    """One end of a connection.

    `client`: whether this end connected. `write(bytes)`: sends. `on_open(stream)`: called for each stream that the peer
    opens; sets `stream.receiver` and calls `stream.accept()`. `on_pong(number)`: called for each pong.
    `on_pending(change)`: called with each change of the pending bytes.
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
        #: Called with each change of the pending bytes.
        self.pending_changed = on_pending
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
        #: Whether the socket is full: no data is sent.
        self.is_paused = False
        #: Whether the peer sent go-away: no more streams may be opened.
        self.is_going_away = False
        self.is_closed = False
        #: Number of streams refused above the limit.
        self.refused = 0

    @property
    def stream_count(self) -> int:
        """Streams that are not yet closed at both ends."""
        return len(self._streams) + len(self._waiting)

    # -- local actions

    def open(self, receiver: Receiver) -> Stream:
        """Open a stream; bytes may be sent at once. Raises `WireError` when no more may be opened."""
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
        """Send a ping; `on_pong` gets its number."""
        number = self._ping_number
        self._ping_number = (number + 1) % 2**32
        self.write(frame(Type.PING, SYN, 0, number))
        return number

    def pause(self) -> None:
        """The socket is full: stop sending data (frames without payload are still sent)."""
        self.is_paused = True

    def resume(self) -> None:
        """The socket is writable: streams continue in the order in which they stopped."""
        self.is_paused = False
        while self._held_back and not self.is_paused:
            stream = next(iter(self._held_back))
            del self._held_back[stream]
            stream.go_on()

    def close(self, reason: str) -> None:
        """Close all streams: the connection is lost."""
        if self.is_closed:
            return
        self.is_closed = True
        streams = [*self._streams.values(), *self._waiting]
        self._streams.clear()
        self._waiting.clear()
        self._held_back.clear()
        for stream in streams:
            stream.lost(reason)
        for stream in streams:  # at last: other streams' replies would follow
            stream.drop_pending()
        self._on_open = self._on_pong = None  # their owner holds this connection: a cycle

    # -- frames of the peer

    def receive(self, data: bytes) -> None:
        """Process input in any slicing. Raises `WireError` after a protocol error: then close the connection."""
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
            self.write(frame(Type.GO_AWAY, 0, 0, Reason.PROTOCOL_ERROR))
            raise
        finally:
            del buffer[:position]

    def _frame(self, version: int, kind: int, flags: int, stream_id: int, length: int) -> None:
        if version != VERSION:
            raise WireError(f"yamux: version {version}, not {VERSION}")
        if kind <= Type.WINDOW_UPDATE:
            self._stream_frame(kind, flags, stream_id, length)
        elif kind == Type.PING:
            if flags & SYN:
                self.write(frame(Type.PING, ACK, 0, length))
            elif self._on_pong is not None:
                self._on_pong(length)
        elif kind == Type.GO_AWAY:
            self.is_going_away = True
            if length != Reason.NORMAL:
                raise WireError(f"yamux: the peer went away with error {length}")
        else:
            raise WireError(f"yamux: unknown frame type {kind}")

    def _stream_frame(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        if flags & SYN:
            self._peer_opens(stream_id)
        stream = self._streams.get(stream_id)
        if kind == Type.DATA:
            if stream is not None:
                stream.announced(length)
            self._payload_left, self._payload_stream, self._payload_flags = length, stream, flags
            if not length:
                self._flags(stream, flags)
            elif flags & ACK and stream is not None:
                self._acknowledge(stream)
        elif stream is not None:
            stream.granted(length)
            self._flags(stream, flags)
            stream.go_on()

    def _payload(self, chunk: bytes) -> None:
        """Process the payload of a data frame; its FIN or RST applies after the last byte."""
        self._payload_left -= len(chunk)
        stream = self._payload_stream
        if stream is not None:
            stream.received(chunk)
        if not self._payload_left:
            self._payload_stream = None
            if stream is not None:
                stream.consumed(0)
            self._flags(stream, self._payload_flags)

    def _flags(self, stream: Stream | None, flags: int) -> None:
        if stream is None or not stream.is_open:
            return
        if flags & ACK:
            self._acknowledge(stream)
        if flags & FIN:
            stream.ended()
        if flags & RST and stream.is_open:
            self.forget(stream)
            stream.lost("connection reset")

    def _peer_opens(self, stream_id: int) -> None:
        if stream_id == 0 or stream_id in self._streams:
            raise WireError(f"yamux: stream {stream_id} is opened twice")
        too_many = self._unaccepted >= ACCEPT_BACKLOG or self.stream_count >= STREAM_LIMIT
        if self._on_open is None or too_many:
            self.refused += 1
            self.write(frame(Type.WINDOW_UPDATE, RST, stream_id, 0))
            return
        stream = Stream(self, stream_id)
        stream.syn_sent = True
        self._streams[stream_id] = stream
        self._unaccepted += 1
        self._on_open(stream)

    # -- for streams

    def write(self, data: bytes) -> None:
        """Send a frame."""
        if not self.is_closed:
            self._write_out(data)

    def hold_back(self, stream: Stream) -> None:
        """Queue `stream` until the socket is writable."""
        self._held_back[stream] = None

    def is_receiving(self, stream: Stream) -> bool:
        """Whether a frame of `stream` is incomplete."""
        return self._payload_stream is stream and self._payload_left > 0

    def accepted(self, stream: Stream) -> None:
        """`stream` of the peer was accepted."""
        self._unaccepted -= 1
        self.write(frame(Type.WINDOW_UPDATE, ACK, stream.id, 0))

    def forget(self, stream: Stream) -> None:
        """Remove a stream that is closed at both ends, or reset."""
        stream.is_open = False
        self._held_back.pop(stream, None)
        self._unregister(stream)
        stream.drop_pending()

    # -- accounting

    def _acknowledge(self, stream: Stream) -> None:
        if self._is_ours(stream) and not stream.is_acknowledged:
            stream.is_acknowledged = True
            self._unacknowledged -= 1
            self._open_waiting()

    def _open_waiting(self) -> None:
        while self._waiting and self._unacknowledged < UNACKNOWLEDGED_LIMIT:
            stream = self._waiting.popleft()
            stream.id = self._next_id
            self._next_id += 2
            self._streams[stream.id] = stream
            self._unacknowledged += 1
            stream.syn_sent = True
            self.write(frame(Type.WINDOW_UPDATE, SYN, stream.id, 0))
            stream.flush()

    def _is_ours(self, stream: Stream) -> bool:
        return bool(stream.id % 2) == self._client

    def _unregister(self, stream: Stream) -> None:
        if not stream.syn_sent:
            self._waiting.remove(stream)
            return
        self._streams.pop(stream.id, None)
        if not stream.is_acknowledged:
            if self._is_ours(stream):
                self._unacknowledged -= 1
                self._open_waiting()
            else:
                self._unaccepted -= 1
