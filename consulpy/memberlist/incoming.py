"""Streams that peers opened, with limits on their number and on the bytes that they hold in memory.

Source: docs/wire/gossip.md 2 and 11.
"""

from typing import Final, Protocol

from consulpy.errors import WireError
from consulpy.memberlist.member import Address
from consulpy.memberlist.messages import Err
from consulpy.memberlist.packet import Sealer
from consulpy.memberlist.stream import MessageReader, StreamMessage

#: Incoming streams open at the same time; further ones are closed without a reply.
INCOMING_STREAMS_MAX: Final = 128
#: Incoming streams open at the same time from one IP address. Several members may share a host.
INCOMING_STREAMS_PER_SOURCE_MAX: Final = 32
#: Bytes received on all open incoming streams together; above it the stream that receives is refused.
INCOMING_STREAM_BYTES_MAX: Final = 64 * 1024 * 1024


class StreamHandler(Protocol):
    """Handles the messages of incoming streams (`Memberlist`)."""

    sealer: Sealer

    def handle_stream_message(self, message: StreamMessage, source: Address) -> bytes:
        """The reply to a complete message. Raises `WireError` for one that gets none."""

    def seal_stream(self, plain: bytes) -> bytes:
        """Compress, encrypt and label a stream message."""

    def note_encryption(self, source: Address, error: WireError) -> None:
        """Record a peer whose encryption does not match ours."""

    def log_bad_packet(self, source: Address, text: str) -> None:
        """Count a malformed message and log it, rate limited per source."""


class IncomingStreams:
    """The incoming streams of one memberlist. `count`: open ones; `bytes`: what they have received so far."""

    def __init__(self, handler: StreamHandler) -> None:
        self.handler = handler
        self.count = 0
        self.bytes = 0
        self._by_source: dict[str, int] = {}

    def open(self, source: Address, *, accept: bool) -> "IncomingStream":
        """A new stream from `source`; refused above the limits, or if not `accept`."""
        of_source = self._by_source.get(source[0], 0)
        full = self.count >= INCOMING_STREAMS_MAX or of_source >= INCOMING_STREAMS_PER_SOURCE_MAX
        if full or not accept:
            return IncomingStream(self, source, refused=True)
        self.count += 1
        self._by_source[source[0]] = of_source + 1
        return IncomingStream(self, source, refused=False)

    def closed(self, source: Address, size: int) -> None:
        """An accepted stream that received `size` bytes was closed."""
        self.count -= 1
        self.bytes -= size
        left = self._by_source[source[0]] - 1
        if left:
            self._by_source[source[0]] = left
        else:
            del self._by_source[source[0]]


class IncomingStream:
    """One incoming stream: a request of the peer and at most one reply. `refused`: it is closed without one."""

    def __init__(self, streams: IncomingStreams, source: Address, refused: bool) -> None:
        self._streams = streams
        self._source = source
        self.refused = refused
        self._bytes = 0
        self._reader = MessageReader(streams.handler.sealer)

    def feed(self, data: bytes) -> bytes | None:
        """Process received bytes. None: more are needed; else the reply (maybe empty) to write before closing."""
        if self.refused:
            return b""
        handler = self._streams.handler
        self._bytes += len(data)
        self._streams.bytes += len(data)
        try:
            if self._streams.bytes > INCOMING_STREAM_BYTES_MAX:
                raise WireError("too much comes on all streams together")
            if not self._reader.feed(data):
                return None
            assert self._reader.message is not None
            return handler.handle_stream_message(self._reader.message, self._source)
        except WireError as error:
            handler.note_encryption(self._source, error)
            handler.log_bad_packet(self._source, f"a stream message: {error}")
            return b"" if self._reader.typed else handler.seal_stream(Err(str(error)).encode())

    def closed(self) -> None:
        """The connection was closed. May be called twice."""
        self._reader.close()
        if not self.refused:
            self.refused = True
            self._streams.closed(self._source, self._bytes)
