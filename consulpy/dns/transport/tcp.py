"""DNS over TCP (RFC 7766): length-prefixed messages, pipelined; each is answered when it is ready."""

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

#: Questions of one connection being resolved; at this limit reading pauses.
TCP_PENDING_MAX: Final = 128
#: A longer message is not DNS: the connection is closed. (A query of one name has at most 300 bytes.)
QUERY_MAX_BYTES: Final = 4096
#: Connections of all clients, and of one. Above them the connection that was idle for longest is evicted.
TCP_CONNECTIONS_MAX: Final = 1024
TCP_CONNECTIONS_PER_CLIENT: Final = 256
#: The name of this listener in the table of connections.
LISTENER: Final = "dns"
#: Seconds without a message after which a connection is closed.
TCP_IDLE_TIMEOUT_S: Final = 8.0
#: Bytes of answers per write: between writes the transport reports whether the client reads them.
_WRITE_BYTES: Final = 32 * 1024
_SIZE: Final = struct.Struct("!H")


class QueryHandler(Shape):
    """Answers the questions of a connection (`consulpy.dns.transport.service.DnsService`)."""

    counters: dict[str, int]
    queries: int

    @property
    def tcp_cache(self) -> PacketCache:
        """The packet cache of TCP."""

    def resolve(
        self,
        packet: bytes,
        client: str,
        on_answer: Callable[[CacheableAnswer], None],
        on_no_answer: Callable[[], None],
        *,
        udp: bool,
    ) -> None:
        """Resolve the question in a packet, then call `on_answer`, or `on_no_answer` if it gets no reply."""


@implementer(IPushProducer)
class TcpConnection(Protocol, TimeoutMixin):
    """A client's connection. Its questions are not read while it does not read its answers."""

    transport: Any

    def __init__(self, factory: "TcpFactory") -> None:
        self._factory = factory
        self._buffer = b""
        self._pending = 0
        #: Whether the send buffer is full, and whether reading is paused.
        self._is_full = self._is_paused = False
        self._client = ""

    def callLater(self, period: float, func: Callable[[], None]) -> Any:
        """The clock of `TimeoutMixin`."""
        return self._factory.reactor.callLater(period, func)

    def connectionMade(self) -> None:
        """Register the connection; abort it if it is over the limit and no other one is idle."""
        self._client = str(getattr(self.transport.getPeer(), "host", ""))
        if not self._factory.enter(self, self._client):
            self._factory.service.counters["dropped"] += 1
            self.transport.abortConnection()
            return
        self.transport.registerProducer(self, True)
        self.setTimeout(TCP_IDLE_TIMEOUT_S)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Answer every complete message."""
        self._buffer += data
        self._factory.connections.record_activity(self)
        self._read()

    def _read(self) -> None:
        buffer, start, answers, size = self._buffer, 0, [], 0
        service = self._factory.service
        while self._pending < TCP_PENDING_MAX and not self._is_full and len(buffer) - start >= _SIZE.size:
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
            answer = service.tcp_cache.get(message)
            if answer is None:
                self._pending += 1
                service.resolve(message, self._client, partial(self._send, message), self._no_answer, udp=False)
                continue
            service.queries += 1
            answers.append(_SIZE.pack(len(answer)) + answer)
            size += len(answer)
            if size > _WRITE_BYTES:
                self.transport.write(b"".join(answers))
                answers, size = [], 0
        if answers:
            self.transport.write(b"".join(answers))
        if start:
            self._buffer = buffer[start:]
            self.resetTimeout()  # type: ignore[no-untyped-call]
        self._update_reading()

    def _update_reading(self) -> None:
        """Pause or resume reading."""
        paused = self._is_full or self._pending >= TCP_PENDING_MAX
        if paused != self._is_paused:
            self._is_paused = paused
            (self.transport.pauseProducing if paused else self.transport.resumeProducing)()

    def pauseProducing(self) -> None:
        """The send buffer is full."""
        self._is_full = True

    def resumeProducing(self) -> None:
        """The send buffer has been sent."""
        self._is_full = False
        self._factory.reactor.callLater(0, self._read_buffered)

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    def _read_buffered(self) -> None:
        if self.connected:
            self._read()

    def _send(self, message: bytes, answer: CacheableAnswer) -> None:
        self._factory.service.tcp_cache.put(message, answer)
        packet = answer.packet
        self._pending -= 1
        if self.connected:
            self._factory.connections.record_activity(self)
            self.transport.write(_SIZE.pack(len(packet)) + packet)
            self.resetTimeout()  # type: ignore[no-untyped-call]
            if self._is_paused:
                self._factory.reactor.callLater(0, self._read_buffered)

    def _no_answer(self) -> None:
        self._pending -= 1
        self.transport.loseConnection()

    def timeoutConnection(self) -> None:
        """Close the idle connection."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Unregister the connection."""
        self._factory.connections.remove(self)
        self.setTimeout(None)  # type: ignore[no-untyped-call]

    def is_idle(self) -> bool:
        """Whether no question is being resolved (`ConnectionTable`)."""
        return not self._pending

    def evict(self) -> None:
        """Close the connection for a new one (`ConnectionTable`)."""
        close_now(self.transport)


class TcpFactory(Factory):
    """Factory of connections, with their limits."""

    noisy = False

    def __init__(self, service: QueryHandler, reactor: Any, connections: ConnectionTable | None = None) -> None:
        self.service = service
        self.reactor = reactor
        #: The connections of all clients and listeners.
        self.connections = ConnectionTable(UNLIMITED) if connections is None else connections

    def enter(self, connection: TcpConnection, client: str) -> bool:
        """Register a new connection, evicting an idle one if needed. False: it is over the limit and none is idle."""
        table = self.connections
        if table.of_client(LISTENER, client) >= TCP_CONNECTIONS_PER_CLIENT:
            if not table.evict_idle(LISTENER, client):
                return False
        elif table.of_listener(LISTENER) >= TCP_CONNECTIONS_MAX and not table.evict_idle(LISTENER):
            return False
        return table.add(connection, LISTENER, client)

    def buildProtocol(self, addr: Any) -> TcpConnection:  # noqa: ARG002
        """See `IProtocolFactory`."""
        return TcpConnection(self)
