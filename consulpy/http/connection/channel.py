"""A connection of the HTTP API that Twisted parses, and the limits of what a client may send.

Limits: size of the head, time that a request may take to arrive, idle time. A client that exceeds one gets the status
that says so (408, 431), and the connection ends; nothing of that request reaches a route.
"""

import re
from typing import Any, Final

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from consulpy.clock import cancel_timer
from consulpy.connections import close_now
from consulpy.http.api.large_body import Parts, SpooledBody
from consulpy.http.cache.blocking_groups import PIPELINED_MAX_BYTES, BlockingRead
from consulpy.http.cache.response_cache import CacheFill, RecordingTransport
from consulpy.http.connection.dispatch import AwaitBody, Cached, Decision, Fast, Full
from consulpy.http.connection.early_channel import BODY_WITHIN_S, UNREAD_MAX_BYTES, EarlyChannel
from consulpy.http.errors import HEADERS_MAX, LINE_MAX_BYTES, error_response
from consulpy.rpc.dependencies import DependencySet
from consulpy.tls.try_write import try_write

#: A Content-Length; longer ones are refused.
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
#: What no value of a field may contain (RFC 9110, 5.5).
_CONTROL: Final = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")
#: Bytes that a request line must escape.
_NO_ASCII: Final = re.compile(rb"[\x80-\xff]")
#: An Expect field with 100, among others (Go's `hasToken`).
_CONTINUE: Final = re.compile(rb"(?:^|[ ,\t])100-continue(?:$|[ ,\t])", re.IGNORECASE)
#: A whole field of the trailer behind a chunked body.
_FIELD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\0-\x08\x0a-\x1f\x7f]*")
#: First byte of a request: a method's letters (RFC 9110, 5.6.2) or an empty line.
_BEGINNING: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z\r\n-]")


class Channel(EarlyChannel):
    """Carries out the decisions of the dispatcher; parses with Twisted what takes the full path."""

    #: Twisted's own limit is 500; it answers 400, see `headerReceived`.
    maxHeaders = HEADERS_MAX + 1  # noqa: N815 - Twisted's name

    #: Whether its response is large, and is being written.
    _writes_parts = False
    #: Of the cache fill that the full path serves.
    _dependencies: DependencySet | None = None
    #: Of the response of the pending request.
    _late_fill: CacheFill | None = None
    #: Bytes behind the pending request.
    _pipelined = b""
    #: The timer of the wait for the body behind `_head`.
    _head_timer: Any = None
    #: When a response was last written without a restart of Twisted's idle timer.
    _active_s = float("-inf")

    def requestFactory(self, *arguments: Any) -> Any:  # type: ignore[override]
        """A request as Twisted parses it."""
        # It loads twisted.web.server, a twentieth of the memory of an idle agent.
        from consulpy.http.connection.request import ApiRequest

        request = ApiRequest(*arguments)  # type: ignore[no-untyped-call]
        request.dependencies = self._dependencies
        return request

    def connectionMade(self) -> None:
        """Store the limits and the address of the client."""
        self.limits = self.factory.limits
        self.MAX_LENGTH = self.totalHeadersSize = self.limits.head_bytes
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.peer = self.transport.getPeer()

    def dataReceived(self, data: bytes) -> None:
        """Dispatch the bytes of one or several requests, or buffer them behind a pending one."""
        self.factory.connections.record_activity(self)
        if self._refused:
            return
        if self._blocked is not None:
            if not self._blocked.hold(data):
                self.transport.abortConnection()
            return
        if self._pending is not None:
            self._pipelined += data
            if len(self._pipelined) > PIPELINED_MAX_BYTES:
                self.transport.pauseProducing()
            return
        if self._head:
            data = self._take_head() + data
        if self._is_ready():
            self.perform(self.factory.dispatcher.decide(data))
        else:
            self.parse(data)

    def perform(self, decision: Decision) -> None:
        """Carry out a decision about bytes that begin with a request."""
        if isinstance(decision, Fast) and decision.fill is None:
            self._serve(decision)
            return
        dispatcher = self.factory.dispatcher
        while isinstance(decision, Cached):
            self._active_s = self.factory.seconds()
            try_write(self.transport, decision.response)
            if decision.closes:
                self._close_gracefully()
                return
            if not decision.rest:
                return
            decision = dispatcher.decide(decision.rest, look_up=False)
        if isinstance(decision, BlockingRead):
            self._blocked = dispatcher.groups.join(self, decision)
            self.setTimeout(None)  # type: ignore[no-untyped-call]
        elif isinstance(decision, AwaitBody):
            self._head = decision.head
            self._head_timer = self.callLater(BODY_WITHIN_S, self._body_timed_out)  # type: ignore[no-untyped-call]
        elif decision.fill is not None:
            self._fill_cache(decision, decision.fill)
        else:
            self._serve(decision)

    def _serve(self, decision: Fast | Full) -> None:
        if isinstance(decision, Fast):
            self._pending = decision.request
            decision.request.begin(self, self.factory.dispatcher.serve)
        else:
            self.parse(decision.data)

    def _fill_cache(self, decision: Fast | Full, fill: CacheFill) -> None:
        """Serve a whole request; cache its response if it is written before this returns, or is a long read's."""
        transport = self.transport
        self.transport = recording = RecordingTransport(transport)
        self._dependencies = fill.dependencies
        try:
            self._serve(decision)
        finally:
            self.transport = transport
            self._dependencies = None
            is_whole = not self.requests and self._pending is None and not self._refused
            if self._pending is not None and fill.dependencies is not None and fill.dependencies.are_followed:
                self._late_fill = fill
            else:
                self.factory.dispatcher.cache.finish_fill(fill, recording.written if is_whole else b"")

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        cancel_timer(self._head_timer)
        self._head_timer = None
        return head

    def _body_timed_out(self) -> None:
        self.parse(self._take_head())
        if self._early_timer is not None:
            self._early_timer.reset(0)  # it has been awaited

    def _parse_head(self) -> None:
        if self._head:
            self.parse(self._take_head())

    def parse(self, data: bytes) -> None:
        """Have Twisted parse a request, or part of one."""
        if not self._has_part() and not self._handlingRequest and not _BEGINNING.match(data):
            self._respondToBadRequestAndDisconnect()  # another protocol, whose client may wait for the server to begin
            return
        HTTPChannel.dataReceived(self, data)
        if self._busyReceiving:
            return  # called from within: Twisted's loop further out goes on with the data
        if not self._refused and self.line_mode and b"\n" in self._buffer:  # without \r: no line would ever be whole
            self._respondToBadRequestAndDisconnect()
        if not self._refused and not self._handlingRequest and self._early is None and self._has_part():
            if self._arrival is None:
                self._arrival_s = self.factory.seconds()
                self._await_rest((self.line_mode and self.limits.head_s) or self.limits.request_s)
            if not (self.line_mode or self._is_early_tried or self._early_timer):
                self._early_timer = self.callLater(BODY_WITHIN_S, self._body_is_late)  # type: ignore[no-untyped-call]
        if self._is_input_ended:
            self._close_if_done()

    def allHeadersReceived(self) -> None:
        """Refuse what the client expects in vain, before its body; go on with the time that the whole request has."""
        expected = (self.requests[-1].requestHeaders.getRawHeaders(b"expect") or [b""])[0]
        if expected and not _CONTINUE.search(expected):
            self.refuse(error_response("417 Expectation Failed", ""))
            return
        if self._command == b"HEAD" and self.length != 0:
            self._respondToBadRequestAndDisconnect()
            return
        self._is_early_tried = False
        super().allHeadersReceived()  # type: ignore[no-untyped-call]
        self._awaits_continue = bool(expected) and self._version == b"HTTP/1.1" and self.length != 0
        if self._awaits_continue or self.requests[-1].is_too_large or (self.length or 0) >= UNREAD_MAX_BYTES:
            self._respond_early()
        if self.limits.head_s and not self._refused and self._early is None:
            self._stop_timer()
            if self.limits.request_s:
                arrived_s = self.factory.seconds() - self._arrival_s
                self._await_rest(max(self.limits.request_s - arrived_s, 0.001))

    def _send100Continue(self) -> None:
        """Sent by `body_needed`: whose body is not read needs no leave."""

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Whether the connection stays open after the response (RFC 9112, 9.3). Twisted splits the field at blanks."""
        fields = request.requestHeaders.getRawHeaders(b"connection") or ()
        options = {option.strip().lower() for field in fields for option in field.split(b",")}
        if b"close" in options:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        if version == b"HTTP/1.0" and b"keep-alive" in options:
            request.responseHeaders.setRawHeaders(b"connection", [b"keep-alive"])
            return True
        return version == b"HTTP/1.1"

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        """Write the head of a response; in HTTP/1.0 one without a length ends with the connection."""
        if version == b"HTTP/1.0" and self.persistent and not headers.hasHeader(b"content-length"):
            self.persistent = False
            headers.removeHeader(b"connection")
        super().writeHeaders(version, code, reason, headers)  # type: ignore[no-untyped-call]

    def _is_ready(self) -> bool:
        """Whether the next bytes begin a request, and all before it are answered."""
        busy = self._handlingRequest or self._arrival is not None
        return bool(not busy and self.persistent and not self._has_part())

    def response_ready(self, response: bytes) -> None:
        """Write the response to the pending request of the fast path; go on with the bytes behind it."""
        pending, self._pending = self._pending, None
        if self._late_fill is not None:
            self.factory.dispatcher.cache.finish_fill(self._late_fill, response)
            self._late_fill = None
        self._active_s = self.factory.seconds()
        self.factory.connections.record_activity(self)
        try_write(self.transport, response)
        if pending is not None and pending.closes:
            self._close_gracefully()
            return
        pipelined, self._pipelined = self._pipelined, b""
        if pipelined:
            if len(pipelined) > PIPELINED_MAX_BYTES:
                self.transport.resumeProducing()
            self.dataReceived(pipelined)
        if self._is_input_ended:
            self._close_if_done()

    def set_reading(self, reads: bool) -> None:
        """Resume or pause reading, while a part of a large body is stored."""
        if reads:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def response_in_parts(self, head: bytes, body: Parts | SpooledBody) -> None:
        """Write a large response; the request is pending until the last part is written."""
        self._active_s = self.factory.seconds()
        self._writes_parts = True
        self.transport.write(head)
        body.send(self, self._parts_written)

    def write(self, data: bytes) -> None:
        """Write a part of a large response; this restarts the idle timeout."""
        self._active_s = self.factory.seconds()
        super().write(data)  # type: ignore[no-untyped-call]

    def cut(self) -> None:
        """Close without the rest of a large response."""
        self.transport.abortConnection()

    def _parts_written(self) -> None:
        self._writes_parts = False
        self.response_ready(b"")

    def respond(self, response: bytes, pipelined: bytes, closes: bool) -> None:
        """Write the response to the blocking query; `pipelined`: the bytes behind it."""
        self._blocked = None
        try_write(self.transport, response)
        if closes:
            self._close_gracefully()
            return
        self._active_s = self.factory.seconds()
        self.factory.connections.record_activity(self)
        self.setTimeout(self.limits.idle_s)  # type: ignore[no-untyped-call]
        if pipelined:
            self.dataReceived(pipelined)

    def fall_back(self, data: bytes) -> None:
        """Serve the blocking query and the bytes behind it by the full path."""
        self._blocked = None
        self.setTimeout(self.limits.idle_s)  # type: ignore[no-untyped-call]
        self.parse(data)

    def _close_gracefully(self) -> None:
        self.persistent = 0
        self.transport.loseConnection()

    def timeoutConnection(self) -> None:
        """Close an idle connection.

        Responses of the cache and the fast path do not restart Twisted's timer: see here.
        """
        waits = self._pending is not None and not self._writes_parts
        limit_s = self.limits.write_s if self._writes_parts else self.limits.idle_s
        left_s = limit_s if waits else self._active_s + limit_s - self.factory.seconds()
        if left_s > 0:
            self.setTimeout(left_s)  # type: ignore[no-untyped-call]
        elif self._early is not None:
            self.setTimeout(self.limits.idle_s)  # type: ignore[no-untyped-call]
        elif self._has_part() and not self._refused and not self._handlingRequest:
            text = f"Nothing more of the request arrived within {limit_s:g} s."
            self.refuse(error_response("408 Request Timeout", text))
        else:
            super().timeoutConnection()  # type: ignore[no-untyped-call]

    def allContentReceived(self) -> None:
        """Stop the timers of the request's arrival."""
        self._stop_timer()
        timer, self._early_timer = self._early_timer, None
        if timer is not None:
            timer.cancel()
        if not self._refused:
            super().allContentReceived()  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        """Check a line of the head: size, stray CR and LF, folding."""
        if self._refused:
            return
        most = self.limits.head_bytes if hasattr(self, "_path") else min(self.limits.head_bytes, LINE_MAX_BYTES)
        if self._receivedHeaderSize + len(line) > most:
            self._headers_too_large()
        elif b"\n" in line or b"\r" in line or line[:1] in (b" ", b"\t"):  # RFC 9112, 2.2 and 5.2
            self._respondToBadRequestAndDisconnect()
        else:
            if not hasattr(self, "_path"):  # the request line: curl and others do not escape it
                # the other control characters are Twisted's to refuse
                if b"\x7f" in line or not line.partition(b" ")[0].isascii():
                    self._respondToBadRequestAndDisconnect()
                    return
                line = _NO_ASCII.sub(lambda found: b"%%%02X" % ord(found[0]), line)
            super().lineReceived(line)  # type: ignore[no-untyped-call]

    def headerReceived(self, line: bytes) -> bool:
        """Check the fields that give the length of the body (RFC 9112, 6)."""
        if self._receivedHeaderCount >= HEADERS_MAX:
            self._headers_too_large()
            return False
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t").lower()
        if name == b"transfer-encoding":
            if value != b"chunked":
                self.refuse(error_response("501 Not Implemented", "Unsupported transfer encoding"))
                return False
            is_sound = self._version == b"HTTP/1.1"
        elif name == b"content-length":
            is_sound = _LENGTH.fullmatch(value) is not None
        else:
            is_sound = _CONTROL.search(value) is None
        if not is_sound:
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))  # type: ignore[no-untyped-call]

    def rawDataReceived(self, data: bytes) -> None:
        """Ignore the rest of a refused body; refuse chunks whose end would be waited for in vain."""
        if not self._refused:
            super().rawDataReceived(data)
            decoder = self._transferDecoder
            state = getattr(decoder, "state", "")
            if self._refused or decoder is None or not state:
                return
            if state in ("CHUNK_LENGTH", "TRAILER") and b"\n" in decoder._buffer:  # it waits for a CR before it
                self._respondToBadRequestAndDisconnect()
            elif state == "BODY" and self.requests:
                self.requests[-1].chunk_begun(decoder.length)

    def _finishRequestBody(self, data: bytes) -> None:
        """Check the trailer: a next request that is taken for one would never be answered."""
        trailer = getattr(self._transferDecoder, "_trailerHeaders", ())
        if all(_FIELD.fullmatch(line) for line in trailer):
            super()._finishRequestBody(data)  # type: ignore[no-untyped-call]
        else:
            self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Twisted's own goes on parsing what follows.
        self.refuse(error_response("400 Bad Request", "400 Bad Request"))

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002
        """Refuse a line above `MAX_LENGTH`."""
        self._headers_too_large()

    def _headers_too_large(self) -> None:
        text = "431 Request Header Fields Too Large"
        self.refuse(error_response(text, text))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel the request that is served, and the timers."""
        if self._blocked is not None:
            self._blocked.cancel()
        if self._pending is not None:
            self._pending.disconnected()
        self._take_head()
        self._stop_timer()
        self._stop_early()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.factory.connections.remove(self)

    def is_idle(self) -> bool:
        """Whether no response is due (`ConnectionTable`); a request may have begun."""
        return not (
            self._handlingRequest or self._pending is not None or self._blocked is not None or self._early is not None
        )

    def evict(self) -> None:
        """Close at once: the table of connections is full."""
        close_now(self.transport)
