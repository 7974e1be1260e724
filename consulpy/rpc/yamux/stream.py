"""One stream of a yamux connection: its windows, what waits to be sent, and how it ends (docs/wire/rpc.md 2).

Each stream has a window of 262144 bytes each way; who sends beyond it is cut off. A FIN is sent exactly once for each
stream: real peers end the connection at a second one, and leak the stream without one.
"""

from typing import Final, Protocol

from consulpy.errors import WireError
from consulpy.rpc.yamux.frames import FIN, RST, Type, frame

#: The window of a new stream, in bytes, and the largest that we ever grant.
WINDOW: Final = 262144
#: The largest that a peer may grant.
LARGEST_WINDOW: Final = 2**32 - 1


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


class Carrier(Protocol):
    """What a stream needs of its connection."""

    is_paused: bool

    def write(self, data: bytes) -> None:
        """Send a frame."""

    def hold_back(self, stream: "Stream") -> None:
        """Let `stream` go on when the socket takes bytes again."""

    def is_receiving(self, stream: "Stream") -> bool:
        """Whether only a part of a frame of `stream` is here."""

    def accepted(self, stream: "Stream") -> None:
        """`stream` was taken."""

    def forget(self, stream: "Stream") -> None:
        """`stream` is closed at both ends."""

    def pending_changed(self, change: int) -> None:
        """So many bytes more, or fewer, wait to be taken by the peer."""


class Stream:
    """One stream of a connection. Set `receiver` before anything can arrive."""

    __slots__ = (
        "_connection",
        "_fin_received",
        "_fin_sent",
        "_fin_wanted",
        "_pending",
        "_receive_window",
        "_send_window",
        "_unconsumed",
        "id",
        "is_acknowledged",
        "is_open",
        "receiver",
        "syn_sent",
    )

    def __init__(self, connection: Carrier, stream_id: int) -> None:
        self.id = stream_id
        self.receiver: Receiver | None = None
        self._connection = connection
        self._send_window = WINDOW
        self._receive_window = WINDOW
        self._unconsumed = 0
        self._pending = bytearray()
        self.syn_sent = False
        self.is_acknowledged = False
        self._fin_wanted = False
        self._fin_sent = False
        self._fin_received = False
        self.is_open = True

    @property
    def is_usable(self) -> bool:
        """Whether it can carry another call: neither end has closed it."""
        return self.is_open and not self._fin_wanted and not self._fin_received

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
        if self.is_open and not self.is_acknowledged:
            self.is_acknowledged = True
            self._connection.accepted(self)

    def send(self, data: bytes) -> None:
        """Send, now or as soon as the peer's window allows. Nothing happens on a stream that is closed."""
        if self.is_open and not self._fin_wanted:
            self._pending += data
            self._connection.pending_changed(len(data))
            self.flush()

    def consumed(self, size: int) -> None:
        """The application has dealt with so many received bytes: the peer may send more, in large steps."""
        self._unconsumed = max(0, self._unconsumed - size)
        if self._connection.is_receiving(self):
            return  # the rest of the frame still needs its window; this is asked again at its end
        delta = WINDOW - self._unconsumed - self._receive_window
        if self.is_open and not self._fin_received and delta >= WINDOW // 2:
            self._receive_window += delta
            self._connection.write(frame(Type.WINDOW_UPDATE, 0, self.id, delta))

    def close(self) -> None:
        """Send no more, once what was sent is out. Received bytes are thrown away from now on."""
        if self.is_open and not self._fin_wanted:
            self._fin_wanted = True
            self.receiver = None
            self.consumed(self._unconsumed)
            self.flush()

    def reset(self) -> None:
        """Forget the stream at once, at both ends."""
        if self.is_open:
            if self.syn_sent:
                self._connection.write(frame(Type.WINDOW_UPDATE, RST, self.id, 0))
            self.receiver = None
            self._connection.forget(self)

    # What the connection does with it

    def flush(self) -> None:
        """Send what may be sent now."""
        connection = self._connection
        if not self.syn_sent:
            return
        if connection.is_paused:
            connection.hold_back(self)
            return
        size = min(len(self._pending), self._send_window)
        if size:
            self._send_window -= size
            payload = bytes(memoryview(self._pending)[:size])
            del self._pending[:size]
            connection.write(frame(Type.DATA, 0, self.id, size) + payload)
            connection.pending_changed(-size)
        if self._fin_wanted and not self._fin_sent and not self._pending:
            self._fin_sent = True
            connection.write(frame(Type.WINDOW_UPDATE, FIN, self.id, 0))
            if self._fin_received:
                connection.forget(self)

    def drop_pending(self) -> None:
        """Nobody takes what waits any more."""
        dropped = len(self._pending)
        self._pending.clear()
        if dropped:
            self._connection.pending_changed(-dropped)

    def go_on(self) -> None:
        """Send what had to wait; the receiver may go on when that was all."""
        had_to_wait = bool(self._pending)
        self.flush()
        if had_to_wait and not self._pending and self.is_open and self.receiver is not None:
            self.receiver.drained()

    def granted(self, size: int) -> None:
        """The peer takes so many bytes more."""
        self._send_window = min(self._send_window + size, LARGEST_WINDOW)

    def announced(self, size: int) -> None:
        """A frame of so many bytes comes. Raises `WireError` when that is more than the peer may send."""
        if size > self._receive_window:
            raise WireError(f"yamux: {size} bytes into a window of {self._receive_window}")
        self._receive_window -= size

    def received(self, data: bytes) -> None:
        """Bytes of a frame that was announced."""
        if self.is_open and self.receiver is not None:
            self._unconsumed += len(data)
            self.receiver.data_received(data)

    def ended(self) -> None:
        """The peer sends no more. Raises `WireError` when it said so before."""
        if self._fin_received:
            raise WireError(f"yamux: a second FIN on stream {self.id}")
        self._fin_received = True
        if self._fin_sent:
            self._connection.forget(self)
        elif self.receiver is not None:
            self.receiver.ended()

    def lost(self, reason: str) -> None:
        """It is gone: its receiver is told."""
        self.is_open = False
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.lost(reason)
