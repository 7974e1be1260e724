"""UDP and TCP transport of a gossip pool, on one address and port.

Datagrams and streams go to the attached `Memberlist`. Limits on streams: `consulpy.memberlist.incoming`.
"""

import errno
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.application.service import Service
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectionRefusedError,  # noqa: A004
    NoRouteError,
)
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.python.failure import Failure

from consulpy.clock import cancel_timer
from consulpy.connections import UNLIMITED, ConnectionTable, close_now
from consulpy.errors import ConfigError, WireError
from consulpy.log import Logger
from consulpy.memberlist.delegate import StreamReader
from consulpy.memberlist.evidence import ExchangeError, ExchangeTimeout, TcpResult
from consulpy.memberlist.incoming import INCOMING_STREAMS_MAX, INCOMING_STREAMS_PER_SOURCE_MAX
from consulpy.memberlist.member import Address

_log = Logger()

#: TCP backlog; a whole pool may connect at once.
BACKLOG: Final = 1024
#: Name of this listener in the connection table.
LISTENER: Final = "gossip"
#: Free TCP ports tried until UDP's port of the same number is free too.
FREE_PORT_TRIES: Final = 10
#: The system's errors for an address without a route, or with one that forbids (EACCES) or drops (EINVAL). The
#: last also: a link-local one that does not say by which link.
_NO_ROUTE: Final = (errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EINVAL, errno.EACCES)


class _Incoming(Protocol):
    def feed(self, data: bytes) -> bytes | None: ...

    def closed(self) -> None: ...


class _Machine(Protocol):
    """The part of a `Memberlist` that receives data."""

    def packet_received(self, data: bytes, source: Address) -> None: ...

    def stream_opened(self, source: Address) -> _Incoming: ...


class GossipTransport(Service):
    """Listens on `host`:`port` by UDP and TCP; implements `consulpy.memberlist.delegate.Transport`."""

    def __init__(self, reactor: Any, host: str, port: int, *, stream_timeout_s: float = 10.0) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self.stream_timeout_s = stream_timeout_s
        self.machine: _Machine | None = None
        #: Incoming streams whose requests are incomplete.
        self.connections = ConnectionTable(UNLIMITED)
        self._datagrams = _Datagrams(self)
        self._udp: Any = None
        self._tcp: Any = None

    def attach(self, machine: _Machine) -> None:
        """Pass received data to `machine`."""
        self.machine = machine

    @property
    def port(self) -> int:
        """The port in use, also if 0 was configured."""
        return int(self._tcp.getHost().port) if self._tcp is not None else self._port

    def startService(self) -> None:
        """Listen. Raises `ConfigError` if the address is in use, or not one of this host."""
        super().startService()  # type: ignore[no-untyped-call]
        factory: Any = Factory.forProtocol(_IncomingStream)
        factory.owner = self
        factory.noisy = False
        try:
            self._listen(factory, tries=FREE_PORT_TRIES if self._port == 0 else 1)
        except CannotListenError as error:
            self.stopService()
            raise ConfigError(cannot_listen("gossip", self._host, self._port, error)) from None

    def _listen(self, factory: Any, tries: int) -> None:
        """Listen by TCP and UDP on one port; port 0 takes one that is free for both."""
        self._tcp = self._reactor.listenTCP(self._port, factory, backlog=BACKLOG, interface=self._host)
        try:
            self._udp = self._reactor.listenUDP(self.port, self._datagrams, interface=self._host, maxPacketSize=65536)
        except CannotListenError:
            if tries <= 1:
                raise
            self._tcp.stopListening()
            self._listen(factory, tries - 1)

    def stopService(self) -> None:
        """Stop listening, and close incoming streams."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.connections.close_all()
        for listener in (self._udp, self._tcp):
            if listener is not None:
                listener.stopListening()
        self._udp = self._tcp = None

    def send_packet(self, destination: Address, data: bytes) -> bool:
        """See `Transport.send_packet`."""
        transport = self._datagrams.transport
        if transport is None:
            return False
        try:
            transport.write(data, destination)
        except (OSError, ValueError):  # no route, refused, or an address of the other family
            return False
        return True

    def exchange(
        self,
        destination: Address,
        request: bytes,
        timeout_s: float,
        reader: StreamReader,
        done: Callable[[Exception | None], None],
    ) -> None:
        """See `Transport.exchange`."""
        factory = _Exchange(request, reader, done)
        factory.noisy = False
        factory.timer = self._reactor.callLater(timeout_s, factory.timed_out, timeout_s)
        try:
            factory.connector = self._reactor.connectTCP(*destination, factory, timeout=timeout_s)
        except (OSError, ValueError) as error:  # an address that the system does not know, with the zone of no link
            reason = ExchangeError(f"dial tcp {destination[0]}:{destination[1]}: {error}", TcpResult.NO_ROUTE)
            self._reactor.callLater(0, factory.finish, reason)


class ClientTransport(GossipTransport):
    """The transport of an observer that is no member: an ephemeral UDP port, no TCP listener."""

    def __init__(self, reactor: Any, host: str) -> None:
        super().__init__(reactor, host, 0)

    def startService(self) -> None:
        """Open the port. Raises `CannotListenError`."""
        Service.startService(self)
        self._udp = self._reactor.listenUDP(0, self._datagrams, interface=self._host, maxPacketSize=65536)


def cannot_listen(what: str, host: str, port: int, error: CannotListenError) -> str:
    """The error text for a listen address that can't be used, with what to do about it."""
    number = getattr(error.socketError, "errno", None)
    if number == errno.EADDRINUSE:
        return f"{what}: {host}:{port} is in use by another program; end it, or choose another address or port"
    if number == errno.EADDRNOTAVAIL:
        return f"{what}: this host has no address {host}; `ip address` lists those that it has (-bind)"
    if number == errno.EACCES:
        return f"{what}: no permission to listen on {host}:{port}; ports below 1024 need root"
    return f"{what}: cannot listen on {host}:{port}: {error.socketError}"


class _Datagrams(DatagramProtocol):
    noisy = False

    def __init__(self, owner: GossipTransport) -> None:
        self._owner = owner

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if self._owner.machine is not None:
            try:
                self._owner.machine.packet_received(datagram, addr[:2])
            except Exception:  # a bug; the process continues
                _log.failure("a packet from {source} was too much for us", source=addr)

    def connectionRefused(self) -> None:
        """ICMP port unreachable: the probe's timeout handles it."""


class _IncomingStream(StreamProtocol):
    """An incoming stream: a request of a peer, and the reply."""

    factory: Any
    _stream: _Incoming | None = None
    _timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        owner: GossipTransport = self.factory.owner
        transport: Any = self.transport
        peer = transport.getPeer()
        if owner.machine is None:
            transport.abortConnection()
            return
        self._enter(owner.connections, peer.host)
        self._stream = owner.machine.stream_opened((peer.host, peer.port))
        self._timer = owner._reactor.callLater(owner.stream_timeout_s, transport.abortConnection)

    def _enter(self, table: ConnectionTable, source: str) -> None:
        """Add this connection to the table; at the limit the one without data for longest is closed."""
        if table.of_client(LISTENER, source) >= INCOMING_STREAMS_PER_SOURCE_MAX:
            table.evict_idle(LISTENER, source)
        elif table.of_listener(LISTENER) >= INCOMING_STREAMS_MAX:
            table.evict_idle(LISTENER)
        table.add(self, LISTENER, source)

    def is_idle(self) -> bool:
        """Whether the request is incomplete (`ConnectionTable`)."""
        return self._stream is not None

    def evict(self) -> None:
        """Close: the connection limit was reached."""
        close_now(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if self._stream is None:
            return
        self.factory.owner.connections.record_activity(self)
        try:
            reply = self._stream.feed(data)
        except Exception:  # a bug; the process continues
            _log.failure("a stream was too much for us")
            reply = b""
        if reply is not None:
            assert self.transport is not None
            self.transport.write(reply)
            self.transport.loseConnection()
            self._end()

    def connectionLost(self, reason: Failure = Failure(ConnectError())) -> None:  # noqa: ARG002, B008
        self.factory.owner.connections.remove(self)
        self._end()
        cancel_timer(self._timer)

    def _end(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.closed()


class _Exchange(ClientFactory):
    """An outgoing request and its reply."""

    def __init__(self, request: bytes, reader: StreamReader, done: Callable[[Exception | None], None]) -> None:
        self.request = request
        self.reader = reader
        self.connector: Any = None
        self.timer: IDelayedCall | None = None
        self._done: Callable[[Exception | None], None] | None = done
        #: Whether the connection was established.
        self.opened = False

    def buildProtocol(self, addr: IAddress | None) -> StreamProtocol:  # noqa: ARG002
        return _OutgoingStream(self)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        where = connector.getDestination()
        result = _dial_result(reason.value)
        why = "connect: connection refused" if result is TcpResult.REFUSED else reason.getErrorMessage()
        self.finish(ExchangeError(f"dial tcp {where.host}:{where.port}: {why}", result))

    def timed_out(self, timeout_s: float) -> None:
        where = self.connector.getDestination()
        text = f"dial tcp {where.host}:{where.port}: i/o timeout after {timeout_s:g} s"
        self.finish(ExchangeTimeout(text, TcpResult.SILENT if self.opened else TcpResult.NOT_OPENED))

    def finish(self, error: Exception | None) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        cancel_timer(self.timer)
        connector, self.connector = self.connector, None  # breaks a reference cycle
        if connector is not None:
            connector.disconnect()
        done(error)


class _OutgoingStream(StreamProtocol):
    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def connectionMade(self) -> None:
        assert self.transport is not None
        self._exchange.opened = True
        self.transport.write(self._exchange.request)

    def dataReceived(self, data: bytes) -> None:
        try:
            whole = self._exchange.reader.feed(data)
        except WireError as error:
            self._exchange.finish(error)
            return
        if whole:
            self._exchange.finish(None)

    def connectionLost(self, reason: Failure = Failure(ConnectError())) -> None:  # noqa: ARG002, B008
        text = "the connection was closed before the answer was whole (EOF)"
        self._exchange.finish(ExchangeError(text, TcpResult.CLOSED))


def _dial_result(error: BaseException | None) -> TcpResult:
    """Why a connection was not established."""
    if isinstance(error, ConnectionRefusedError):
        return TcpResult.REFUSED
    number = getattr(error, "osError", None)
    if isinstance(error, NoRouteError) or getattr(number, "errno", number) in _NO_ROUTE:
        return TcpResult.NO_ROUTE
    return TcpResult.NOT_OPENED
