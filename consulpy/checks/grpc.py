"""gRPC checks: the standard health checking protocol (`grpc.health.v1.Health/Check`), over HTTP/2 by the library h2.

Target: `host:port` or `host:port/service`. The request is one small message (field 1: the service), the response
another (field 1: 1 is SERVING). Without the optional library the check is refused at registration.
"""

from typing import Any, Final
from urllib.parse import unquote

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from consulpy.checks.agenttls import OwnTls, no_tls
from consulpy.checks.dial import Dialer, DialError, finish, split_host_port
from consulpy.checks.failure import reason as reason_of
from consulpy.checks.result import CheckFailed, Result
from consulpy.codec.protobuf import text_field
from consulpy.errors import BadRequest
from consulpy.structs.check import CRITICAL, PASSING
from consulpy.structs.definition import CheckType

try:
    import h2.connection
    import h2.events
    import h2.exceptions

    HAVE_H2 = True
except ImportError:
    HAVE_H2 = False

_SERVING: Final = 1
_FRAME_HEADER_BYTES: Final = 9
#: The type, at byte 3, of a server's first frame: SETTINGS (RFC 9113, 3.4).
_SETTINGS: Final = b"\x04"
#: Names of gRPC's status codes, by number.
_CODES: Final = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
#: Largest response in bytes; a valid one has less than ten.
_RESPONSE_MAX_BYTES: Final = 65536


class GrpcProbe:
    """Calls `Check` of the server at `kind.grpc`."""

    def __init__(self, dialer: Dialer, kind: CheckType, timeout_s: float, own: OwnTls = no_tls) -> None:
        self._own = own
        if not HAVE_H2:
            raise BadRequest("Invalid check: gRPC checks need h2, which is not installed: pip install h2")
        self._dialer = dialer
        self._kind = kind
        self.timeout_s = timeout_s
        self._target, _, self._service = kind.grpc.partition("/")

    def check(self) -> None:
        """See `Probe.check`: nothing is refused in advance."""

    def run(self) -> Deferred[Result]:
        """See `Probe.run`."""
        return Deferred.fromCoroutine(self._run())

    def timed_out(self) -> Result:
        """See `Probe.timed_out`: the text of Go's gRPC client."""
        return Result(CRITICAL, "rpc error: code = DeadlineExceeded desc = context deadline exceeded")

    async def _run(self) -> Result:
        try:
            host, port = split_host_port(self._target)
            endpoint: Any = self._dialer.endpoint(host, port, self.timeout_s + 1)
            if self._kind.grpc_use_tls:
                from consulpy.checks.tls import TlsEndpoint

                verify = not self._kind.tls_skip_verify
                name = self._kind.tls_server_name
                endpoint = TlsEndpoint(endpoint, host, self._own(), verify=verify, protocols=("h2",), server_name=name)
            call: Any = await endpoint.connect(Factory.forProtocol(HealthCall))
        except DialError as error:
            text = f'connection error: desc = "transport: Error while dialing {error}"'
            raise CheckFailed(f"rpc error: code = Unavailable desc = {text}") from None
        except CheckFailed as error:
            text = f'connection error: desc = "transport: authentication handshake failed: {error}"'
            raise CheckFailed(f"rpc error: code = Unavailable desc = {text}") from None
        try:
            status = await call.start(self._target, self._service, "https" if self._kind.grpc_use_tls else "http")
        except CancelledError:
            raise
        finally:
            call.close()
        if status != _SERVING:
            raise CheckFailed("gRPC application didn't report service healthy")
        return Result(PASSING, f"gRPC check {self._kind.grpc}: success")


class HealthCall(Protocol):
    """One connection with one call."""

    def __init__(self) -> None:
        self._first = b""
        self._http2 = h2.connection.H2Connection()
        self._answer: Deferred[int] | None = None
        self._body = b""

    def start(self, authority: str, service: str, scheme: str) -> Deferred[int]:
        """Call `Check`: the serving status of `service` ("": of the whole server). Fails with `CheckFailed`."""
        assert self.transport is not None, "started after the connection was made"
        answer = self._answer = Deferred(lambda _: self.close())
        self._http2.initiate_connection()
        stream = self._http2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", scheme),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", authority),
            ("content-type", "application/grpc"),
            ("user-agent", "Consul Health Check"),
            ("te", "trailers"),
        ]
        self._http2.send_headers(stream, headers)
        self._http2.send_data(stream, _framed(_request(service)), end_stream=True)
        self.transport.write(self._http2.data_to_send())
        return answer

    def close(self) -> None:
        """Close the connection; the call has no result any more."""
        self._answer = None
        finish(self)

    def dataReceived(self, data: bytes) -> None:
        """Handle the frames of the response."""
        if len(self._first) < _FRAME_HEADER_BYTES:
            self._first += data
            if self._first[3:4] not in (b"", _SETTINGS):  # another protocol may never complete a frame
                self._fail("Unavailable", "the server does not speak HTTP/2")
                return
        try:
            events = self._http2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self._fail("Unavailable", f"no HTTP/2: {error}")
            return
        for event in events:
            self._handle(event)
        if self.transport is not None:
            self.transport.write(self._http2.data_to_send())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail the call, unless it has ended."""
        cause = reason_of(reason.value)
        self._fail("Unavailable", "connection closed" if cause == "EOF" else cause)

    def _handle(self, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            self._body += event.data
            self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if len(self._body) > _RESPONSE_MAX_BYTES:
                self._fail("ResourceExhausted", "the answer is too long")
        elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            self._check_headers({_text(key): _text(value) for key, value in event.headers})
        elif isinstance(event, h2.events.StreamEnded):
            self._succeed()
        elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
            self._fail("Unavailable", f"the server ended the stream, code {event.error_code}")

    def _check_headers(self, headers: dict[str, str]) -> None:
        status = headers.get(":status", "200")
        code = headers.get("grpc-status", "0")
        if code != "0":
            number = int(code) if code.isdecimal() and len(code) < 10 else 2
            name = _CODES[number] if number < len(_CODES) else f"Code({code})"
            self._fail(name, unquote(headers.get("grpc-message", "")))
        elif status != "200":
            self._fail("Unknown", f"the server answered HTTP {status}")

    def _succeed(self) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        try:
            answer.callback(_status(self._body))
        except ValueError as error:
            answer.errback(CheckFailed(f"rpc error: code = Internal desc = {error}"))

    def _fail(self, code: str, text: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.errback(CheckFailed(f"rpc error: code = {code} desc = {text}"))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _request(service: str) -> bytes:
    """Encode a HealthCheckRequest: field 1, string; absent when empty."""
    return text_field(1, service)


def _framed(message: bytes) -> bytes:
    """Prefix a message with gRPC's compression flag (0) and its length."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _status(body: bytes) -> int:
    """Decode a HealthCheckResponse: field 1, enum; 0 when absent. Raises ValueError."""
    if len(body) < 5 or body[0] != 0 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise ValueError("the answer is no gRPC message")
    message = body[5:]
    if not message:
        return 0
    if len(message) != 2 or message[0] != 0x08:
        raise ValueError("the answer is no HealthCheckResponse")
    return message[1]
