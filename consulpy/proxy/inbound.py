"""The public listener: mutual TLS, the intention of each client is asked, then bytes go to the service."""

import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from consulpy.clock import cancel_timer
from consulpy.proxy.agent_api import AgentApi, ApiError
from consulpy.proxy.dial import dial
from consulpy.proxy.identity import serial_number, spiffe_uri
from consulpy.proxy.relay import Side
from consulpy.proxy.settings import ProxySettings
from consulpy.tls.transport import TlsProtocol

_log = Logger()


class InboundFactory(Factory):
    """Accepts connections of the mesh. `context()`: of the next connection; None: it is refused."""

    noisy = False

    def __init__(
        self, reactor: Any, api: AgentApi, settings: ProxySettings, context: Callable[[], ssl.SSLContext | None]
    ) -> None:
        self._reactor = reactor
        self._api = api
        self._settings = settings
        self._context = context
        self._open: set[Side] = set()

    def buildProtocol(self, addr: Any) -> Any:  # noqa: ARG002 - Twisted's interface
        """The TLS layer of one connection."""
        context = self._context()
        if context is None:
            return None
        side = Side(self._open.discard)
        layer = TlsProtocol(context, side, server_side=True, clock=self._reactor)
        timer = self._reactor.callLater(
            self._settings.handshake_timeout_s, layer.cut, "it did not finish the handshake"
        )

        def handshake_ended(protocol: Side | None) -> None:
            cancel_timer(timer)
            if protocol is not None:
                self._serve(layer, protocol)

        layer.secured.addCallback(handshake_ended)
        return layer

    def _serve(self, layer: TlsProtocol, side: Side) -> None:
        self._open.add(side)
        Deferred.fromCoroutine(self._authorize_and_join(layer, side)).addErrback(self._failed, side)

    def _failed(self, failure: Any, side: Side) -> None:
        _log.error("a connection ended: {error}", error=failure.value)
        side.refuse()

    async def _authorize_and_join(self, layer: TlsProtocol, side: Side) -> None:
        certificate = layer.peer_certificate
        client = spiffe_uri(certificate)
        if not client or certificate is None or not await self._is_allowed(client, serial_number(certificate)):
            side.refuse()
            return
        local = Side(self._open.discard)
        try:
            await dial(self._reactor, self._settings.local_address, local, self._settings.local_connect_timeout_s)
        except Exception as error:  # of Twisted's endpoints
            _log.error(
                "the service at {address} can't be reached: {error}", address=self._settings.local_address, error=error
            )
            side.refuse()
            return
        if side.is_lost:
            local.close()
            return
        self._open.add(local)
        side.join(local)

    async def _is_allowed(self, client: str, serial: str) -> bool:
        body = {"Target": self._settings.service, "ClientCertURI": client, "ClientCertSerial": serial}
        try:
            reply = (await self._api.post("/v1/agent/connect/authorize", body)).json
        except ApiError as error:
            _log.error("whether {client} may connect can't be asked: {error}", client=client, error=error)
            return False
        allowed = isinstance(reply, dict) and reply.get("Authorized") is True
        if not allowed:
            reason = reply.get("Reason") if isinstance(reply, dict) else reply
            _log.warn("{client} was refused: {reason}", client=client, reason=reason)
        return allowed

    def close(self) -> None:
        """Close all connections."""
        for side in list(self._open):
            side.close()
