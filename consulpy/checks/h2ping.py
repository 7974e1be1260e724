"""HTTP/2 ping checks: passing if a PING frame is acknowledged (RFC 9113 6.7; Consul 1.10). Over TLS by default.

Target: `host:port`. Without the optional library h2 the check is refused at registration.
"""

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from consulpy.checks.agenttls import OwnTls, no_tls
from consulpy.checks.dial import Dialer, finish, split_host_port
from consulpy.checks.failure import reason as reason_of
from consulpy.checks.result import CheckFailed, Result
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

_DATA: Final = b"consulpy"
#: The whole frame of its acknowledgement: length 8, PING, ACK, stream 0 (RFC 9113, 6.7).
_ACKNOWLEDGED: Final = b"\x00\x00\x08\x06\x01\x00\x00\x00\x00" + _DATA
_FRAME_HEADER_BYTES: Final = 9
#: The type, at byte 3, of a server's first frame: SETTINGS (RFC 9113, 3.4).
_SETTINGS: Final = b"\x04"


class H2PingProbe:
    """Pings the server at `kind.h2ping`."""

    def __init__(self, dialer: Dialer, kind: CheckType, timeout_s: float, own: OwnTls = no_tls) -> None:
        if not HAVE_H2:
            raise BadRequest("Invalid check: H2PING checks need h2, which is not installed: pip install h2")
        self._dialer = dialer
        self._kind = kind
        self._own = own
        self.timeout_s = timeout_s

    def check(self) -> None:
        """See `Probe.check`: nothing is refused in advance."""

    def run(self) -> Deferred[Result]:
        """See `Probe.run`. Raises `DialError` for an invalid address."""
        host, port = split_host_port(self._kind.h2ping)
        return Deferred.fromCoroutine(self._run(host, port))

    def timed_out(self) -> Result:
        """See `Probe.timed_out`."""
        return Result(CRITICAL, f"Failed to ping {self._kind.h2ping}: no answer within {self.timeout_s:g}s")

    async def _run(self, host: str, port: str) -> Result:
        endpoint: Any = self._dialer.endpoint(host, port, self.timeout_s + 1)
        if self._kind.h2ping_use_tls:
            from consulpy.checks.tls import TlsEndpoint

            verify, name = not self._kind.tls_skip_verify, self._kind.tls_server_name
            endpoint = TlsEndpoint(endpoint, host, self._own(), verify=verify, protocols=("h2",), server_name=name)
        try:
            ping: Any = await endpoint.connect(Factory.forProtocol(Ping))
        except CheckFailed as error:
            raise CheckFailed(f"Failed to dial to {self._kind.h2ping}: {error}") from None
        try:
            await ping.start()
        except CancelledError:
            raise
        except CheckFailed as error:
            raise CheckFailed(f"Failed to ping {self._kind.h2ping}: {error}") from None
        finally:
            finish(ping)
        return Result(PASSING, "HTTP2 ping was successful")


class Ping(Protocol):
    """One connection with one ping."""

    def __init__(self) -> None:
        self._first = b""
        self._http2 = h2.connection.H2Connection()
        self._answer: Deferred[None] | None = None
        #: The last bytes, shorter than an acknowledgement.
        self._tail = b""
        #: Whether the server has announced that it goes away; it may still acknowledge.
        self._goes_away = False

    def start(self) -> Deferred[None]:
        """Ping; fires when it is acknowledged. Fails with `CheckFailed`."""
        assert self.transport is not None, "started after the connection was made"
        answer: Deferred[None] = Deferred(self._cancelled)
        self._answer = answer
        self._http2.initiate_connection()
        self._http2.ping(_DATA)
        self.transport.write(self._http2.data_to_send())
        return answer

    def _cancelled(self, _answer: "Deferred[None]") -> None:
        self._answer = None  # the end of the connection is no news any more
        finish(self)

    def dataReceived(self, data: bytes) -> None:
        """Handle the server's frames."""
        if len(self._first) < _FRAME_HEADER_BYTES:
            self._first += data
            if self._first[3:4] not in (b"", _SETTINGS):  # another protocol may never complete a frame
                self._fail("the server does not speak HTTP/2")
                return
        self._tail += data
        if _ACKNOWLEDGED in self._tail:
            answer, self._answer = self._answer, None
            if answer is not None:
                answer.callback(None)
            return
        self._tail = self._tail[1 - len(_ACKNOWLEDGED) :]
        if self._goes_away:
            return
        try:
            events = self._http2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self._fail(f"no HTTP/2: {error}")
            return
        for event in events:
            if isinstance(event, h2.events.ConnectionTerminated):
                self._goes_away = event.error_code == 0
                if not self._goes_away:
                    self._fail(f"the server ended the connection, code {event.error_code}")
        if self.transport is not None:
            self.transport.write(self._http2.data_to_send())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail the ping, unless it is over."""
        cause = reason_of(reason.value)
        self._fail("connection closed" if cause == "EOF" else cause)

    def _fail(self, why: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.errback(CheckFailed(why))
