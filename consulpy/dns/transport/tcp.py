"""DNS over TCP: messages with a length in front; several may be on their way, each is answered when it is ready."""

import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from typing import Protocol as Shape

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.connections import UNLIMITED, ConnectionTable, close_now
from consulpy.dns.cache import CacheableAnswer, PacketCache
from consulpy.dns.wire import HEADER_SIZE

#: Questions of one connection whose answers are still being made; the others wait.
TCP_PENDING_MAX: Final = 128
#: A longer message is no query, but another protocol: the connection is closed. (A query of one name has 300 bytes.)
QUERY_MAX_BYTES: Final = 4096
#: Connections of all clients, and of one; then the one that was idle for longest is closed for a new one.
TCP_CONNECTIONS_MAX: Final = 1024
TCP_CONNECTIONS_PER_CLIENT: Final = 256
#: The name of this listener in the table of connections.
LISTENER: Final = "dns"
#: A connection over which nothing came for so long is closed, in seconds.
TCP_IDLE_TIMEOUT_S: Final = 8.0
#: Answers are handed on in pieces of about this size, in bytes: then it shows whether the client reads them.
_PIECE: Final = 32 * 1024
_SIZE: Final = struct.Struct("!H")


class QueryHandler(Shape):
    """Whose connection it is (`consulpy.dns.transport.service.DnsService`)."""

    counters: dict[str, int]
    asked: int

    @property
    def tcp_cache(self) -> PacketCache:
        """Answers to questions that come by TCP."""

    def ask(
        self,
        packet: bytes,
        client: str,
        answered: Callable[[CacheableAnswer], None],
        given_up: Callable[[], None],
        *,
        udp: bool,
    ) -> None:
        """Have a packet answered."""


@implementer(IPushProducer)
class TcpConnection(Protocol, TimeoutMixin):
    """One connection of a client. While it doesn't read its answers, its questions are not read."""

    transport: Any

    def __init__(self, factory: "TcpFactory") -> None:
        self._factory = factory
        self._buffer = b""
        self._pending = 0
        #: Whether the socket is full, and whether nothing is read from it.
        self._full = self._paused = False
        self._client = ""

    def callLater(self, period: float, func: Callable[[], None]) -> Any:
        """TimeoutMixin's clock."""
        return self._factory.reactor.callLater(period, func)

    def connectionMade(self) -> None:
        """Refuse one too many: if all others wait for an answer."""
        self._client = str(getattr(self.transport.getPeer(), "host", ""))
        if not self._factory.enter(self, self._client):
            self._factory.service.counters["dropped"] += 1
            self.transport.abortConnection()
            return
        self.transport.registerProducer(self, True)
        self.setTimeout(TCP_IDLE_TIMEOUT_S)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Answer every whole message."""
        self._buffer += data
        self._factory.connections.touch(self)
        self._read()

    def _read(self) -> None:
        buffer, start, answers, size = self._buffer, 0, [], 0
        service = self._factory.service
        while self._pending < TCP_PENDING_MAX and not self._full and len(buffer) - start >= _SIZE.size:
            size_of_query = _SIZE.unpack_from(buffer, start)[0]
            if size_of_query > QUERY_MAX_BYTES:
                self.transport.loseConnection()
                return
            end = start + _SIZE.size + size_of_query
            if len(buffer) < end:
                break
            message, start = buffer[start + _SIZE.size : end], end
            if len(message) < HEADER_SIZE:
                self.transport.loseConnection()
                return
            kept = service.tcp_cache.get(message)
            if kept is None:
                self._pending += 1
                service.ask(message, self._client, partial(self._made, message), self._given_up, udp=False)
                continue
            service.asked += 1
            answers.append(_SIZE.pack(len(kept)) + kept)
            size += len(kept)
            if size > _PIECE:
                self.transport.write(b"".join(answers))
                answers, size = [], 0
        if answers:
            self.transport.write(b"".join(answers))
        if start:
            self._buffer = buffer[start:]
            self.resetTimeout()  # type: ignore[no-untyped-call]
        self._pause()

    def _pause(self) -> None:
        """Read only what can be answered."""
        paused = self._full or self._pending >= TCP_PENDING_MAX
        if paused != self._paused:
            self._paused = paused
            (self.transport.pauseProducing if paused else self.transport.resumeProducing)()

    def pauseProducing(self) -> None:
        """The socket is full."""
        self._full = True

    def resumeProducing(self) -> None:
        """It is empty again."""
        self._full = False
        self._factory.reactor.callLater(0, self._go_on)

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` says so too."""

    def _go_on(self) -> None:
        if self.connected:
            self._read()

    def _made(self, message: bytes, made: CacheableAnswer) -> None:
        self._factory.service.tcp_cache.put(message, made)
        answer = made.packet
        self._pending -= 1
        if self.connected:
            self._factory.connections.touch(self)
            self.transport.write(_SIZE.pack(len(answer)) + answer)
            self.resetTimeout()  # type: ignore[no-untyped-call]
            if self._paused:
                self._factory.reactor.callLater(0, self._go_on)

    def _given_up(self) -> None:
        self._pending -= 1
        self.transport.loseConnection()

    def timeoutConnection(self) -> None:
        """Nothing was asked for a while."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Gone."""
        self._factory.connections.leave(self)
        self.setTimeout(None)  # type: ignore[no-untyped-call]

    def is_idle(self) -> bool:
        """Whether no answer is waited for (`ConnectionTable`)."""
        return not self._pending

    def evict(self) -> None:
        """Others need the place."""
        close_now(self.transport)


class TcpFactory(Factory):
    """Makes connections, and counts them."""

    noisy = False

    def __init__(self, service: QueryHandler, reactor: Any, connections: ConnectionTable | None = None) -> None:
        self.service = service
        self.reactor = reactor
        #: Connections of all clients; shared with other listeners.
        self.connections = ConnectionTable(UNLIMITED) if connections is None else connections

    def enter(self, connection: TcpConnection, client: str) -> bool:
        """Count a new connection; another one may have to go for it. False if none can."""
        table = self.connections
        if table.of_client(LISTENER, client) >= TCP_CONNECTIONS_PER_CLIENT:
            if not table.make_place(LISTENER, client):
                return False
        elif table.of_listener(LISTENER) >= TCP_CONNECTIONS_MAX and not table.make_place(LISTENER):
            return False
        return table.enter(connection, LISTENER, client)

    def buildProtocol(self, addr: Any) -> TcpConnection:  # noqa: ARG002
        """One connection."""
        return TcpConnection(self)
