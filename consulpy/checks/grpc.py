"""gRPC checks: the standard health checking protocol (`grpc.health.v1.Health/Check`), over HTTP/2 by the library h2.

Target: `host:port` or `host:port/service`. The request is one small message (field 1: the service), the response
another (field 1: 1 is SERVING). Without the optional library the check is refused at registration.
"""

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from consulpy.checks.agenttls import OwnTls, no_tls
from consulpy.checks.dial import Dialer, DialError, finish, split_host_port
from consulpy.checks.failure import reason as reason_of
from consulpy.checks.grpc_response import GrpcResponse, RpcFailed, stream_reset
from consulpy.checks.http2_frames import GoesAway, NotHttp2, ServerFrames
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
#: The first stream of a client.
_STREAM: Final = 1


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
            raise RpcFailed("Unavailable", text) from None
        except CheckFailed as error:
            text = f'connection error: desc = "transport: authentication handshake failed: {error}"'
            raise RpcFailed("Unavailable", text) from None
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
        self._http2 = h2.connection.H2Connection()
        self._frames = ServerFrames(_STREAM)
        self._answer: Deferred[int] | None = None
        self._response = GrpcResponse()

    def start(self, authority: str, service: str, scheme: str) -> Deferred[int]:
        """Call `Check`: the serving status of `service` ("": of the whole server). Fails with `CheckFailed`."""
        assert self.transport is not None, "started after the connection was made"
        answer = self._answer = Deferred(lambda _: self.close())
        self._http2.initiate_connection()
        headers = [
            (":method", "POST"),
            (":scheme", scheme),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", authority),
            ("content-type", "application/grpc"),
            ("user-agent", "Consul Health Check"),
            ("te", "trailers"),
        ]
        self._http2.send_headers(_STREAM, headers)
        self._http2.send_data(_STREAM, _framed(_request(service)), end_stream=True)
        self.transport.write(self._http2.data_to_send())
        return answer

    def close(self) -> None:
        """Close the connection; the call has no result any more."""
        self._answer = None
        finish(self)

    def dataReceived(self, data: bytes) -> None:
        """Handle the frames of the response."""
        try:
            for frame in self._frames.feed(data):
                for event in self._http2.receive_data(frame):
                    self._handle(event)
        except h2.exceptions.ProtocolError as error:
            self._fail(RpcFailed("Unavailable", f"no HTTP/2: {error}"))
        except GoesAway:
            self._fail(RpcFailed("Unavailable", "the connection is draining"))
        except NotHttp2 as error:
            self._fail(RpcFailed("Unavailable", str(error)))
        except CheckFailed as error:
            self._fail(error)
        if self.transport is not None:
            self.transport.write(self._http2.data_to_send())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail the call, unless it has ended."""
        cause = reason_of(reason.value)
        self._fail(RpcFailed("Unavailable", "connection closed" if cause == "EOF" else cause))

    def _handle(self, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self._response.data(event.data)
        elif isinstance(event, h2.events.ResponseReceived):
            self._response.start(_headers(event), is_all=event.stream_ended is not None)
        elif isinstance(event, h2.events.TrailersReceived):
            self._response.trailers(_headers(event))
        elif isinstance(event, h2.events.StreamEnded):
            status, answer, self._answer = self._response.end(), self._answer, None
            if answer is not None:
                answer.callback(status)
        elif isinstance(event, h2.events.StreamReset):
            raise stream_reset(event.error_code)

    def _fail(self, error: CheckFailed) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.errback(error)


def _headers(event: Any) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in event.headers}


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _request(service: str) -> bytes:
    """Encode a HealthCheckRequest: field 1, string; absent when empty."""
    return text_field(1, service)


def _framed(message: bytes) -> bytes:
    """Prefix a message with gRPC's compression flag (0) and its length."""
    return b"\x00" + len(message).to_bytes(4, "big") + message
