"""A stream of a yamux connection: flow control, pending bytes and close (docs/wire/rpc.md 2).

Each direction has a window of 262144 bytes; sending beyond it is a protocol error. A FIN is sent exactly once: real
peers close the connection at a second one, and leak the stream without one.
"""

from typing import Final, Protocol

from consulpy.errors import WireError
from consulpy.rpc.yamux.frames import FIN, RST, Type, frame

#: The window of a new stream, and the largest that is granted, in bytes.
WINDOW: Final = 262144
#: The largest window that a peer may grant, in bytes.
LARGEST_WINDOW: Final = 2**32 - 1


class Receiver(Protocol):
    """The user of a stream."""

    def data_received(self, data: bytes) -> None:
        """Process bytes; call `Stream.consumed` afterwards, which opens the window again."""

    def ended(self) -> None:
        """End of input. Close the stream when its replies are sent."""

    def drained(self) -> None:
        """All pending bytes are sent."""

    def lost(self, reason: str) -> None:
        """The stream is lost."""


class Carrier(Protocol):
    """The connection, as a stream uses it."""

    is_paused: bool

    def write(self, data: bytes) -> None:
        """Send a frame."""

    def hold_back(self, stream: "Stream") -> None:
        """Queue `stream` until the socket is writable."""

    def is_receiving(self, stream: "Stream") -> bool:
        """Whether a frame of `stream` is incomplete."""

    def accepted(self, stream: "Stream") -> None:
        """`stream` was accepted."""

    def forget(self, stream: "Stream") -> None:
        """Remove a stream that is closed at both ends."""

    def pending_changed(self, change: int) -> None:
        """Account for `change` pending bytes."""


class Stream:
    """One stream of a connection. Set `receiver` before input can arrive."""

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
        """Whether neither end has closed it."""
        return self.is_open and not self._fin_wanted and not self._fin_received

    @property
    def pending(self) -> int:
        """Number of pending bytes."""
        return len(self._pending)

    @property
    def is_clear(self) -> bool:
        """Whether there are no pending bytes."""
        return not self._pending

    def accept(self) -> None:
        """Accept a stream that the peer opened."""
        if self.is_open and not self.is_acknowledged:
            self.is_acknowledged = True
            self._connection.accepted(self)

    def send(self, data: bytes) -> None:
        """Send, as the peer's window allows; ignored on a closed stream."""
        if not self.is_open or self._fin_wanted:
            return
        connection, size = self._connection, len(data)
        if not self._pending and size <= self._send_window and self.syn_sent and not connection.is_paused:
            self._send_window -= size
            connection.write(frame(Type.DATA, 0, self.id, size) + data)
            return
        self._pending += data
        connection.pending_changed(size)
        self.flush()

    def consumed(self, size: int) -> None:
        """Open the receive window by `size` processed bytes; updates are sent in large steps."""
        self._unconsumed = max(0, self._unconsumed - size)
        if self._connection.is_receiving(self):
            return  # the rest of the frame needs its window; called again at its end
        delta = WINDOW - self._unconsumed - self._receive_window
        if self.is_open and not self._fin_received and delta >= WINDOW // 2:
            self._receive_window += delta
            self._connection.write(frame(Type.WINDOW_UPDATE, 0, self.id, delta))

    def close(self) -> None:
        """Send a FIN after the pending bytes; input is discarded from now on."""
        if self.is_open and not self._fin_wanted:
            self._fin_wanted = True
            self.receiver = None
            self.consumed(self._unconsumed)
            self.flush()

    def reset(self) -> None:
        """Reset the stream at both ends."""
        if self.is_open:
            if self.syn_sent:
                self._connection.write(frame(Type.WINDOW_UPDATE, RST, self.id, 0))
            self.receiver = None
            self._connection.forget(self)

    # -- for the connection

    def flush(self) -> None:
        """Send as much as the windows allow."""
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
        """Discard the pending bytes."""
        dropped = len(self._pending)
        self._pending.clear()
        if dropped:
            self._connection.pending_changed(-dropped)

    def go_on(self) -> None:
        """Send pending bytes; calls `drained` when that were all."""
        had_to_wait = bool(self._pending)
        self.flush()
        if had_to_wait and not self._pending and self.is_open and self.receiver is not None:
            self.receiver.drained()

    def granted(self, size: int) -> None:
        """Apply a window update of the peer."""
        self._send_window = min(self._send_window + size, LARGEST_WINDOW)

    def announced(self, size: int) -> None:
        """Take a frame's size from the receive window. Raises `WireError` if it is exceeded."""
        if size > self._receive_window:
            raise WireError(f"yamux: {size} bytes into a window of {self._receive_window}")
        self._receive_window -= size

    def received(self, data: bytes) -> None:
        """Process bytes of an announced frame."""
        if self.is_open and self.receiver is not None:
            self._unconsumed += len(data)
            self.receiver.data_received(data)

    def ended(self) -> None:
        """Process a FIN. Raises `WireError` for a second one."""
        if self._fin_received:
            raise WireError(f"yamux: a second FIN on stream {self.id}")
        self._fin_received = True
        if self._fin_sent:
            self._connection.forget(self)
        elif self.receiver is not None:
            self.receiver.ended()

    def lost(self, reason: str) -> None:
        """Report the loss to the receiver."""
        self.is_open = False
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.lost(reason)
