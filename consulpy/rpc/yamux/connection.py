"""One end of a yamux connection, as a pure machine: bytes in by `receive`, out by the `write` that it is given."""

from collections import deque
from collections.abc import Callable
from typing import Final

from consulpy.errors import WireError
from consulpy.rpc.yamux.frames import ACK, FIN, HEADER, RST, SYN, VERSION, Reason, Type, frame
from consulpy.rpc.yamux.stream import Receiver, Stream

#: Streams that the peer opened and we did not accept yet; more are reset.
ACCEPT_BACKLOG: Final = 256
#: Streams of ours that the peer has not acknowledged; more wait for their turn.
UNACKNOWLEDGED_LIMIT: Final = 256
#: Streams of one connection, each of which may be one blocking query; more are refused.
STREAM_LIMIT: Final = 16384


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
        #: So many bytes more, or fewer, wait to be taken by the peer.
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
        self.write(frame(Type.PING, SYN, 0, number))
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
            stream.go_on()

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
            stream.lost(reason)
        for stream in streams:  # only now: there would be room for others' answers
            stream.drop_pending()
        self._on_open = self._on_pong = None  # their owner holds this connection: a cycle

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
        """Bytes of a data frame; its FIN or RST counts after the last of them."""
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

    # What streams need

    def write(self, data: bytes) -> None:
        """Send a frame."""
        if not self.is_closed:
            self._write_out(data)

    def hold_back(self, stream: Stream) -> None:
        """Let `stream` go on when the socket takes bytes again."""
        self._held_back[stream] = None

    def is_receiving(self, stream: Stream) -> bool:
        """Whether only a part of a frame of `stream` is here."""
        return self._payload_stream is stream and self._payload_left > 0

    def accepted(self, stream: Stream) -> None:
        """A stream of the peer was taken."""
        self._unaccepted -= 1
        self.write(frame(Type.WINDOW_UPDATE, ACK, stream.id, 0))

    def forget(self, stream: Stream) -> None:
        """A stream is closed at both ends, or reset."""
        stream.is_open = False
        self._held_back.pop(stream, None)
        self._unregister(stream)
        stream.drop_pending()

    # Accounts

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
