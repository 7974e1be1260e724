"""The HTTP API of the agent as a proxy uses it: without blocking, with the token and the TLS of the command line."""

import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed  # noqa: A004 - Twisted's
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IConsumer, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool, PartialDownloadError, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from consulpy.backoff import backoff_s
from consulpy.client.settings import ClientSettings
from consulpy.client.tls import client_context
from consulpy.errors import ConsulpyError
from consulpy.proxy.dial import endpoint_of
from consulpy.proxy.settings import split_address
from consulpy.tls.transport import TlsProtocol

_log = Logger()

#: How long one blocking query waits at the agent, and how much longer than that its answer may take, in seconds.
WAIT_S: Final = 300
ANSWER_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 10.0
#: Pauses after failures: the first, which doubles, and the longest, in seconds.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
#: The shortest time between two results of a watch, in seconds.
PAUSE_S: Final = 0.05
_NOWHERE: Final = IPv4Address("TCP", "", 0)


class ApiError(ConsulpyError):
    """A request failed. `status`: of the response; 0: there was none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """The decoded JSON of a response, and its index or hash for a blocking query."""

    json: Any
    index: int = 0
    content_hash: str = ""


class AgentApi:
    """Requests to one agent. Its methods fail with `ApiError`."""

    def __init__(self, reactor: Any, settings: ClientSettings, datacenter: str = "") -> None:
        self._reactor = reactor
        self._settings = settings
        self._datacenter = datacenter
        pool = HTTPConnectionPool(reactor, persistent=True)
        pool.maxPersistentPerHost = 8
        pool.retryAutomatically = True
        self._agent = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, settings), pool)

    async def get(self, path: str, params: Mapping[str, Any], timeout_s: float = ANSWER_S) -> Reply:
        """GET."""
        return await self._request("GET", path, params, None, timeout_s)

    async def put(self, path: str, body: Any = None) -> Reply:
        """PUT."""
        return await self._request("PUT", path, {}, body, ANSWER_S)

    async def post(self, path: str, body: Any) -> Reply:
        """POST."""
        return await self._request("POST", path, {}, body, ANSWER_S)

    @property
    def datacenter(self) -> dict[str, str]:
        """The parameter that names the datacenter of the command line, if there is one."""
        return {"dc": self._datacenter} if self._datacenter else {}

    async def _request(self, method: str, path: str, params: Mapping[str, Any], body: Any, timeout_s: float) -> Reply:
        query = urlencode([(name, str(value)) for name, value in params.items() if value is not None])
        target = f"{path}?{query}" if query else path
        headers = Headers({"User-Agent": ["consulpy"]})
        if self._settings.token:
            headers.addRawHeader("X-Consul-Token", self._settings.token)
        if self._settings.basic_auth:
            encoded = base64.b64encode(self._settings.basic_auth.encode()).decode()
            headers.addRawHeader("Authorization", f"Basic {encoded}")
        producer = _Body(orjson.dumps(body)) if body is not None else None
        exchange = Deferred.fromCoroutine(self._exchange(method, target, headers, producer))
        exchange.addTimeout(timeout_s, self._reactor)
        try:
            return await exchange
        except (ApiError, CancelledError):
            raise
        except Exception as error:
            reasons = getattr(error, "reasons", None)  # of Twisted's ResponseFailed
            inner = reasons[0].value if reasons else error
            is_late = isinstance(inner, CancelledError | TimeoutError)
            text = "no answer in time" if is_late else str(inner) or type(inner).__name__
            raise ApiError(f'{method.capitalize()} "{self._settings.url}{path}": {text}') from None

    async def _exchange(self, method: str, target: str, headers: Headers, producer: Any) -> Reply:
        uri = f"http://agent{target}"  # the endpoint decides where to connect
        response: Any = await self._agent.request(method.encode(), uri.encode(), headers, producer)
        try:
            data: bytes = await readBody(response)
        except PartialDownloadError as partial:
            data = partial.response or b""
        if response.code != 200:
            raise ApiError(
                f"Unexpected response code: {response.code} ({data.decode(errors='replace')})", response.code
            )
        index = response.headers.getRawHeaders("x-consul-index", ["0"])[0]
        try:
            json = orjson.loads(data) if data.strip() else None
        except orjson.JSONDecodeError:
            raise ApiError(f"{method} {target.partition('?')[0]}: the response is no JSON") from None
        content_hash = response.headers.getRawHeaders("x-consul-contenthash", [""])[0]
        return Reply(json, int(index) if index.isdecimal() else 0, content_hash)


class Watch:
    """A result of the agent that is followed by blocking queries for as long as the proxy runs.

    `received(json)`: called with each new result; what it raises as `ConsulpyError` is logged and asked for again.
    `params`: parameters of each request. `failed()`: called when one fails; the watch goes on.
    """

    def __init__(
        self,
        reactor: Any,
        api: AgentApi,
        path: str,
        received: Callable[[Any], None],
        rng: Random,
        params: Mapping[str, Any] | None = None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._failed = failed
        self._params = params or {}
        self._reactor = reactor
        self._api = api
        self._path = path
        self._received = received
        self._rng = rng
        self._running: Deferred[None] | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Send the first blocking query."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(lambda failure: failure.trap(CancelledError))

    def stop(self) -> None:
        """Cancel the query, and send no more."""
        self._is_stopped = True
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    async def _run(self) -> None:
        last, failures = Reply(None), 0
        while True:
            try:
                reply = await self._api.get(self._path, {**self._params, **_waiting(last)}, WAIT_S * 17 / 16 + ANSWER_S)
                if reply != last:
                    self._received(reply.json)
                failures, pause_s, last = 0, PAUSE_S, reply
            except ConsulpyError as error:
                if self._is_stopped:
                    return
                failures += 1
                last = Reply(None)
                self._failed()
                pause_s = backoff_s(failures, RETRY_S, RETRY_MAX_S) * self._rng.uniform(0.75, 1.25)
                _log.error("{path}: {error}; next try in {pause:.0f} s", path=self._path, error=error, pause=pause_s)
            await deferLater(self._reactor, pause_s)


def _waiting(last: Reply) -> dict[str, Any]:
    """Parameters of a blocking query for what is newer than the last reply; none for the first one."""
    if last.content_hash:
        return {"hash": last.content_hash, "wait": f"{WAIT_S}s"}
    return {"index": last.index, "wait": f"{WAIT_S}s"} if last.index else {}


@implementer(IBodyProducer)
class _Body:
    """The body of a request, written together with its head."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        """Write it all."""
        consumer.write(self._data)
        return succeed(None)

    def stopProducing(self) -> None:
        """Nothing is left to write."""

    def pauseProducing(self) -> None:
        """Nothing is left to write."""

    def resumeProducing(self) -> None:
        """Nothing is left to write."""


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Where the agent listens, whatever the URI of a request says."""

    def __init__(self, reactor: Any, settings: ClientSettings) -> None:
        self._reactor = reactor
        self._settings = settings

    def endpointForURI(self, _uri: object) -> IStreamClientEndpoint:
        """See `IAgentEndpointFactory`."""
        if self._settings.scheme == "unix":
            endpoint: IStreamClientEndpoint = UNIXClientEndpoint(self._reactor, self._settings.address)
            return endpoint
        default = 443 if self._settings.scheme == "https" else 80
        address = self._settings.address
        host, port = split_address(address if address.rpartition(":")[2].isdigit() else f"{address}:{default}")
        plain = endpoint_of(self._reactor, host, port, CONNECT_TIMEOUT_S)
        if self._settings.scheme == "http":
            return plain
        return _TlsEndpoint(plain, client_context(self._settings), self._settings.tls_server_name or host)


@implementer(IStreamClientEndpoint)
class _TlsEndpoint:
    """TLS over another endpoint; `name`: the name that the agent's certificate must have."""

    def __init__(self, plain: IStreamClientEndpoint, context: ssl.SSLContext, name: str) -> None:
        self._plain = plain
        self._context = context
        self._name = name

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """Connect and shake hands; fails with `HandshakeFailed`."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        layer = TlsProtocol(self._context, factory.buildProtocol(_NOWHERE), server_side=False, name=self._name)
        await self._plain.connect(Factory.forProtocol(lambda: layer))
        protocol: IProtocol = await layer.secured
        return protocol
