"""One call without a client certificate: an agent asks a server for its first one (byte 7, docs/wire/connect.md).

No yamux: the call stands in TLS as it is.
"""

import ssl
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from consulpy.rpc.endpoints.auto_encrypt import METHOD
from consulpy.rpc.messages import reply_of
from consulpy.rpc.net.connection import INSECURE_TLS
from consulpy.rpc.stream import ClientStream
from consulpy.structs.connect_ca import CASignRequest, SignedReply
from consulpy.tls.transport import TlsProtocol

#: Timeout of the connection with its handshake, and of the reply, in seconds.
TIMEOUT_S: Final = 10.0


class _CallProtocol(Protocol):
    """A connection with one call; also the channel of its stream."""

    transport: Any
    is_clear = True

    def __init__(self) -> None:
        self.stream = ClientStream()
        self.stream.channel = self

    def send(self, data: bytes) -> None:
        """See `Channel`."""
        self.transport.write(data)

    def consumed(self, size: int) -> None:
        """See `Channel`; TCP has a window of its own."""

    def close(self) -> None:
        """See `Channel`."""
        self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Pass the reply on."""
        self.stream.data_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the call."""
        self.stream.lost(str(reason.value))


async def ask(
    reactor: Any, host: str, port: int, context: ssl.SSLContext, name: str | None, request: CASignRequest
) -> SignedReply:
    """The certificate, from one server. `name`: of the server's certificate, None for any. Raises any exception."""
    factory: Any = Factory.forProtocol(
        lambda: TlsProtocol(context, _CallProtocol(), server_side=False, name=name, first=bytes([INSECURE_TLS]))
    )
    factory.noisy = False
    connecting: Any = HostnameEndpoint(reactor, host, port, timeout=TIMEOUT_S).connect(factory)
    layer = await connecting
    secured = layer.secured
    if not secured.called:
        secured.addTimeout(TIMEOUT_S, reactor)
    protocol: _CallProtocol = await secured
    try:
        call: Deferred[Any] = protocol.stream.call(1, METHOD, request.pack())
        return cast(SignedReply, reply_of(SignedReply, await call.addTimeout(TIMEOUT_S, reactor)))
    finally:
        protocol.transport.loseConnection()
