"""TLS as a layer between a TCP transport and a protocol.

`ssl.SSLObject` encrypts between memory buffers; this moves the bytes. Twisted's own TLS layer is not used: it answers a
close_notify by closing both directions, while Consul's agents half-close their snapshot calls and then wait for the
response (docs/wire/rpc.md 1); and it needs pyOpenSSL.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.log import Logger
from consulpy.log_limit import OncePerAddress
from consulpy.tls.try_write import try_write

_log = Logger()

#: Size of one read from OpenSSL, in bytes.
_PIECE: Final = 64 * 1024
#: Most bytes that are buffered for writing during the handshake; above it the connection is aborted.
UNSENT_MAX_BYTES: Final = 1024 * 1024
#: How long a refused peer may take to close, in seconds, and the most bytes of it that are thrown away meanwhile.
LINGER_S: Final = 2.0
LINGER_MAX_BYTES: Final = 1024 * 1024


class HandshakeFailed(Exception):
    """The handshake failed, or the peer refused our certificate after it; the text says why."""


@implementer(ITCPTransport, IConsumer, IPushProducer)
class TlsProtocol(Protocol):
    """The TLS layer: `protocol` above it, a TCP transport below.

    A client's protocol is connected after the handshake, a listener's at once. `secured` fires with the protocol after
    the handshake, or fails with `HandshakeFailed`. `name`: the name that the peer's certificate must have, if the
    context checks it. `first`: bytes sent in clear before the handshake. `log_limit`: of lines about a
    listener's failures. `clock`: with one, a refused peer gets the time to read why (`lingering_close`). `http_answer`:
    sent in clear to a client that begins with an HTTP request instead of TLS.
    """

    transport: Any
    disconnecting = False

    def __init__(
        self,
        context: ssl.SSLContext,
        protocol: Any,
        *,
        server_side: bool,
        name: str | None = None,
        first: bytes = b"",
        log_limit: OncePerAddress | None = None,
        clock: Clock | None = None,
        http_answer: bytes = b"",
    ) -> None:
        self._log_limit = log_limit
        self._http_answer = http_answer
        self._clock = clock
        self._lingering: Timer | None = None
        self._discarded_bytes = 0
        self.protocol = protocol
        self.secured: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())
        self._input, self._output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._input, self._output, server_side=server_side, server_hostname=name)
        self._server_side = server_side
        self._first = first
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._is_secured = self._is_closed = self._is_write_closed = self._is_read_closed = self._is_lost = False
        self._close_after_handshake: Callable[[], None] | None = None
        #: An error after the handshake.
        self._fault: HandshakeFailed | None = None

    @classmethod
    def over(cls, context: ssl.SSLContext, protocol: Any) -> "TlsProtocol":
        """Insert the server side of TLS below a connected protocol; the layer gets the received bytes."""
        layer = cls(context, protocol, server_side=True)
        layer.transport = protocol.transport
        layer.connected = 1
        protocol.transport.protocol = layer
        protocol.transport = layer
        return layer

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate in DER form, after the handshake; None if it sent none, or it was not asked for."""
        return self._tls.getpeercert(binary_form=True) if self._is_secured and not self._is_lost else None

    @property
    def alpn(self) -> str:
        """The protocol that both sides chose (RFC 7301), after the handshake; "" if none."""
        return (self._tls.selected_alpn_protocol() or "") if self._is_secured and not self._is_lost else ""

    # -- towards the TCP transport

    def connectionMade(self) -> None:
        """Send `first` in clear and start the handshake."""
        if self._first:
            self.transport.write(self._first)
        if self._server_side:
            self.protocol.makeConnection(self)
        else:
            self._handshake()

    def dataReceived(self, data: bytes) -> None:
        """Decrypt received bytes and pass them on."""
        if self._is_closed:
            self._discard(data)
            return
        self._input.write(data)
        if not self._is_secured:
            self._handshake()
        if self._is_secured:
            self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Report the loss to `secured` and to the protocol."""
        self._is_closed = True
        cancel_timer(self._lingering)
        if not self._is_secured:
            self._end_handshake("the connection ended during the TLS handshake")
        if self._is_secured or self._server_side:
            self.protocol.connectionLost(reason if self._fault is None else Failure(self._fault))
        if not self._is_lost:
            # OpenSSL's 50 KB would wait for a garbage collection: layer and protocol refer to each other
            self._is_lost = True
            del self._tls, self._input, self._output

    def _handshake(self) -> None:
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
        unsent, self._unsent = self._unsent, []
        for data in unsent:
            self.write(data)
        if self._close_after_handshake is not None:
            self._close_after_handshake()
        if not self.secured.called:
            self.secured.callback(self.protocol)

    def _read(self) -> None:
        while not self._is_closed and not self._is_read_closed:
            pieces: list[bytes] = []
            end = self._decrypt(pieces)
            if pieces:
                self.protocol.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            if end is None:
                break
            if isinstance(end, ssl.SSLZeroReturnError):
                self._read_closed()
            elif not self._is_closed:
                self._fail(end)
                return
        self._flush()

    def _decrypt(self, pieces: list[bytes]) -> ssl.SSLError | None:
        """Append what can be decrypted, record by record; why no more will come, None if more may."""
        tls, received = self._tls, self._input
        try:
            while data := tls.read(_PIECE):
                pieces.append(data)
                if not received.pending and not tls.pending():
                    return None  # a read of nothing costs as much as a small message
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLError as error:
            return error
        return ssl.SSLZeroReturnError()

    def _read_closed(self) -> None:
        """Handle the peer's close_notify: half-close, or close if the protocol cannot."""
        self._is_read_closed = True
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self.loseConnection()

    def _flush(self) -> None:
        if not self._is_lost and self._output.pending:
            self.transport.write(self._output.read())

    def _fail(self, error: Exception) -> None:
        """Send the alert of an OpenSSL error and close."""
        why = getattr(error, "verify_message", "") or getattr(error, "reason", None) or str(error)
        why = str(why).lower().replace("_", " ")
        self._is_closed = True
        self._flush()  # the alert that says why; there is none for HTTP
        if self._http_answer and getattr(error, "reason", None) == "HTTP_REQUEST":  # by the first 5 bytes
            self.transport.write(self._http_answer)
        if self._is_secured:
            self._fault = HandshakeFailed(
                why
            )  # TLS 1.3: a listener refuses the client's certificate after the client's handshake
        if self._is_secured or self._server_side:
            self._warn(why)
        self._end_handshake(why)
        self.lingering_close()

    def lingering_close(self) -> None:
        """Send what is left and close_notify, then read on, and forget it, until the peer closes.

        A socket that is closed with unread bytes sends a reset, which takes the alert away from the peer: in TLS 1.3 a
        client sends its data before it can know that its certificate was refused. Without a clock: close.
        """
        self._close_write()
        self._is_closed = self.disconnecting = True
        if self._clock is None:
            self.transport.loseConnection()
            return
        self._lingering = self._clock.callLater(LINGER_S, self.transport.abortConnection)
        self.transport.loseWriteConnection()
        self.transport.resumeProducing()

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        if self._discarded_bytes > LINGER_MAX_BYTES:
            self.transport.abortConnection()

    def _end_handshake(self, why: str) -> None:
        if not self.secured.called:
            if self._server_side:
                self.secured.callback(None)
            else:
                self.secured.errback(HandshakeFailed(why))

    # -- transport of the protocol

    def write(self, data: bytes) -> None:
        """Encrypt and send; buffered during the handshake."""
        if self._encrypt(data):
            self.transport.write(self._output.read())

    def try_write(self, data: bytes) -> None:
        """The same without waiting for the reactor (`consulpy.tls.try_write`)."""
        if self._encrypt(data):
            try_write(self.transport, self._output.read())

    def _encrypt(self, data: bytes) -> bool:
        """Whether there is something to send now."""
        if self._is_closed or self._is_write_closed or not data:
            return False
        if not self._is_secured:
            self._unsent.append(data)
            self._unsent_bytes += len(data)
            if self._unsent_bytes > UNSENT_MAX_BYTES:
                self.abortConnection()
            return False
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._fail(error)
            return False
        return bool(self._output.pending)

    def writeSequence(self, parts: Any) -> None:
        """Send the concatenation of `parts`."""
        self.write(b"".join(parts))

    def loseConnection(self) -> None:
        """Close after everything is written."""
        self.disconnecting = True
        if self._is_secured or not self._unsent:
            self._close_write()
            self.transport.loseConnection()
        else:
            self._close_after_handshake = self.loseConnection

    def loseWriteConnection(self) -> None:
        """Send close_notify and keep reading."""
        if self._is_secured:
            self._close_write()
        else:
            self._close_after_handshake = self.loseWriteConnection

    def _close_write(self) -> None:
        if self._is_secured and not self._is_closed and not self._is_write_closed:
            self._is_write_closed = True
            with suppress(ssl.SSLError, OSError):  # the peer's close_notify may come later or never
                self._tls.unwrap()
            self._flush()

    def abortConnection(self) -> None:
        """Close without flushing."""
        self._is_closed = True
        self.transport.abortConnection()

    def cut(self, why: str) -> None:
        """Close without flushing, and log why."""
        self._warn(why)
        self.abortConnection()

    def _warn(self, why: str) -> None:
        peer = self.transport.getPeer()
        if self._log_limit is None or self._log_limit.allows(peer.host):
            _log.warn("TLS with {host}:{port} failed: {why}", host=peer.host, port=peer.port, why=why)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause and resume `producer` as the socket's buffer fills and empties."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """See `registerProducer`."""
        self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """Stop reading."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Continue reading."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Close: no further bytes are wanted."""
        self.loseConnection()

    def getPeer(self) -> Any:
        """The peer's address."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """The local address."""
        return self.transport.getHost()

    def getTcpNoDelay(self) -> bool:
        """See `setTcpNoDelay`."""
        return bool(self.transport.getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set TCP_NODELAY."""
        self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """See `setTcpKeepAlive`."""
        return bool(self.transport.getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set SO_KEEPALIVE."""
        self.transport.setTcpKeepAlive(enabled)


class TlsFactory(Factory):
    """Factory of a TLS listener around another factory. `context()`: of the next connection; None: it is refused.

    A handshake that takes longer than `timeout_s` seconds is aborted; 0: no timeout. `http_answer`: see `TlsProtocol`.
    """

    noisy = False

    def __init__(
        self,
        inner: Any,
        context: Callable[[], ssl.SSLContext | None],
        reactor: Any,
        timeout_s: float,
        http_answer: bytes = b"",
    ) -> None:
        self._inner = inner
        self._context = context
        self._reactor = reactor
        self._timeout_s = timeout_s
        self._http_answer = http_answer
        self._log_limit = OncePerAddress(reactor.seconds)

    def doStart(self) -> None:
        """Start the inner factory."""
        self._inner.doStart()

    def doStop(self) -> None:
        """Stop the inner factory."""
        self._inner.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """The TLS layer of one connection, with a protocol of the inner factory above it."""
        context = self._context()
        protocol = self._inner.buildProtocol(addr) if context is not None else None
        if context is None or protocol is None:
            return None
        layer = TlsProtocol(
            context,
            protocol,
            server_side=True,
            log_limit=self._log_limit,
            clock=self._reactor,
            http_answer=self._http_answer,
        )
        if self._timeout_s > 0:
            timer = self._reactor.callLater(self._timeout_s, layer.cut, "it did not finish the handshake")
            layer.secured.addBoth(lambda _: cancel_timer(timer))
        return layer
