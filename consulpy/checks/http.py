"""HTTP checks: 2xx is passing, 429 warning, else critical. Redirects are followed unless they are disabled, connections
are not reused.
"""

from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory

from consulpy.checks.agenttls import OwnTls, no_tls
from consulpy.checks.dial import Dialer
from consulpy.checks.failure import reason
from consulpy.checks.http_body import BodyTail
from consulpy.checks.http_exchange import HTTP2, HttpExchange
from consulpy.checks.http_request import HttpRequest
from consulpy.checks.http_response import HttpResponse
from consulpy.checks.proxy_environment import Proxies
from consulpy.checks.result import CheckFailed, Result, Tail
from consulpy.codec.secrets import url_without_password
from consulpy.gocompat.literals import quoted
from consulpy.structs.check import CRITICAL, PASSING, WARNING
from consulpy.structs.definition import CheckType

NO_PROXIES: Final = Proxies()
#: Requests of one run: the first and its redirects, as in Go.
REQUESTS_MAX: Final = 10


class HttpProbe:
    """Sends the request that `kind` describes."""

    def __init__(
        self,
        reactor: Any,
        dialer: Dialer,
        kind: CheckType,
        timeout_s: float,
        own: OwnTls = no_tls,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        self._reactor = reactor
        self._dialer = dialer
        self._own = own
        self._proxies = proxies
        self._kind = kind
        self.timeout_s = timeout_s
        #: The request under way.
        self._request: HttpRequest
        #: The response whose body is being read, and its output so far.
        self._reading: tuple[HttpResponse, Tail] | None = None

    def check(self) -> None:
        """See `Probe.check`: nothing is refused in advance."""

    def run(self) -> Deferred[Result]:
        """See `Probe.run`: the request and its redirects. Raises `CheckFailed` for an invalid method or URL."""
        self._reading = None
        self._request = HttpRequest.of(self._kind)
        return Deferred.fromCoroutine(self._run(self._request))

    def timed_out(self) -> Result:
        """See `Probe.timed_out`: the text of Go's client; a response whose body does not end counts by its status."""
        if self._reading is not None:
            return self._result(*self._reading)
        text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Result(CRITICAL, f"{self._request.shown}: {text}")

    async def _run(self, request: HttpRequest) -> Result:
        for _ in range(REQUESTS_MAX):
            request = self._request = replace(request, proxy=self._proxies.of_url(request.url))
            exchange = HttpExchange(request, self._reactor)
            try:
                request.check()
                response = await self._send(request, exchange)
                location = response.field(b"location").decode("utf-8", "surrogateescape")
                following = None if self._kind.disable_redirects else request.redirected(response.code, location)
            except CancelledError:
                raise
            except Exception as error:
                exchange.finish()
                raise CheckFailed(f"{request.shown}: {reason(error)}") from None
            if following is None:
                return await self._read(request, response, exchange)
            exchange.finish()
            request = following
        verb = request.shown.partition(" ")[0]
        raise CheckFailed(f"{verb} {quoted(location)}: stopped after {REQUESTS_MAX} redirects")

    async def _send(self, request: HttpRequest, exchange: HttpExchange) -> HttpResponse:
        await self._endpoint(request).connect(Factory.forProtocol(lambda: exchange))
        return await exchange.head

    def _endpoint(self, request: HttpRequest) -> IStreamClientEndpoint:
        host, port = request.url.address
        where = request.url if request.proxy is None else request.proxy
        endpoint: IStreamClientEndpoint = self._dialer.endpoint(*where.address, self.timeout_s + 1)
        if request.url.scheme != "https":
            return endpoint
        if request.proxy is not None:
            from consulpy.checks.tunnel import TunnelEndpoint

            endpoint = TunnelEndpoint(endpoint, host, port, request.proxy)
        from consulpy.checks.tls import TlsEndpoint

        verify, name = not self._kind.tls_skip_verify, self._kind.tls_server_name
        return TlsEndpoint(endpoint, host, self._own(), verify=verify, server_name=name, protocols=(HTTP2, "http/1.1"))

    async def _read(self, request: HttpRequest, response: HttpResponse, exchange: HttpExchange) -> Result:
        tail = Tail(self._kind.output_max_size)
        self._reading = response, tail
        is_compressed = request.may_be_compressed and response.field(b"content-encoding").lower() == b"gzip"
        await exchange.read(BodyTail(tail, gzip=is_compressed).write)
        return self._result(response, tail)

    def _result(self, response: HttpResponse, tail: Tail) -> Result:
        method = self._kind.method or "GET"
        url = url_without_password(self._kind.http)  # the output is in the catalog
        return Result(_status(response.code), f"HTTP {method} {url}: {response.status} Output: {tail.text}")


def _status(code: int) -> str:
    if 200 <= code <= 299:
        return PASSING
    return WARNING if code == 429 else CRITICAL
