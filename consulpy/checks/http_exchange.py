"""One request of an HTTP check and its response, on a connection of its own."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from consulpy.checks.dial import abort, finish
from consulpy.checks.http_request import HttpRequest
from consulpy.checks.http_response import HttpResponse, ResponseParser
from consulpy.checks.result import CheckFailed


class HttpExchange(Protocol):
    """Sends a request. `head`: its response; fails with `CheckFailed` or the connection's error."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request.encoded()
        self._parser = ResponseParser(request.method)
        self.head: Deferred[HttpResponse] = Deferred(lambda _: self.abort())
        self._write: Callable[[bytes], bool] | None = None
        self._body_read: Deferred[None] = Deferred(lambda _: self.abort())

    def connectionMade(self) -> None:
        """Send the request."""
        assert self.transport is not None
        self.transport.write(self._request)

    def read(self, write: Callable[[bytes], bool]) -> "Deferred[None]":
        """Pass the body to `write` until that returns False, or it ends; called when `head` fires."""
        self._write = write
        self._receive(b"")
        return self._body_read

    def abort(self) -> None:
        """Reset the connection."""
        abort(self)

    def dataReceived(self, data: bytes) -> None:
        """Parse the head, then the body."""
        if self._parser.response is None and not self.head.called:
            data = self._parse_head(data)
        self._receive(data)

    def _parse_head(self, data: bytes) -> bytes:
        """Parse the next part of the head; what follows it."""
        try:
            self._parser.feed(data)
        except CheckFailed as error:
            self.head.errback(error)
            self.abort()
            return b""
        if self._parser.response is not None:
            self.head.callback(self._parser.response)
        return self._parser.rest

    def _receive(self, data: bytes) -> None:
        response, write = self._parser.response, self._write
        if response is None or write is None or self._body_read.called:
            return
        part = response.body.decode(data)
        wants_more = not part or write(part)
        if response.body.is_complete:
            self._body_read.callback(None)
            finish(self)
        elif not wants_more:
            self._body_read.callback(None)
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End what is being read."""
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
