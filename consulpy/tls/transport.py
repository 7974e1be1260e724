"""TLS between a TCP connection and a protocol that need not know of it.

OpenSSL through the standard library does the cryptography on bytes in memory; this moves them. Twisted's own layer is
not used because it answers the peer's "I write no more" by closing both ways, while Consul's agents half-close their
snapshot calls and then wait for the answer (docs/wire/rpc.md 1); and because every agent with TLS would have to carry
pyOpenSSL.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_log = Logger()

#: What is read from OpenSSL at a time, in bytes.
_PIECE: Final = 64 * 1024
#: What may wait to be written until the handshake is done, in bytes.
WAITING_MAX_BYTES: Final = 1024 * 1024


class HandshakeFailed(Exception):
    """The two ends could not agree; the text says why."""


@implementer(ITCPTransport, IConsumer, IPushProducer)
class TlsProtocol(Protocol):
    """The layer: `protocol` above it, a TCP transport below.

    A caller's protocol is connected once the handshake is done (`secured` fires with it, or fails with
    `HandshakeFailed`), a listener's at once. `name`: what the peer's certificate must say, where the context checks it.
    """

    transport: Any
    disconnecting = False

    def __init__(
        self, context: ssl.SSLContext, protocol: Any, *, server_side: bool, name: str | None = None, first: bytes = b""
    ) -> None:
        self.protocol = protocol
        self.secured: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())
        self._input, self._output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._input, self._output, server_side=server_side, server_hostname=name)
        self._server_side = server_side
        self._first = first
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._is_secured = self._is_over = self._says_no_more = self._hears_no_more = False
        self._then_lose: Callable[[], None] | None = None
        #: What was wrong with the connection after the handshake.
        self._fault: HandshakeFailed | None = None

    @classmethod
    def over(cls, context: ssl.SSLContext, protocol: Any) -> "TlsProtocol":
        """Put the listener's side of TLS under a protocol that is connected; bytes go to `dataReceived` from now on."""
        layer = cls(context, protocol, server_side=True)
        layer.transport = protocol.transport
        layer.connected = 1
        protocol.transport.protocol = layer
        protocol.transport = layer
        return layer

    # -- below: the connection

    def connectionMade(self) -> None:
        """Begin, with `first` in clear."""
        if self._first:
            self.transport.write(self._first)
        if self._server_side:
            self.protocol.makeConnection(self)
        else:
            self._shake()

    def dataReceived(self, data: bytes) -> None:
        """Encrypted bytes."""
        if self._is_over:
            return
        self._input.write(data)
        if not self._is_secured:
            self._shake()
        if self._is_secured:
            self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._is_over = True
        if not self._is_secured:
            self._refuse("the connection ended during the TLS handshake")
        if self._is_secured or self._server_side:
            self.protocol.connectionLost(reason if self._fault is None else Failure(self._fault))

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._fail(error)
            return
        self._is_secured = True
        self._flush()
        if not self._server_side:
            self.protocol.makeConnection(self)
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.write(data)
        if self._then_lose is not None:
            self._then_lose()
        if not self.secured.called:
            self.secured.callback(self.protocol)

    def _read(self) -> None:
        while not self._is_over and not self._hears_no_more:
            try:
                data = self._tls.read(_PIECE)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError as error:
                self._fail(error)
                return
            if data:
                self.protocol.dataReceived(data)
            else:
                self._heard_all()
        self._flush()

    def _heard_all(self) -> None:
        """The peer writes no more."""
        self._hears_no_more = True
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self.loseConnection()

    def _flush(self) -> None:
        if self._output.pending:
            self.transport.write(self._output.read())

    def _fail(self, error: Exception) -> None:
        """OpenSSL found a fault: tell the peer, and end."""
        why = getattr(error, "verify_message", "") or getattr(error, "reason", None) or str(error)
        why = str(why).lower().replace("_", " ")
        self._is_over = True
        self._flush()  # the alert that says why
        peer = self.transport.getPeer()
        if self._is_secured:
            self._fault = HandshakeFailed(why)  # a listener may refuse the caller's certificate only now
        if self._is_secured or self._server_side:
            _log.warn("TLS with {host}:{port} failed: {why}", host=peer.host, port=peer.port, why=why)
        self._refuse(why)
        self.transport.loseConnection()

    def _refuse(self, why: str) -> None:
        if not self.secured.called:
            if self._server_side:
                self.secured.callback(None)
            else:
                self.secured.errback(HandshakeFailed(why))

    # -- above: what a protocol asks of its transport

    def write(self, data: bytes) -> None:
        """Send, once that is safe."""
        if self._is_over or self._says_no_more or not data:
            return
        if not self._is_secured:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes > WAITING_MAX_BYTES:
                self.abortConnection()
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._flush()

    def writeSequence(self, parts: Any) -> None:
        """Send all of them."""
        self.write(b"".join(parts))

    def loseConnection(self) -> None:
        """Close once everything is out."""
        self.disconnecting = True
        if self._is_secured or not self._waiting:
            self._farewell()
            self.transport.loseConnection()
        else:
            self._then_lose = self.loseConnection

    def loseWriteConnection(self) -> None:
        """Say that we write no more, and go on reading."""
        if self._is_secured:
            self._farewell()
        else:
            self._then_lose = self.loseWriteConnection

    def _farewell(self) -> None:
        if self._is_secured and not self._is_over and not self._says_no_more:
            self._says_no_more = True
            with suppress(ssl.SSLError, OSError):  # it wants the peer's farewell, which may come later or never
                self._tls.unwrap()
            self._flush()

    def abortConnection(self) -> None:
        """Close at once."""
        self._is_over = True
        self.transport.abortConnection()

    def cut(self, why: str) -> None:
        """Close at once, and say why in the log."""
        peer = self.transport.getPeer()
        _log.warn("TLS with {host}:{port} failed: {why}", host=peer.host, port=peer.port, why=why)
        self.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Who writes hears when the socket is full."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """See `registerProducer`."""
        self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """Read nothing for now."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Read nothing more."""
        self.loseConnection()

    def getPeer(self) -> Any:
        """The other end."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """Our end."""
        return self.transport.getHost()

    def getTcpNoDelay(self) -> bool:
        """See `setTcpNoDelay`."""
        return bool(self.transport.getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Whether small messages go out at once."""
        self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """See `setTcpKeepAlive`."""
        return bool(self.transport.getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Whether dead peers are noticed."""
        self.transport.setTcpKeepAlive(enabled)


class TlsFactory(Factory):
    """A listener's factory with TLS in front of another one. `context()`: for the next connection; None refuses it.

    Who has not finished the handshake after `timeout_s` seconds is cut off; 0: never.
    """

    noisy = False

    def __init__(
        self, inner: Any, context: Callable[[], ssl.SSLContext | None], reactor: Any, timeout_s: float
    ) -> None:
        self._inner = inner
        self._context = context
        self._reactor = reactor
        self._timeout_s = timeout_s

    def doStart(self) -> None:
        """The listener listens."""
        self._inner.doStart()

    def doStop(self) -> None:
        """It does no more."""
        self._inner.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """TLS for one connection."""
        context = self._context()
        protocol = self._inner.buildProtocol(addr) if context is not None else None
        if context is None or protocol is None:
            return None
        layer = TlsProtocol(context, protocol, server_side=True)
        if self._timeout_s > 0:
            timer = self._reactor.callLater(self._timeout_s, layer.cut, "it did not finish the handshake")
            layer.secured.addBoth(lambda _: timer.cancel() if timer.active() else None)
        return layer
