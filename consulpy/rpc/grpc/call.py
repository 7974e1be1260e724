"""One call: its request, and the messages of its response as far as the client reads them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from consulpy.rpc.grpc.framing import CallError, Code, only_message, response_headers, trailers

#: The largest request, in bytes.
REQUEST_MAX_BYTES: Final = 64 * 1024


#: Memory of one message of a stream that is still to come, in bytes.
SOURCE_BYTES: Final = 64


class Connection(Protocol):
    """The connection to its calls (`consulpy.rpc.grpc.connection.GrpcConnection`)."""

    account: Callable[[int], object]

    def flush(self, call: "Call") -> None:
        """Send what a call has, as far as the client's windows allow."""


class Call:
    """A unary request with a stream of messages in response: first those of `stream`, then those of `send`.

    `on_end`: called once when the client has cancelled the call or its connection is lost, never after `finish`.
    """

    def __init__(self, connection: Connection, stream_id: int, path: str) -> None:
        self._connection = connection
        self.stream_id = stream_id
        self.path = path
        self.on_end: Callable[[], None] = lambda: None
        self._body = bytearray()
        self._source: Iterator[bytes] | None = None
        self._source_bytes = 0
        self._queue: deque[bytes] = deque()
        #: The message that is being sent, and how many bytes of it are.
        self._head = b""
        self._sent = 0
        self._has_headers = False
        self._status: tuple[Code, str] | None = None
        self.is_over = False
        #: Bytes of messages of `send` that wait for the client.
        self.waiting_bytes = 0

    def received(self, data: bytes) -> None:
        """Add bytes of the request. Raises `CallError` above the limit."""
        if len(self._body) + len(data) > REQUEST_MAX_BYTES:
            raise CallError(Code.RESOURCE_EXHAUSTED, f"a request of more than {REQUEST_MAX_BYTES} bytes")
        self._body += data

    def request(self) -> bytes:
        """The message of the request, which is complete. Raises `CallError`."""
        return only_message(bytes(self._body))

    def stream(self, source: Iterator[bytes], count: int) -> None:
        """Send about `count` parts (whole framed messages), made when they can be sent; before any of `send`."""
        if self.is_over or self._status is not None:
            return
        assert self._source is None, "one stream at a time"
        self._source, self._source_bytes = source, SOURCE_BYTES * count
        self._connection.account(self._source_bytes)
        self._connection.flush(self)

    def send(self, messages: Iterable[bytes]) -> None:
        """Send framed messages, now or when the client has read those before."""
        if self.is_over or self._status is not None:
            return
        before = self.waiting_bytes
        for message in messages:
            self._queue.append(message)
            self.waiting_bytes += len(message)
        self._connection.account(self.waiting_bytes - before)
        self._connection.flush(self)

    def finish(self, code: Code, text: str = "", *, at_once: bool = False) -> None:
        """End the call after the messages that wait; `at_once`: they are dropped, but for one that is half sent."""
        if self.is_over or self._status is not None:
            return
        self.on_end = lambda: None
        self._status = (code, text)
        if at_once:
            self._drop()
        self._connection.flush(self)

    def lost(self) -> None:
        """The client has cancelled the call, or the connection is lost."""
        if self.is_over:
            return
        self.is_over = True
        self._drop()
        on_end, self.on_end = self.on_end, lambda: None
        on_end()

    def _drop(self) -> None:
        self._end_source()
        self._queue.clear()
        self._connection.account(-self.waiting_bytes)
        self.waiting_bytes = 0

    def _end_source(self) -> None:
        self._connection.account(-self._source_bytes)
        self._source, self._source_bytes = None, 0

    # -- what the connection calls to send

    @property
    def is_streaming(self) -> bool:
        """Whether messages of `stream` are still to come."""
        return self._source is not None

    @property
    def is_waiting(self) -> bool:
        """Whether there is, or may be, something to send before the status."""
        return bool(self._head or self._source is not None or self._queue)

    def headers(self) -> list[tuple[str, str]] | None:
        """The headers of the response, once, as soon as there is something to send; None if they are sent."""
        if self._has_headers:
            return None
        self._has_headers = True
        return response_headers()

    def take(self, size: int) -> bytes:
        """Up to `size` bytes of the response, from several messages if they are small."""
        parts = []
        while size > 0 and (self._head or self._next()):
            part = self._head[self._sent : self._sent + size]
            parts.append(part)
            size -= len(part)
            self._sent += len(part)
            if self._sent == len(self._head):
                self._head, self._sent = b"", 0
        return b"".join(parts)

    def _next(self) -> bool:
        """Start the next message; False if there is none now."""
        if self._source is not None:
            found = next(self._source, None)
            if found is not None:
                self._head = found
                return True
            self._end_source()
        if not self._queue:
            return False
        self._head = self._queue.popleft()
        self.waiting_bytes -= len(self._head)
        self._connection.account(-len(self._head))
        return True

    def ending(self) -> list[tuple[str, str]] | None:
        """The trailers, if everything before them is sent; the call is over then."""
        if self._status is None or self.is_waiting or self.is_over:
            return None
        self.is_over = True
        found = trailers(*self._status)
        return found if self._has_headers else response_headers() + found
