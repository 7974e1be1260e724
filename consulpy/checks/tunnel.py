"""A tunnel through an HTTP proxy (CONNECT, RFC 9110 9.3.6)."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.checks.dial import finish, silence
from consulpy.checks.failure import reason as reason_of
from consulpy.checks.http_response import ResponseParser
from consulpy.checks.result import CheckFailed
from consulpy.checks.url import Url, ascii_host

_USER_AGENT = "Go-http-client/1.1"


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """Connects to `host:port` through `proxy`, which `endpoint` reaches. Fails with `CheckFailed`."""

    def __init__(self, endpoint: IStreamClientEndpoint, host: str, port: str, proxy: Url) -> None:
        self._endpoint = endpoint
        name = ascii_host(host)
        target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", f"User-Agent: {_USER_AGENT}"]
        if proxy.user is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        self._request = "\r\n".join([*lines, "", ""]).encode()

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect; the protocol begins when the proxy has agreed."""
        silence(protocolFactory)
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: Any) -> IProtocol:
        tunnel: Any = await self._endpoint.connect(Factory.forProtocol(lambda: _Tunnel(self._request)))
        rest = await tunnel.opened
        protocol: Any = factory.buildProtocol(tunnel.transport.getPeer())
        tunnel.transport.protocol = protocol
        protocol.makeConnection(tunnel.transport)
        if rest:
            protocol.dataReceived(rest)
        return protocol  # type: ignore[no-any-return]


class _Tunnel(Protocol):
    """The connection before the proxy's answer. `opened`: fires with the bytes behind that."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._parser = ResponseParser("CONNECT")
        self.opened: Deferred[bytes] = Deferred(lambda _: finish(self))

    def connectionMade(self) -> None:
        """Ask for the tunnel."""
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Parse the answer."""
        try:
            self._parser.feed(data)
        except CheckFailed as error:
            self._fail(error)
            return
        response = self._parser.response
        if response is None:
            return
        if response.code != 200:
            self._fail(CheckFailed(response.status.partition(" ")[2] or response.status))
        elif not self.opened.called:
            self.opened.callback(self._parser.rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The proxy ended the connection."""
        if not self.opened.called:
            self.opened.errback(CheckFailed(reason_of(reason.value)))

    def _fail(self, error: CheckFailed) -> None:
        if not self.opened.called:
            self.opened.errback(error)
            finish(self)
