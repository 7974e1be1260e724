"""One connection of the HTTP API: its requests are answered from kept bytes, in groups, the short way, or by Twisted.

Each limit has a name: size of headers and body, time that a request may take to arrive, idle time. A client that breaks
one is told which and cut off; nothing of it reaches a route.
"""

import re
from time import time  # noqa: TID251 - an answer has the date of the wall clock, as Twisted writes it
from typing import Any, Final

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from consulpy.connections import close_now
from consulpy.http import lane
from consulpy.http.accepting import send
from consulpy.http.kept import Recording, Tee
from consulpy.http.large import Parts, Producer
from consulpy.http.maywait import BEHIND_MAX_BYTES, MayWait
from consulpy.http.refusing import HEADERS_MAX_BYTES, refusal

#: A client that says nothing for this long is cut off, unless it waits for an answer.
IDLE_TIMEOUT_S: Final = 60.0
#: The time from the first byte of a request to its last.
REQUEST_TIMEOUT_S: Final = 120.0
#: How long a head is kept whose body is on its way; then Twisted goes on, with its own limits.
BODY_WITHIN_S: Final = 1.0
#: Kept answers that are written at once; after that the slow way goes on, which waits for who doesn't read.
BATCH_MAX_BYTES: Final = 256 * 1024
#: More digits are no length of anything.
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
#: How long a refused client may go on sending, so that it reads why before the connection breaks.
LINGER_S: Final = 0.5
#: Bytes that a request line has only escaped.
_NO_ASCII: Final = re.compile(rb"[\x80-\xff]")


class Channel(MayWait, HTTPChannel):
    """One connection of one client."""

    MAX_LENGTH = HEADERS_MAX_BYTES
    totalHeadersSize = HEADERS_MAX_BYTES  # noqa: N815 - Twisted's names here and below

    _refused = False
    _arrival: Any = None
    #: A request that took the short way and is not answered yet.
    _plain: lane.PlainRequest | None = None
    #: Whether its answer is large, and on its way.
    _sends_parts = False
    #: A head whose body is on its way, and until when it is kept.
    _head = b""
    _head_timer: Any = None
    #: Who asks.
    peer: Any = None
    #: When a kept answer was sent last.
    _hit_s = -IDLE_TIMEOUT_S

    def requestFactory(self, *arguments: Any) -> Any:  # type: ignore[override]
        """Twisted calls this for a request that goes the plain way."""
        from consulpy.http.request import ApiRequest  # it loads twisted.web.server, a twentieth of the memory at rest

        return ApiRequest(*arguments)  # type: ignore[no-untyped-call]

    def connectionMade(self) -> None:
        """Twisted calls this."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.peer = self.transport.getPeer()

    def dataReceived(self, data: bytes) -> None:
        """Bytes of a request, or of several."""
        self.factory.connections.touch(self)
        if self._refused or self._held_back(data):
            return
        if self._plain is not None:
            self._behind += data
            if len(self._behind) > BEHIND_MAX_BYTES:
                self.transport.pauseProducing()
            return
        if self._head:
            data = self._take_head() + data
        if data.startswith(b"GET /v1/") and self.factory.kept is not None and self._is_idle():
            data = self._answer_kept(data)
            if not data or self._waits(data):
                return
        if data.startswith(lane.BEGINS) and self.factory.lane is not None and self._is_idle():
            self._plain = lane.plain_request(data)
            if self._plain is not None:
                self._plain.begin(self, self.factory.lane)
                return
            if lane.awaits_body(data):
                self._head = data
                self._head_timer = self.callLater(BODY_WITHIN_S, self._body_is_late)  # type: ignore[no-untyped-call]
                return
        self._parse(data)

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        timer, self._head_timer = self._head_timer, None
        if timer is not None and timer.active():
            timer.cancel()
        return head

    def _body_is_late(self) -> None:
        self._parse(self._take_head())

    def _parse(self, data: bytes) -> None:
        """Have Twisted read a request, or part of one."""
        self._read(data)
        if not self._refused and not self._handlingRequest and self._arrival is None and self._has_part():
            self._arrival = self.callLater(REQUEST_TIMEOUT_S, self._too_slow)  # type: ignore[no-untyped-call]

    def _read(self, data: bytes) -> None:
        HTTPChannel.dataReceived(self, data)
        if not self._refused and self.line_mode and b"\n" in self._buffer:  # without \r: no line would ever be whole
            self._respondToBadRequestAndDisconnect()

    def _is_idle(self) -> bool:
        busy = self._handlingRequest or self._arrival is not None
        return bool(not busy and self.persistent and not self._has_part())

    def _waits(self, head: bytes) -> bool:
        if not super()._waits(head):
            return False
        self.setTimeout(None)  # type: ignore[no-untyped-call]
        return True

    def answered(self, answer: bytes) -> None:
        """The answer to a request that took the short way."""
        plain, self._plain = self._plain, None
        self._hit_s = self.factory.seconds()
        self.factory.connections.touch(self)
        send(self.transport, answer)
        if plain is not None and plain.closes:
            self._end()
            return
        behind = self._take_behind()
        if behind:
            if len(behind) > BEHIND_MAX_BYTES:
                self.transport.resumeProducing()
            self.dataReceived(behind)

    def answered_in_parts(self, head: bytes, body: Parts) -> None:
        """The same for a large answer. Until the last part is written the request is under way."""
        self._hit_s = self.factory.seconds()
        self._sends_parts = True
        self.transport.write(head)
        Producer(body, self, self._sent).start()

    def write(self, data: bytes) -> None:
        """What a producer of ours writes: each part is a sign of life of the client that took those before."""
        self._hit_s = self.factory.seconds()
        super().write(data)  # type: ignore[no-untyped-call]

    def _sent(self) -> None:
        self._sends_parts = False
        self.answered(b"")

    def _end(self) -> None:
        self.persistent = 0
        self.transport.loseConnection()

    def _rest(self) -> None:
        self._hit_s = self.factory.seconds()
        self.factory.connections.touch(self)
        self.setTimeout(IDLE_TIMEOUT_S)  # type: ignore[no-untyped-call]

    def _go_plain(self, data: bytes) -> None:
        self.setTimeout(IDLE_TIMEOUT_S)  # type: ignore[no-untyped-call]
        self._read(data)

    def _answer_kept(self, data: bytes) -> bytes:
        """Answer the requests at the beginning of `data` whose answers are kept; what is left for the slow way."""
        kept, seconds = self.factory.kept, self.factory.seconds
        began_s = seconds()
        second, answers, left, closes = int(time()), [], data, False
        size = 0
        while left and size < BATCH_MAX_BYTES:
            end = left.find(b"\r\n\r\n") + 4
            if end < 4:
                break
            head = left if end == len(left) else left[:end]
            entry = kept.find(head)
            if entry is None:
                break
            answers.append(entry.at(second))
            size += len(entry.answer)
            tally = entry.tally
            tally[0] += 1
            tally[1] += 1000 * (seconds() - began_s)
            left, closes = left[end:], entry.closes
            if closes:
                left = b""
        if answers:
            self._hit_s = seconds()
            send(self.transport, b"".join(answers) if len(answers) > 1 else answers[0])
            if closes:
                self._end()
        if left.find(b"\r\n\r\n") + 4 != len(left):
            return left
        recording = kept.record(left)
        if recording is None:
            return left
        self._record(recording)
        return b""

    def _record(self, recording: Recording) -> None:
        """Answer a request, the short way if it may, and keep what was written."""
        transport = self.transport
        self.transport = tee = Tee(transport)
        try:
            self._plain = lane.plain_request(recording.head) if self.factory.lane is not None else None
            if self._plain is not None:
                self._plain.begin(self, self.factory.lane)
            else:
                HTTPChannel.dataReceived(self, recording.head)
        finally:
            self.transport = transport
            whole = not self.requests and self._plain is None and not self._refused
            self.factory.kept.end(recording, tee.written if whole else b"")

    def timeoutConnection(self) -> None:
        """Nothing came for a while, unless it was answered without touching the timer."""
        waits = self._plain is not None and not self._sends_parts
        left_s = IDLE_TIMEOUT_S if waits else self._hit_s + IDLE_TIMEOUT_S - self.factory.seconds()
        if left_s > 0:
            self.setTimeout(left_s)  # type: ignore[no-untyped-call]
        elif self._has_part() and not self._refused and not self._handlingRequest:
            text = f"Nothing more of the request arrived within {IDLE_TIMEOUT_S:g} s."
            self.refuse(refusal("408 Request Timeout", text))
        else:
            super().timeoutConnection()  # type: ignore[no-untyped-call]

    def _has_part(self) -> bool:
        """Whether a request has begun and is not whole."""
        return bool(self._receivedHeaderSize or self._buffer or self.requests)

    def allContentReceived(self) -> None:
        """A request is whole."""
        self._stop_timer()
        if not self._refused:
            super().allContentReceived()  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        """A line of the head."""
        if self._refused:
            return
        if self._receivedHeaderSize + len(line) > HEADERS_MAX_BYTES:
            self._headers_too_large()
        elif b"\n" in line or b"\r" in line or line[:1] in (b" ", b"\t"):  # RFC 9112, 2.2 and 5.2
            self._respondToBadRequestAndDisconnect()
        else:
            if not line.isascii() and not hasattr(self, "_path"):  # a first line, which curl and others do not escape
                line = _NO_ASCII.sub(lambda found: b"%%%02X" % ord(found[0]), line)
            super().lineReceived(line)  # type: ignore[no-untyped-call]

    def headerReceived(self, line: bytes) -> bool:
        """A header field: how long the body is must be said once, and plainly (RFC 9112, 6)."""
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t").lower()
        if name == b"transfer-encoding":
            if value != b"chunked":
                self.refuse(refusal("501 Not Implemented", "Unsupported transfer encoding"))
                return False
            is_sound = self._version == b"HTTP/1.1"
        else:
            is_sound = name != b"content-length" or _LENGTH.fullmatch(value) is not None
        if not is_sound:
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))  # type: ignore[no-untyped-call]

    def rawDataReceived(self, data: bytes) -> None:
        """A part of a body, or of the next request."""
        if not self._refused:
            super().rawDataReceived(data)

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Twisted's own goes on parsing what follows.
        self.refuse(refusal("400 Bad Request", "400 Bad Request"))

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002
        """A line without an end."""
        self._headers_too_large()

    def _headers_too_large(self) -> None:
        text = "431 Request Header Fields Too Large"
        self.refuse(refusal(text, text))

    def _too_slow(self) -> None:
        self._arrival = None
        self.refuse(refusal("408 Request Timeout", f"The request took more than {REQUEST_TIMEOUT_S:g} s to arrive."))

    def refuse(self, answer: bytes) -> None:
        """Send `answer`, read nothing more, and close."""
        if self._refused:
            return
        self._refused = True
        self._stop_timer()
        self.transport.write(answer)
        half_close = getattr(self.transport, "loseWriteConnection", None)
        if half_close is not None:
            half_close()
        self._abortingCall = self.callLater(LINGER_S, self._close)  # type: ignore[no-untyped-call]

    def _close(self) -> None:
        self._abortingCall = None
        self.transport.abortConnection()

    def _stop_timer(self) -> None:
        timer, self._arrival = self._arrival, None
        if timer is not None:
            timer.cancel()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._leave()
        if self._plain is not None:
            self._plain.leave()
        self._take_head()
        self._stop_timer()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.factory.connections.leave(self)

    def is_idle(self) -> bool:
        """Whether no answer is waited for (`ConnectionTable`): a request may have begun."""
        return not (self._handlingRequest or self._plain is not None or self._waiting is not None)

    def evict(self) -> None:
        """Others need the place."""
        close_now(self.transport)
