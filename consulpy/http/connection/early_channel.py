"""Responses before the whole request has arrived: without a body that nobody reads, and after the end of the input.

Twisted's channel waits for the body of each request, and takes a client that ends its own side of the connection for
gone. Many scripts do so behind their last request (`nc -N`).
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from consulpy.http.cache.blocking_groups import BlockedRequest
from consulpy.http.connection.limits import ConnectionLimits
from consulpy.http.connection.transport import close_when_written
from consulpy.http.errors import error_response
from consulpy.http.fast_path import STREAMED, FastRequest

#: How long the head of a request for the fast path waits for its body, in seconds; then Twisted parses it.
BODY_WITHIN_S: Final = 1.0
#: Unread bodies below this size are awaited for a moment, so that the connection can be kept; larger ones end it.
#: Source: Go's `maxPostHandlerReadBytes`.
UNREAD_MAX_BYTES: Final = 256 * 1024
#: How long a response is awaited that is due to a client that sends nothing more, in seconds: it may have gone.
HALF_CLOSED_S: Final = 10.0
#: Input of a refused client is ignored for this long, in seconds, so that it can read the response; then abort.
LINGER_S: Final = 0.5


@implementer(IHalfCloseableProtocol)
class EarlyChannel(HTTPChannel):
    """Base of `Channel`: unread bodies, and the end of the client's input."""

    transport: Any
    factory: Any
    limits: ConnectionLimits
    #: The client's address.
    peer: Any = None

    _refused = False
    #: The request on the fast path whose response is not ready.
    _pending: FastRequest | None = None
    #: The blocking query that waits in a group.
    _blocked: BlockedRequest | None = None
    #: The timer of the request's arrival, and when it began, in seconds.
    _arrival: Any = None
    _arrival_s = 0.0
    #: A head for the fast path whose body has not arrived.
    _head = b""
    #: The attempt to respond before the body has arrived, or the timer until then.
    _early: Any = None
    _early_timer: Any = None
    _is_early_tried = False
    #: Whether the attempt lasts, or lasted, longer than a call.
    _is_early_awaited = False
    #: Whether the client waits for leave to send the body.
    _awaits_continue = False
    #: Processes a whole request, once the attempt is over.
    _held: Any = None
    #: Whether what follows the request being served is its body, which nobody reads.
    _body_is_unread = False
    #: Whether the client sends nothing more, and the timer of the responses that it still gets.
    _is_input_ended = False
    _half_closed_timer: Any = None

    # -- the arrival of a request, and an end before its own

    def _await_rest(self, within_s: float) -> None:
        if within_s > 0:
            self._arrival = self.callLater(within_s, self._arrival_timed_out)  # type: ignore[no-untyped-call]

    def _has_part(self) -> bool:
        """Whether a part of a request has arrived."""
        return bool(self._receivedHeaderSize or self._buffer or self.requests)

    def _arrival_timed_out(self) -> None:
        self._arrival = None
        head_s = self.limits.head_s if self.line_mode else 0.0
        part, limit_s = ("head of the request", head_s) if head_s else ("request", self.limits.request_s)
        text = f"The {part} took more than {limit_s:g} s to arrive."
        self.refuse(error_response("408 Request Timeout", text))

    def refuse(self, response: bytes) -> None:
        """Write `response`, ignore further input, and close."""
        if self._refused:
            return
        self._refused = True
        self._stop_timer()
        self._stop_early()
        self.transport.write(response)
        self._end()

    def _end(self) -> None:
        """Send nothing more, and ignore what comes, for a moment: an end at once may cost the client the response."""
        self._refused = True
        self.transport.resumeProducing()
        half_close = getattr(self.transport, "loseWriteConnection", None)
        if half_close is not None:
            half_close()
        self._abortingCall = self.callLater(LINGER_S, self._close)  # type: ignore[no-untyped-call]

    def _close(self) -> None:
        self._abortingCall = self._half_closed_timer = None
        self.transport.abortConnection()

    def _stop_timer(self) -> None:
        timer, self._arrival = self._arrival, None
        if timer is not None:
            timer.cancel()

    # -- a response before the body

    def _body_is_late(self) -> None:
        self._early_timer = None
        if self._respond_early():
            self.allContentReceived()  # type: ignore[no-untyped-call]

    def _respond_early(self) -> bool:
        """Respond if the body is not read. True: the full path is to do so, without the body."""
        # It is rarely needed.
        from consulpy.http.connection.early import attempt
        from consulpy.http.connection.request import relative

        self._is_early_tried, self._is_early_awaited = True, False
        if self.factory.dispatcher.serve is None:
            self.body_needed()
            return False
        request, target = self.requests[-1], relative(self._path)
        self._early = attempt(self, request, (self._command, target, self._version), self.length)
        if self._early is not None:
            self._early.begin(self.factory.dispatcher.serve)
            if self._early is not None:
                self._arrival_s = self.factory.seconds() if self._arrival is None else self._arrival_s
                self._stop_timer()
                self._is_early_awaited = True
            return False
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        self.persistent = self.length = 0
        self._transferDecoder = None
        self._body_is_unread = True
        return True

    def holds(self, process: Callable[[], None]) -> bool:
        """Whether a whole request is processed later, as it may be answered without its body."""
        self._held = process if self._early is not None else None
        return self._held is not None

    def early_response(self, response: bytes) -> None:
        """Write a response, or its end, before the body has arrived."""
        self._early = None
        self.refuse(response)

    def body_needed(self) -> None:
        """The endpoint reads the body."""
        self._early = None
        held, self._held = self._held, None
        if self._refused:
            return
        if self._is_input_ended and held is None:
            self._respondToBadRequestAndDisconnect()  # type: ignore[no-untyped-call]
        elif self.requests[-1].is_too_large:
            self.requests[-1].refuse_too_large()
        elif held is not None:
            held()
        else:
            if self._awaits_continue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self._is_early_awaited and self.limits.request_s:
                self._await_rest(max(self._arrival_s + self.limits.request_s - self.factory.seconds(), 0.001))

    def requestDone(self, request: Any) -> None:
        """A response of the full path is written."""
        if self._body_is_unread:
            del self.requests[0]
            self._end()
            self.transport.resumeProducing()
            return
        super().requestDone(request)  # type: ignore[no-untyped-call]
        if self._is_input_ended and not self._busyReceiving:  # else more requests are in Twisted's buffer
            self._close_if_done()

    # -- the end of the client's input

    def readConnectionLost(self) -> None:
        """The client sends nothing more: respond to what it has sent, then close."""
        is_first, self._is_input_ended = not self._is_input_ended, True
        pending = self._pending or (self.requests[0] if self.requests and self._handlingRequest else None)
        target = pending.uri if pending is not None else self._path if self._early is not None else b""
        if self._refused or self._blocked is not None or _waits_long(target):
            close_when_written(self.transport)  # most who wait for long and send nothing more have gone
        elif pending is None and self._early is None and not self._head and not self._has_part():
            close_when_written(self.transport)
        elif pending is None and self._early is None:
            self._close_if_done()
        elif is_first:
            self._half_closed_timer = self.callLater(HALF_CLOSED_S, self._close)  # type: ignore[no-untyped-call]

    def writeConnectionLost(self) -> None:
        """The own end of a refused connection."""

    def _close_if_done(self) -> None:
        """Close when nothing is pending; respond to a request that has no end."""
        if self._refused or self._handlingRequest or self._pending is not None or self._early is not None:
            return
        self._parse_head()
        if not self._has_part():
            self.transport.loseConnection()
        elif self.line_mode or self._is_early_tried:
            self._respondToBadRequestAndDisconnect()  # type: ignore[no-untyped-call]
        elif self._respond_early():
            self.allContentReceived()  # type: ignore[no-untyped-call]

    def _parse_head(self) -> None:
        """Have Twisted parse the head whose body will not come."""
        raise NotImplementedError

    def _stop_early(self) -> None:
        for timer in (self._early_timer, self._half_closed_timer):
            if timer is not None:
                timer.cancel()
        self._early_timer = self._half_closed_timer = None
        attempt, self._early = self._early, None
        if attempt is not None:
            attempt.cancel()


def _waits_long(target: bytes) -> bool:
    """Whether a response may take minutes: of a blocking query, or an endless one."""
    path, _, query = target.partition(b"?")
    return b"index=" in query or path.startswith(STREAMED)
