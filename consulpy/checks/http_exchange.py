"""One request of an HTTP check and its response, on a connection of its own."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from consulpy.checks.dial import abort, finish
from consulpy.checks.http_request import HttpRequest
from consulpy.checks.http_response import HttpResponse, ResponseParser
from consulpy.checks.result import CheckFailed
from consulpy.clock import Clock, Timer

#: HTTP/2's name in ALPN.
HTTP2: Final = "h2"
#: How long a server that has answered may take to read the rest of the request, in seconds.
CLOSE_S: Final = 1.0


class HttpExchange(Protocol):
    """Sends a request. `head`: its response; fails with `CheckFailed` or the connection's error."""

    def __init__(self, request: HttpRequest, clock: Clock) -> None:
        self._clock = clock
        self._closing: Timer | None = None
        self._request = request
        self._parser: Any = ResponseParser(request.method)
        self.head: Deferred[HttpResponse] = Deferred(lambda _: self.finish())
        self._write: Callable[[bytes], bool] | None = None
        self._body_read: Deferred[None] = Deferred(lambda _: self.finish())

    def connectionMade(self) -> None:
        """Send the request."""
        transport: Any = self.transport
        if getattr(transport, "alpn", "") != HTTP2:
            transport.write(self._request.encoded())
            return
        from consulpy.checks.http2_response import Http2Parser  # for few checks

        self._parser = Http2Parser(self._request)
        self._flush()

    def read(self, write: Callable[[bytes], bool]) -> "Deferred[None]":
        """Pass the body to `write` until that returns False, or it ends; called when `head` fires."""
        self._write = write
        self._receive(b"")
        return self._body_read

    def finish(self) -> None:
        """Close the connection gracefully; what the server does not take of the request is dropped soon."""
        if self._closing is None and self.transport is not None:
            self._closing = self._clock.callLater(CLOSE_S, abort, self)
            finish(self)

    def dataReceived(self, data: bytes) -> None:
        """Parse the head, then the body."""
        if self._parser.response is None and not self.head.called:
            data = self._parse_head(data)
        self._receive(data)
        self._flush()

    def _flush(self) -> None:
        """Send what HTTP/2 has to say."""
        if self.transport is not None and (data := self._parser.data_to_send()):
            self.transport.write(data)

    def _parse_head(self, data: bytes) -> bytes:
        """Parse the next part of the head; what follows it."""
        try:
            self._parser.feed(data)
        except CheckFailed as error:
            self.head.errback(error)
            self.finish()
            return b""
        if self._parser.response is not None:
            self.head.callback(self._parser.response)
        rest: bytes = self._parser.rest
        return rest

    def _receive(self, data: bytes) -> None:
        response, write = self._parser.response, self._write
        if response is None or write is None or self._body_read.called:
            return
        part = response.body.decode(data)
        wants_more = not part or write(part)
        if response.body.is_complete or not wants_more:
            self._body_read.callback(None)
            self.finish()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End what is being read."""
        self.transport = None
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if self.head.called:
            if self._write is not None and not self._body_read.called:
                self._body_read.callback(None)
            return
        try:
            if reason.check(ConnectionDone):
                self._parser.end()
        except CheckFailed as error:
            self.head.errback(error)
        else:
            self.head.errback(reason)
