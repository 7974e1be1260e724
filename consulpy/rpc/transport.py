"""Port 8300: the listener with its switch on the first byte, and the dialer (docs/wire/rpc.md 1, 2).

0 plain calls | 1 Raft | 3 TLS | 4 yamux | 5 snapshot       everything else: closed
"""

from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final, cast

from twisted.application.service import Service
from twisted.internet import error as reasons
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.clock import Timer
from consulpy.errors import RPCError, WireError
from consulpy.rpc import yamux
from consulpy.rpc.dispatch import serve
from consulpy.rpc.members import ServerInfo, host_port
from consulpy.rpc.pool import DialFailed
from consulpy.rpc.server import Server
from consulpy.rpc.session import CallingEnd, Channel, ServingEnd
from consulpy.rpc.snapshots import ARCHIVE_LIMIT, ServingSnapshots, SnapshotRequest, reply_in, request_bytes
from consulpy.structs.options import QueryMeta
from consulpy.tls.contexts import Tls
from consulpy.tls.transport import HandshakeFailed, Secured

_log = Logger()

#: First bytes.
PLAIN, RAFT, TLS, YAMUX, SNAPSHOT = 0, 1, 3, 4, 5
_UNSERVED: Final = {
    RAFT: "Raft is not spoken here yet",
    TLS: "TLS is not configured, or spoken already",
    7: "no certificates are given out here (auto_encrypt)",
}
#: A connection that has not said what it is after so many seconds is closed (`limits.rpc_handshake_timeout`).
HANDSHAKE_TIMEOUT_S: Final = 5.0
#: Connections from one address (`limits.rpc_max_conns_per_client`).
CONNECTIONS_PER_CLIENT: Final = 100
DIAL_TIMEOUT_S: Final = 10.0
#: yamux asks after so many seconds whether the other end is there, and hangs up without an answer.
KEEP_ALIVE_S: Final = 30.0
ANSWER_TIMEOUT_S: Final = 10.0
#: Bytes that may wait in a socket for so many seconds; then the peer is cut off.
WRITE_TIMEOUT_S: Final = 10.0
#: How long a farewell (go away, an error) may take to leave the socket.
FAREWELL_S: Final = 1.0
#: Bytes of unfinished requests on all streams of one connection.
UNFINISHED_LIMIT: Final = 64 * 2**20
#: How long an archive may take to leave the socket once it is written.
ARCHIVE_FAREWELL_S: Final = 600.0


class _Timers:
    """A few named timers of one connection."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._timers: dict[str, Timer] = {}

    def start(self, name: str, delay_s: float, call: Any, *args: Any) -> None:
        self.stop(name)
        self._timers[name] = self._reactor.callLater(delay_s, call, *args)

    def stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()

    def stop_all(self) -> None:
        for name in list(self._timers):
            self.stop(name)


@implementer(IPushProducer)
class Multiplexer:
    """Pumps a `yamux.Connection`: keep-alive, write timeout, and the end."""

    def __init__(self, protocol: "RpcProtocol | DialedProtocol", *, client: bool, on_open: Any = None) -> None:
        self._protocol = protocol
        self._timers = protocol.timers
        self._client = client
        self.yamux = yamux.Connection(
            client=client, write=protocol.transport.write, on_open=on_open, on_pong=self._answered
        )
        protocol.transport.registerProducer(self, True)
        self._timers.start("keep-alive", KEEP_ALIVE_S, self._ask)

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer."""
        try:
            self.yamux.receive(data)
        except WireError as error:
            self._protocol.hang_up(str(error))

    def lost(self) -> None:
        """The connection is gone."""
        self.yamux.close("EOF")

    def pauseProducing(self) -> None:
        """The socket is full: send no more data, and (as a server) read no more requests."""
        self.yamux.pause()
        if not self._client:
            self._protocol.transport.pauseProducing()
        self._timers.start("write", WRITE_TIMEOUT_S, self._protocol.abort, "it did not read for too long")

    def resumeProducing(self) -> None:
        """The socket is empty."""
        self._timers.stop("write")
        if not self._client:
            self._protocol.transport.resumeProducing()
        self.yamux.resume()

    def stopProducing(self) -> None:
        """The connection is gone; `lost` says so too."""

    def _ask(self) -> None:
        self.yamux.ping()
        self._timers.start("answer", ANSWER_TIMEOUT_S, self._protocol.abort, "it answers no ping")
        self._timers.start("keep-alive", KEEP_ALIVE_S, self._ask)

    def _answered(self, _number: int) -> None:
        self._timers.stop("answer")


class _Plain:
    """One stream of calls straight on a connection. Its window is TCP's: reading stops while a call is answered."""

    def __init__(self, protocol: "RpcProtocol", server: Server) -> None:
        self._protocol = protocol
        self._unconsumed = 0
        self._is_full = False
        self.end = ServingEnd(self, lambda method, body: serve(server, method, body), protocol.hold)

    def data_received(self, data: bytes) -> None:
        self._unconsumed += len(data)
        self.end.data_received(data)
        if self._unconsumed > yamux.WINDOW and not self._is_full:
            self._is_full = True
            self._protocol.transport.pauseProducing()

    def lost(self) -> None:
        self.end.lost("EOF")

    def send(self, data: bytes) -> None:
        self._protocol.transport.write(data)

    def consumed(self, size: int) -> None:
        self._unconsumed -= size
        if self._is_full and self._unconsumed <= yamux.WINDOW:
            self._is_full = False
            self._protocol.transport.resumeProducing()

    def close(self) -> None:
        self._protocol.hang_up("")


class _Connected(Protocol):
    """What both ends of a TCP connection do the same way."""

    transport: Any

    def __init__(self, reactor: Any) -> None:
        self.timers = _Timers(reactor)

    def connectionMade(self) -> None:
        """Small messages go out at once, dead peers are noticed."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)

    def hang_up(self, why: str) -> None:
        """Close once what was written is out; `why` is logged if it says something."""
        if why:
            _log.warn("RPC connection with {peer} closed: {why}", peer=self.peer, why=why)
        self.timers.stop_all()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.timers.start("farewell", FAREWELL_S, self.transport.abortConnection)

    def abort(self, why: str) -> None:
        """Close at once."""
        _log.warn("RPC connection with {peer} cut: {why}", peer=self.peer, why=why)
        self.transport.abortConnection()

    @property
    def peer(self) -> str:
        """The other end, "ip:port"."""
        address = self.transport.getPeer()
        return host_port(address.host, address.port)


@implementer(IHalfCloseableProtocol)
class RpcProtocol(_Connected):
    """A connection that was made to us."""

    factory: "RpcFactory"

    def __init__(self, reactor: Any, server: Server) -> None:
        super().__init__(reactor)
        self._server = server
        self._handler: Multiplexer | _Plain | ServingSnapshots | None = None
        self._unfinished = 0
        self._is_counted = False
        self._is_closing = False
        self._is_secure = False

    def connectionMade(self) -> None:
        """Wait for the first byte, if this client may have another connection."""
        super().connectionMade()
        self._is_counted = self.factory.count(self)
        if self._is_counted:
            self.timers.start("handshake", self.factory.handshake_timeout_s, self.abort, "it said nothing")
        else:
            self.hang_up(f"more than {self.factory.limit} connections from one client")

    def dataReceived(self, data: bytes) -> None:
        """The first byte decides who gets the rest."""
        if self._is_closing:
            return
        if self._handler is None:
            first, data = data[0], data[1:]
            if first == TLS and not self._is_secure and self.factory.tls is not None:
                self._secure(self.factory.tls, data)
                return
            self._switch(first)
        if self._handler is not None and data:
            try:
                self._handler.data_received(data)
            except WireError as error:
                self.hang_up(str(error))

    def _secure(self, tls: Tls, data: bytes) -> None:
        """TLS from here on, with another first byte inside."""
        if tls.incoming_rpc is None:
            self.hang_up("TLS connection attempted, server not configured for TLS: cert_file and key_file are not set")
            return
        self._is_secure = True
        self.timers.start(
            "handshake", self.factory.handshake_timeout_s, self.abort, "it did not finish the TLS handshake"
        )
        Secured.over(tls.incoming_rpc, self).dataReceived(data)

    def _switch(self, first: int) -> None:
        self.timers.stop("handshake")
        tls = self.factory.tls
        if tls is not None and tls.settings.verify_incoming_rpc and not self._is_secure:
            self.hang_up("Non-TLS connection attempted with VerifyIncoming set")
        elif first == YAMUX:
            self._handler = Multiplexer(self, client=False, on_open=self._stream_opened)
        elif first == PLAIN:
            self._handler = _Plain(self, self._server)
        elif first == SNAPSHOT:
            self.timers.start("handshake", self.factory.handshake_timeout_s, self._unasked)
            self._handler = ServingSnapshots(self._server, self.transport.write, self._let_go)
        else:
            self.hang_up(_UNSERVED.get(first, f"unrecognized RPC byte: {first}"))

    def _unasked(self) -> None:
        if isinstance(self._handler, ServingSnapshots) and not self._handler.is_asked:
            self.abort("it asked nothing")

    def _let_go(self) -> None:
        """Close once a whole archive is out."""
        if not self._is_closing:
            self._is_closing = True
            self.timers.stop_all()
            self.transport.loseConnection()
            self.timers.start("farewell", ARCHIVE_FAREWELL_S, self.transport.abortConnection)

    def _stream_opened(self, stream: yamux.Stream) -> None:
        stream.receiver = ServingEnd(stream, lambda method, body: serve(self._server, method, body), self.hold)
        stream.accept()

    def hold(self, change: int) -> None:
        """Account for the bytes of unfinished requests."""
        self._unfinished += change
        if self._unfinished > UNFINISHED_LIMIT:
            raise WireError(f"more than {UNFINISHED_LIMIT} bytes of unfinished requests")

    def hang_up(self, why: str) -> None:
        """See `_Connected.hang_up`; nothing more is read."""
        if not self._is_closing:
            self._is_closing = True
            super().hang_up(why)

    def readConnectionLost(self) -> None:
        """The peer writes no more: a plain caller may still wait for its answer, others are gone."""
        if isinstance(self._handler, _Plain):
            self._handler.end.ended()
        elif isinstance(self._handler, ServingSnapshots):
            self._handler.ended()
        else:
            self.hang_up("")

    def writeConnectionLost(self) -> None:
        """We never close only our half."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Nobody is there any more."""
        self._is_closing = True
        self.timers.stop_all()
        self.factory.forget(self, self._is_counted)
        if self._handler is not None:
            self._handler.lost()


class RpcFactory(Factory):
    """Makes protocols, and counts the connections of each client."""

    noisy = False

    def __init__(
        self,
        reactor: Any,
        server: Server,
        connections_per_client: int,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
        tls: Tls | None = None,
    ) -> None:
        self.tls = tls
        self._reactor = reactor
        self._server = server
        #: Connections of one client, 0 for any number; seconds until one must have said what it is.
        self.limit = connections_per_client
        self.handshake_timeout_s = handshake_timeout_s
        self._by_client: Counter[str] = Counter()
        self.protocols: set[RpcProtocol] = set()

    def buildProtocol(self, addr: Any) -> Any:  # noqa: ARG002
        """One connection."""
        protocol = RpcProtocol(self._reactor, self._server)
        protocol.factory = self
        return protocol

    def count(self, protocol: RpcProtocol) -> bool:
        """Another connection; False if its client has too many."""
        self.protocols.add(protocol)
        host = protocol.transport.getPeer().host
        if 0 < self.limit <= self._by_client[host]:
            return False
        self._by_client[host] += 1
        return True

    def forget(self, protocol: RpcProtocol, was_counted: bool) -> None:
        """A connection is gone."""
        self.protocols.discard(protocol)
        host = protocol.transport.getPeer().host
        if was_counted:
            self._by_client[host] -= 1
            if not self._by_client[host]:
                del self._by_client[host]


class RpcService(Service):
    """The listener on 8300. Port 0 takes any free one; `port` says which."""

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        server: Server,
        *,
        connections_per_client: int = CONNECTIONS_PER_CLIENT,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
        tls: Tls | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = host
        self.port = port
        self.factory = RpcFactory(reactor, server, connections_per_client, handshake_timeout_s, tls)
        self._listener: Any = None

    def startService(self) -> None:
        """Listen. Raises Twisted's `CannotListenError`."""
        Service.startService(self)
        self._listener = self._reactor.listenTCP(self.port, self.factory, interface=self._host)
        self.port = self._listener.getHost().port

    def stopService(self) -> "Deferred[None]":
        """Stop listening and hang up on everybody, without a farewell (as Consul does)."""
        Service.stopService(self)
        for protocol in list(self.factory.protocols):
            protocol.hang_up("")
        listener, self._listener = self._listener, None
        stopped: Deferred[None] = Deferred()
        if listener is None:
            stopped.callback(None)
        else:
            listener.stopListening().addBoth(lambda _: stopped.callback(None))
        return stopped


class DialedProtocol(_Connected):
    """A connection that we made: the `Link` of a pool."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.on_closed: Any = lambda: None
        self._multiplexer: Multiplexer | None = None
        self._is_closed = False

    def connectionMade(self) -> None:
        """Say that we speak yamux."""
        super().connectionMade()
        self.transport.write(bytes([YAMUX]))
        self._multiplexer = Multiplexer(self, client=True)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the server."""
        if self._multiplexer is not None and not self._is_closed:
            self._multiplexer.data_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """The server is gone, or we closed."""
        self._is_closed = True
        self.timers.stop_all()
        self.on_closed()
        if self._multiplexer is not None:
            self._multiplexer.lost()

    @property
    def is_usable(self) -> bool:
        """Whether streams can still be opened."""
        multiplexer = self._multiplexer
        return not self._is_closed and multiplexer is not None and not multiplexer.yamux.is_going_away

    def open(self, end: CallingEnd) -> Channel:
        """Open a stream for `end`. Raises `WireError`."""
        if not self.is_usable or self._multiplexer is None:
            raise WireError("session shutdown")
        return self._multiplexer.yamux.open(end)

    def hang_up(self, why: str) -> None:
        """See `_Connected.hang_up`."""
        if not self._is_closed:
            self._is_closed = True
            super().hang_up(why)

    def close(self) -> None:
        """Close the connection, without a farewell."""
        self.hang_up("")


@implementer(IHalfCloseableProtocol)
class SnapshotProtocol(_Connected):
    """One request of type 5 that we make: everything out, our half closed, everything in."""

    def __init__(self, reactor: Any, request: SnapshotRequest, data: bytes) -> None:
        super().__init__(reactor)
        self._request = request
        self._data = data
        self._input = bytearray()
        self.answered: Deferred[tuple[QueryMeta, bytes]] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        """Ask."""
        super().connectionMade()
        self.transport.write(bytes([SNAPSHOT]) + request_bytes(self._request, self._data))
        self._data = b""
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        """More of the answer."""
        self._input += data
        if len(self._input) > ARCHIVE_LIMIT:
            self.abort(f"a snapshot of more than {ARCHIVE_LIMIT} bytes")

    def readConnectionLost(self) -> None:
        """The answer is whole."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our half is closed."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Hand over what came."""
        self.timers.stop_all()
        if self.answered.called:
            return
        try:
            self.answered.callback(reply_in(bytes(self._input)))
        except RPCError as error:
            self.answered.errback(error)
        except WireError:
            self.answered.errback(RPCError("failed to decode snapshot response: EOF"))


class Dialer:
    """Connects to servers. `source`: the address that our end has; empty or unspecified lets the system choose.

    `tls`: over which those that take it, or all, are called.
    """

    def __init__(
        self, reactor: Any, source: str = "", timeout_s: float = DIAL_TIMEOUT_S, tls: Tls | None = None
    ) -> None:
        self._reactor = reactor
        self._tls = tls
        self._source = "" if not source or ip_address(source).is_unspecified else source
        self._timeout_s = timeout_s

    def __call__(self, server: ServerInfo) -> "Deferred[DialedProtocol]":
        """Connect. Fails with `DialFailed`, the text as Go says it."""
        return cast("Deferred[DialedProtocol]", self._connect(server, lambda: DialedProtocol(self._reactor)))

    def snapshot(
        self, server: ServerInfo, request: SnapshotRequest, data: bytes
    ) -> "Deferred[tuple[QueryMeta, bytes]]":
        """Have a server save or restore; over a connection of its own. Fails with `RPCError`."""
        connected = self._connect(server, lambda: SnapshotProtocol(self._reactor, request, data))
        return cast("Deferred[tuple[QueryMeta, bytes]]", connected.addCallback(lambda protocol: protocol.answered))

    def _connect(self, server: ServerInfo, protocol: Callable[[], Protocol]) -> "Deferred[Any]":
        kind = TCP6ClientEndpoint if ":" in server.address else TCP4ClientEndpoint
        bind = (self._source, 0) if self._source else None
        endpoint = kind(self._reactor, server.address, server.port, timeout=self._timeout_s, bindAddress=bind)
        secure = self._tls.outgoing(server.datacenter, server.use_tls) if self._tls is not None else None
        if secure is None:
            connected: Any = endpoint.connect(_factory(protocol))
        else:
            context, name = secure

            def layer() -> Secured:
                return Secured(context, protocol(), server_side=False, name=name, first=bytes([TLS]))

            connecting: Any = endpoint.connect(_factory(layer))
            connected = connecting.addCallback(self._secured)
        return cast("Deferred[Any]", connected.addErrback(self._failed, server))

    def _secured(self, layer: Secured) -> "Deferred[Any]":
        secured = layer.secured
        return secured if secured.called else secured.addTimeout(self._timeout_s, self._reactor)

    def _failed(self, failure: Failure, server: ServerInfo) -> Failure:
        path = f"{host_port(self._source, 0)}->" if self._source else ""
        why = _reason(failure.value)
        return Failure(DialFailed(f"dial tcp {path}{server.rpc_address}: {why}"))


def _factory(protocol: Callable[[], Protocol]) -> Any:
    factory: Any = Factory.forProtocol(protocol)
    factory.noisy = False
    return factory


def _reason(error: BaseException | None) -> str:
    if isinstance(error, HandshakeFailed):
        return f"TLS handshake: {error}"
    if isinstance(error, reasons.ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(error, TimeoutError | reasons.TimeoutError | reasons.TCPTimedOutError):
        return "i/o timeout"
    if isinstance(error, reasons.NoRouteError):
        return "connect: no route to host"
    if isinstance(error, reasons.ConnectError) and isinstance(error.osError, OSError):
        return f"connect: {(error.osError.strerror or str(error.osError)).lower()}"
    return f"connect: {error}"
