"""An HTTP check's request and response over HTTP/2, by the library h2, in the form of `http_response` for HTTP/1.1.

Go's client speaks HTTP/2 with every server that offers it in TLS (ALPN); some servers speak nothing else there.
"""

from http import HTTPStatus
from typing import Any, Final

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from consulpy.checks.http2_frames import GoesAway, ServerFrames
from consulpy.checks.http_request import HttpRequest
from consulpy.checks.http_response import Body, HttpResponse
from consulpy.checks.result import CheckFailed

#: The first stream of a client.
_STREAM: Final = 1
#: No other streams are wanted from the server.
_SETTINGS: Final = {h2.settings.SettingCodes.ENABLE_PUSH: 0}
#: Fields of the connection, which HTTP/2 does not have (RFC 9113, 8.2.2).
_OF_CONNECTION: Final = frozenset(
    ("host", "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te")
)


class Http2Parser:
    """Sends `request` and parses the response; the interface of `ResponseParser`."""

    def __init__(self, request: HttpRequest) -> None:
        self._http2 = h2.connection.H2Connection()
        self._http2.local_settings = h2.settings.Settings(initial_values=_SETTINGS)
        self._frames = ServerFrames(_STREAM)
        self._http2.initiate_connection()
        fields = list(request.fields())
        pseudo = [
            (":authority", next(value for name, value in fields if name == "Host")),
            (":method", request.method),
            (":path", request.url.target),
            (":scheme", request.url.scheme),
        ]
        others = [(name.lower(), value) for name, value in fields if name.lower() not in _OF_CONNECTION]
        self._unsent = request.encoded_body
        self._http2.send_headers(_STREAM, pseudo + others, end_stream=not self._unsent)
        self._send_body()
        self._body = Http2Body(self)
        self.response: HttpResponse | None = None
        self.rest = b""

    def data_to_send(self) -> bytes:
        """The bytes for the server."""
        data: bytes = self._http2.data_to_send()
        return data

    def feed(self, data: bytes) -> None:
        """Parse the next bytes. Raises `CheckFailed`; behind the head an error ends the body."""
        try:
            self._feed(data)
        except CheckFailed:
            if self.response is None:
                raise
            self._body.is_whole = True

    def _feed(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                for event in self._http2.receive_data(frame):
                    self._handle(event)
        except h2.exceptions.ProtocolError as error:
            raise CheckFailed(f"http2: {error}") from None
        except GoesAway as error:
            where = f"LastStreamID={error.last}, ErrCode={_name(error.code)}"
            raise CheckFailed(f"http2: server sent GOAWAY and closed the connection; {where}") from None

    def end(self) -> None:
        """The connection ended before the response. Raises `CheckFailed`."""
        raise CheckFailed("unexpected EOF")

    def _handle(self, event: Any) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            fields = [(_bytes(name), _bytes(value)) for name, value in event.headers]
            number = dict(fields).get(b":status", b"")
            if not number.isdigit() or len(number) > 3:
                raise CheckFailed("malformed response from server: malformed non-numeric status pseudo header")
            code = int(number)
            phrase = next((each.phrase for each in HTTPStatus if each == code), "")
            self.response = HttpResponse(code, f"{code} {phrase}", fields, self._body)
        elif isinstance(event, h2.events.DataReceived):
            self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self._body.received += event.data
        elif isinstance(event, h2.events.StreamEnded):
            self._body.is_whole = True
        elif isinstance(event, h2.events.WindowUpdated):
            self._send_body()
        elif isinstance(event, h2.events.StreamReset):
            raise CheckFailed(f"stream error: stream ID {_STREAM}; {_name(event.error_code)}")

    def _send_body(self) -> None:
        """Send as much of the request's body as the server's windows take."""
        while self._unsent:
            size = min(self._http2.local_flow_control_window(_STREAM), self._http2.max_outbound_frame_size)
            if size <= 0:
                return
            part, self._unsent = self._unsent[:size], self._unsent[size:]
            self._http2.send_data(_STREAM, part, end_stream=not self._unsent)


class Http2Body(Body):
    """The body of a response."""

    def __init__(self, parser: Http2Parser) -> None:
        super().__init__(None)
        self._parser = parser
        #: Bytes that were not taken yet, and whether they are the last ones.
        self.received = b""
        self.is_whole = False

    def decode(self, data: bytes) -> bytes:
        """See `Body.decode`. `data`: frames."""
        self._parser.feed(data)
        part, self.received = self.received, b""
        self.is_complete = self.is_whole
        return part


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _name(code: int) -> str:
    return h2.errors.ErrorCodes(code).name if code in set(h2.errors.ErrorCodes) else str(code)
