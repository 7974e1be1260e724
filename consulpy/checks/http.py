"""HTTP checks: 2xx passes, 429 warns, all else is critical. Redirects are followed, the connection is not kept."""

from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikeRedirectAgent,
    FileBodyProducer,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.error import InfiniteRedirection
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from consulpy.checks.agenttls import AgentTls
from consulpy.checks.dial import Dialer, abort
from consulpy.checks.result import CheckFailed, Result, Tail
from consulpy.structs.check import CRITICAL, PASSING, WARNING
from consulpy.structs.definition import CheckType

#: So many redirects are followed, as by Go.
REDIRECTS_MAX: Final = 10
_DEFAULT_HEADERS: Final = {"User-Agent": "Consul Health Check", "Accept": "text/plain, text/*, */*"}


class HttpProbe:
    """Makes the request that `kind` describes."""

    def __init__(
        self, reactor: Any, dialer: Dialer, kind: CheckType, timeout_s: float, own: AgentTls | None = None
    ) -> None:
        self._kind = kind
        self._url = kind.http
        self._method = (kind.method or "GET").upper()
        self.timeout_s = timeout_s
        endpoints = Endpoints(dialer, timeout_s + 1, verify=not kind.tls_skip_verify, own=own)
        agent = Agent.usingEndpointFactory(reactor, endpoints)
        self._agent = BrowserLikeRedirectAgent(agent, redirectLimit=REDIRECTS_MAX)

    def run(self) -> Deferred[Result]:
        """Make one request. Raises `CheckFailed` for what is no URL."""
        self.check()
        return Deferred.fromCoroutine(self._run())

    def timed_out(self) -> Result:
        """As Go's client says it."""
        return Result(
            CRITICAL,
            f'{self._verb} "{self._url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
        )

    @property
    def _verb(self) -> str:
        return self._method.capitalize()

    def check(self) -> None:
        """Raise `CheckFailed` for what is no URL."""
        try:
            parts = urlsplit(self._url)
            usable = parts.hostname and (parts.port is None or parts.port >= 0)
        except ValueError as error:
            raise CheckFailed(f'parse "{self._url}": {error}') from None
        if parts.scheme not in ("http", "https"):
            raise CheckFailed(f'{self._verb} "{self._url}": unsupported protocol scheme "{parts.scheme}"')
        if not usable:
            raise CheckFailed(f'{self._verb} "{self._url}": http: no Host in request URL')
        if parts.scheme == "https":
            need_tls()
        if not self._url.isascii() or any(character <= " " for character in self._url):
            raise CheckFailed(f'parse "{self._url}": net/url: invalid character in URL')

    def _headers(self) -> Headers:
        headers = Headers({name: [value] for name, value in _DEFAULT_HEADERS.items()})
        for name, values in (self._kind.header or {}).items():
            headers.setRawHeaders(name, list(values))
        return headers

    async def _run(self) -> Result:
        body = FileBodyProducer(Body(self._kind.body.encode())) if self._kind.body else None
        try:
            response = await self._agent.request(self._method.encode(), self._url.encode(), self._headers(), body)
            tail = await read(response, Tail(self._kind.output_max_size))
        except CancelledError:
            raise
        except Exception as error:
            raise CheckFailed(f'{self._verb} "{self._url}": {_reason(error)}') from None
        phrase = response.phrase.decode("latin-1")
        output = f"HTTP {self._method} {self._url}: {response.code} {phrase} Output: {tail.text}"
        return Result(_status(response.code), output)


def need_tls() -> None:
    """Raise `CheckFailed` if TLS is not installed."""
    if find_spec("OpenSSL") is None:
        raise CheckFailed('checks over TLS need pyOpenSSL, which is not installed: pip install "consulpy[tls]"')


def _status(code: int) -> str:
    if 200 <= code <= 299:
        return PASSING
    return WARNING if code == 429 else CRITICAL


def _reason(error: Exception) -> str:
    """What made a request fail, in Go's words where there are any."""
    if isinstance(error, ResponseFailed | ResponseNeverReceived) and error.reasons:
        inner = error.reasons[0].value
        if isinstance(inner, InfiniteRedirection):
            return f"stopped after {REDIRECTS_MAX} redirects"
        if type(inner).__module__ == "OpenSSL.SSL":
            said = ", ".join(part[-1] for part in inner.args[0]) if inner.args and inner.args[0] else "handshake failed"
            if "wrong version number" in said or "packet length" in said or "http request" in said:
                return "http: server gave HTTP response to HTTPS client"
            return f"x509: {said}"
        return "EOF" if "Connection" in type(inner).__name__ else str(inner)
    return str(error) or type(error).__name__


async def read(response: IResponse, tail: Tail) -> Tail:
    """Take the whole body of `response` into `tail`."""
    done: Deferred[None] = Deferred(lambda _: reader.stop())
    reader = _Reader(tail, done)
    response.deliverBody(reader)
    await done
    return tail


class _Reader(Protocol):
    def __init__(self, tail: Tail, done: Deferred[None]) -> None:
        self._tail = tail
        self._done: Deferred[None] | None = done

    def dataReceived(self, data: bytes) -> None:
        self._tail.write(data)

    def stop(self) -> None:
        self._done = None
        abort(self)

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: B008 - Twisted's signature
        done, self._done = self._done, None
        if done is None:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            done.callback(None)
        else:
            done.errback(reason)


class Body:
    """A body as the file that `FileBodyProducer` wants."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        end = len(self._data) if size < 0 else self._at + size
        part = self._data[self._at : end]
        self._at += len(part)
        return part

    def seek(self, at: int, whence: int = 0) -> int:
        """Go elsewhere."""
        self._at = at + (len(self._data) if whence == 2 else self._at if whence == 1 else 0)
        return self._at

    def tell(self) -> int:
        """Where we are."""
        return self._at

    def close(self) -> None:
        """Nothing is held."""


@implementer(IAgentEndpointFactory)
class Endpoints:
    """Where a URL leads, for Twisted's HTTP client. `verify`: whether a server's certificate must be good."""

    def __init__(self, dialer: Dialer, timeout_s: float, *, verify: bool, own: AgentTls | None = None) -> None:
        self._own = own
        self._dialer = dialer
        self._timeout_s = timeout_s
        self._verify = verify

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The endpoint, through TLS for https."""
        host = uri.host.decode("ascii").strip("[]")
        endpoint: IStreamClientEndpoint = self._dialer.endpoint(host, uri.port, self._timeout_s)
        if uri.scheme != b"https":
            return endpoint
        from consulpy.checks.tls import tls_for

        return wrapClientTLS(tls_for(host, self._verify, own=self._own), endpoint)
