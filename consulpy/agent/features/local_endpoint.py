"""The endpoint of the agent's own HTTP API: TCP, a unix socket, or TLS where no other listener is open."""

import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.web.client import Agent
from twisted.web.iweb import IAgent, IAgentEndpointFactory
from zope.interface import implementer

from consulpy.agent.build import settings
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError
from consulpy.rpc.server_metadata import host_port
from consulpy.tls.transport import TlsProtocol

#: Timeout of a connection attempt, in seconds.
CONNECT_TIMEOUT_S = 10.0
_UNIX = ("unix://", "/")
#: Loopback addresses of listeners on all addresses.
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@implementer(IAgentEndpointFactory)
class LocalEndpoint:
    """The API's first address, HTTP before HTTPS as in Consul. Raises `ConfigError` if both are off.

    `context()`: TLS to the agent itself; checks its certificate, not the name in it (`consulpy.tls.contexts`).
    """

    def __init__(
        self, reactor: Any, config: RuntimeConfig, context: Callable[[], ssl.SSLContext | None] = lambda: None
    ) -> None:
        self._reactor = reactor
        self._context = context
        http = settings.http(config)
        plain = [each for each in http.addresses if http.port > 0 or each.startswith(_UNIX)]
        secure = [each for each in http.https_addresses if http.https_port > 0 and not each.startswith(_UNIX)]
        self._is_tls = not plain
        if not plain and not secure:
            raise ConfigError("watches need the HTTP API of this agent: ports.http and ports.https are off")
        address = (plain or secure)[0]
        self._path = address.removeprefix("unix://") if address.startswith(_UNIX) else ""
        self._host = _REACHED_AT.get(address, address)
        self._port = http.https_port if self._is_tls else http.port
        #: Scheme and authority of request URLs; the host name has no meaning on a unix socket.
        self.base_url = (
            "http://unix" if self._path else f"http{'s' * self._is_tls}://{host_port(self._host, self._port)}"
        )

    def agent(self) -> IAgent:
        """An HTTP client of this endpoint."""
        client: IAgent = Agent.usingEndpointFactory(self._reactor, self)
        return client

    def endpointForURI(self, _uri: object) -> IStreamClientEndpoint:
        """The endpoint, for any URI."""
        if self._path:
            return UNIXClientEndpoint(self._reactor, self._path, CONNECT_TIMEOUT_S)
        kind = TCP6ClientEndpoint if ":" in self._host else TCP4ClientEndpoint
        endpoint = kind(self._reactor, self._host, self._port, CONNECT_TIMEOUT_S)
        return _TlsEndpoint(endpoint, self._context()) if self._is_tls else endpoint


@implementer(IStreamClientEndpoint)
class _TlsEndpoint:
    """TLS over another endpoint."""

    def __init__(self, inner: IStreamClientEndpoint, context: ssl.SSLContext | None) -> None:
        self._inner = inner
        self._context = context

    def connect(self, factory: IProtocolFactory) -> "Deferred[Any]":
        """Fires with the protocol of `factory` after the handshake."""
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        if self._context is None:
            raise ConfigError("this agent has no certificate for its HTTPS port")
        layer: Any = await self._inner.connect(_Layered(factory, self._context))
        return await layer.secured


class _Layered(Factory):
    """Makes a TLS layer for each protocol of another factory."""

    noisy = False

    def __init__(self, inner: IProtocolFactory, context: ssl.SSLContext) -> None:
        self._inner = inner
        self._tls = context

    def buildProtocol(self, addr: Any) -> TlsProtocol:
        """The layer, with the protocol above it."""
        return TlsProtocol(self._tls, self._inner.buildProtocol(addr), server_side=False)
