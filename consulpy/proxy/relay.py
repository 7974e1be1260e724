"""Bytes between two connections: each side is read only as fast as the other takes it; a half-close is passed on."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.tls.transport import TlsProtocol
from consulpy.tls.try_write import try_write

#: Bytes that are read at a time, and that wait for the other side before it is read no more.
READ_BYTES: Final = 128 * 1024


@implementer(IHalfCloseableProtocol)
class Side(Protocol):
    """One end of a relay. Until it is joined to the other it does not read, but for what TLS has already decrypted."""

    transport: Any

    def __init__(self, ended: Callable[["Side"], None] = lambda _side: None) -> None:
        self._other: Side | None = None
        self._ended = ended
        self._early: list[bytes] = []
        self._closed_early = False
        #: Which directions have ended; both: the connection is over.
        self._is_read_closed = self._is_write_closed = False
        self.is_lost = False

    def join(self, other: "Side") -> None:
        """Relay between this side and another one from now on."""
        self._other, other._other = other, self
        for side in (self, other):
            side.transport.registerProducer(side._opposite.transport, True)
        for side in (self, other):
            side._begin()

    @property
    def _opposite(self) -> "Side":
        assert self._other is not None, "it is joined"
        return self._other

    def _begin(self) -> None:
        below = self.transport.transport if isinstance(self.transport, TlsProtocol) else self.transport
        below.bufferSize = READ_BYTES  # of Twisted's TCP connections
        early, self._early = self._early, []
        for data in early:
            self._opposite.send(data)
        if self._closed_early:
            self._pass_on_close()
        self.transport.resumeProducing()

    def connectionMade(self) -> None:
        """Let the kernel find peers that are gone, send small writes at once, and read nothing yet."""
        self.transport.setTcpKeepAlive(True)
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes on; keep those that come before the other side is there, and read no more of them."""
        if self._other is not None:
            self._other.send(data)
            return
        self._early.append(data)
        self.transport.pauseProducing()

    def send(self, data: bytes) -> None:
        """Write without waiting for the reactor."""
        transport = self.transport
        if isinstance(transport, TlsProtocol):
            transport.try_write(data)
        else:
            try_write(transport, data)

    def readConnectionLost(self) -> None:
        """The peer has ended its direction."""
        self._is_read_closed = True
        if self._other is not None:
            self._pass_on_close()
        else:
            self._closed_early = True

    def _pass_on_close(self) -> None:
        other = self._opposite
        if not other._is_write_closed:
            other._is_write_closed = True
            other.transport.loseWriteConnection()
        if self._is_write_closed:
            self.close()
            other.close()

    def writeConnectionLost(self) -> None:
        """Our direction has ended."""
        self._is_write_closed = True
        if self._is_read_closed:
            self.close()

    def close(self) -> None:
        """Close after everything is written."""
        if not self.is_lost and self.transport is not None:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def refuse(self) -> None:
        """End it before the join: TLS says that nothing more comes, plain TCP is reset, which is no normal end."""
        if self.is_lost or self.transport is None:
            return
        if isinstance(self.transport, TlsProtocol):
            self.transport.lingering_close()
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002 - both ways end alike
        """Close the other side too."""
        self.is_lost = True
        other, self._other = self._other, None
        if other is not None:
            other._other = None
            other.close()
        self._ended(self)
