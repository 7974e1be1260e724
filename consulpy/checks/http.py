"""HTTP checks: 2xx is passing, 429 warning, else critical. Redirects are followed unless they are disabled, connections
are not reused.
"""

from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, FileBodyProducer, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from consulpy.checks.agenttls import AgentTls
from consulpy.checks.dial import Dialer, abort, silence
from consulpy.checks.failure import NOT_TLS, reason
from consulpy.checks.http_body import BodyTail
from consulpy.checks.http_request import HttpRequest
from consulpy.checks.result import CheckFailed, Result, Tail
from consulpy.codec.secrets import url_without_password
from consulpy.filter.literals import quoted
from consulpy.structs.check import CRITICAL, PASSING, WARNING
from consulpy.structs.definition import CheckType

#: Requests of one run: the first and its redirects, as in Go.
REQUESTS_MAX: Final = 10
_BROKEN: Final = "net/http: HTTP/1.x transport connection broken: "
#: Valid status codes: three digits.
_CODES: Final = range(100, 1000)


class HttpProbe:
    """Sends the request that `kind` describes."""

    def __init__(
        self, reactor: Any, dialer: Dialer, kind: CheckType, timeout_s: float, own: AgentTls | None = None
    ) -> None:
        self._reactor = reactor
        self._dialer = dialer
        self._own = own
        self._kind = kind
        self.timeout_s = timeout_s
        #: The response whose body is being read, and its output so far.
        self._reading: tuple[IResponse, Tail] | None = None
        self._connection = SingleEndpoint(None)

    def check(self) -> None:
        """See `Probe.check`: nothing is refused in advance."""

    def run(self) -> Deferred[Result]:
        """See `Probe.run`: the request and its redirects."""
        self._reading = None
        return Deferred.fromCoroutine(self._run())

    def timed_out(self) -> Result:
        """See `Probe.timed_out`: the text of Go's client; a response whose body does not end counts by its status."""
        if self._reading is not None:
            return self._result(*self._reading)
        try:
            shown = HttpRequest.of(self._kind).shown
        except CheckFailed as error:
            return error.result()
        return Result(CRITICAL, f"{shown}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)")

    async def _run(self) -> Result:
        request = HttpRequest.of(self._kind)
        for _ in range(REQUESTS_MAX):
            try:
                request.check()
                response = await self._send(request)
                if response.code not in _CODES:
                    raise CheckFailed(f"{_BROKEN}malformed HTTP status code {quoted(str(response.code))}")
                location = response.headers.getRawHeaders(b"location", [b""])[0].decode("latin-1")
                following = None if self._kind.disable_redirects else request.redirected(response.code, location)
            except CancelledError:
                raise
            except Exception as error:
                self._connection.abort()
                raise CheckFailed(f"{request.shown}: {_reason(error)}") from None
            if following is None:
                return await self._read(request, response)
            self._connection.abort()
            request = following
        verb = request.shown.partition(" ")[0]
        raise CheckFailed(f"{verb} {quoted(location)}: stopped after {REQUESTS_MAX} redirects")

    async def _send(self, request: HttpRequest) -> IResponse:
        headers = Headers()
        for name, value in request.fields():
            headers.addRawHeader(name.encode(), value.encode("utf-8", "replace"))
        body = FileBodyProducer(BytesIO(request.body.encode("utf-8", "replace"))) if request.body else None
        self._connection = SingleEndpoint(self._endpoint(request))
        agent = Agent.usingEndpointFactory(self._reactor, self._connection)
        # the endpoint decides where to connect, and `fields()` has the Host header
        uri = b"http://check" + request.url.target.encode()
        response: IResponse = await agent.request(request.method.encode(), uri, headers, body)
        return response

    def _endpoint(self, request: HttpRequest) -> IStreamClientEndpoint:
        host, port = request.url.address
        endpoint: IStreamClientEndpoint = self._dialer.endpoint(host, port, self.timeout_s + 1)
        if request.url.scheme != "https":
            return endpoint
        from consulpy.checks.tls import TlsEndpoint

        verify, name = not self._kind.tls_skip_verify, self._kind.tls_server_name
        return TlsEndpoint(endpoint, host, self._own, verify=verify, server_name=name)

    async def _read(self, request: HttpRequest, response: IResponse) -> Result:
        tail = Tail(self._kind.output_max_size)
        self._reading = response, tail
        encoding = response.headers.getRawHeaders(b"content-encoding", [b""])[0].lower()
        await read(response, self._connection, BodyTail(tail, gzip=request.may_be_compressed and encoding == b"gzip"))
        return self._result(response, tail)

    def _result(self, response: IResponse, tail: Tail) -> Result:
        phrase = response.phrase.decode("utf-8", "replace")
        method = self._kind.method or "GET"
        url = url_without_password(self._kind.http)  # the output is in the catalog
        output = f"HTTP {method} {url}: {response.code} {phrase} Output: {tail.text}"
        return Result(_status(response.code), output)


def _status(code: int) -> str:
    if 200 <= code <= 299:
        return PASSING
    return WARNING if code == 429 else CRITICAL


def _reason(error: BaseException) -> str:
    """The cause of a failed request, as Go prints it."""
    reasons = getattr(error, "reasons", None)  # of Twisted's ResponseFailed and similar errors
    inner = reasons[0].value if reasons else error
    name = type(inner).__name__
    if name == "ParseError":
        line = inner.args[1].decode("utf-8", "replace") if len(inner.args) > 1 else ""
        parts = line.split(" ")
        if len(parts) > 1:
            return f"{_BROKEN}malformed HTTP status code {quoted(parts[1])}"
        return f"{_BROKEN}malformed HTTP response {quoted(line)}"
    if isinstance(inner, ValueError) and not isinstance(inner, UnicodeError):
        return f"{_BROKEN}malformed MIME header"
    text = reason(inner)
    return "http: server gave HTTP response to HTTPS client" if text == NOT_TLS else text


async def read(response: IResponse, connection: "SingleEndpoint", body: BodyTail) -> None:
    """Read the body of `response` into `body`, up to its end, its limit or an error; an error is ignored."""
    done: Deferred[None] = Deferred(lambda _: connection.abort())
    response.deliverBody(_Reader(body, connection, done))
    await done


class _Reader(Protocol):
    def __init__(self, body: BodyTail, connection: "SingleEndpoint", done: Deferred[None]) -> None:
        self._body = body
        self._connection = connection
        self._done = done

    def dataReceived(self, data: bytes) -> None:
        if not self._done.called and not self._body.write(data):
            self._done.callback(None)
            self._connection.abort()

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: ARG002,B008 - Twisted's
        if not self._done.called:
            self._done.callback(None)


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class SingleEndpoint:
    """An endpoint factory for Twisted's HTTP client that always returns one endpoint; for one connection."""

    def __init__(self, endpoint: IStreamClientEndpoint | None) -> None:
        self._endpoint = endpoint
        self._protocol: Any = None

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: ARG002 - Twisted's interface
        """See `IAgentEndpointFactory`."""
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See `IStreamClientEndpoint`."""
        assert self._endpoint is not None
        silence(protocolFactory)
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting.addCallback(self._connected)

    def _connected(self, protocol: IProtocol) -> IProtocol:
        self._protocol = protocol
        return protocol

    def abort(self) -> None:
        """Reset the connection, if there is one."""
        if self._protocol is not None:
            abort(self._protocol)
