"""The listener on 8300 with its switch on the first byte (docs/wire/rpc.md 1)."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.connections import UNLIMITED, ConnectionTable, close_now
from consulpy.errors import WireError
from consulpy.raft.transport import RaftStream
from consulpy.rpc import yamux
from consulpy.rpc.dispatch import serve
from consulpy.rpc.limits.memory_budget import Backpressure, Budget
from consulpy.rpc.limits.time_slice import TimeSlicer
from consulpy.rpc.net.connection import (
    PLAIN,
    RAFT,
    SNAPSHOT,
    TLS,
    WRITE_TIMEOUT_S,
    YAMUX,
    Connected,
    YamuxDriver,
)
from consulpy.rpc.server import Server
from consulpy.rpc.snapshots import ServingSnapshots
from consulpy.rpc.stream import Channel, ServerStream
from consulpy.tls.contexts import Tls
from consulpy.tls.transport import TlsProtocol

_log = Logger()

_UNSERVED: Final = {
    RAFT: "Raft is not spoken by a server that is alone",
    TLS: "TLS is not configured, or spoken already",
    7: "no certificates are given out here (auto_encrypt)",
}
#: A connection that has not said what it is after so many seconds is closed (`limits.rpc_handshake_timeout`).
HANDSHAKE_TIMEOUT_S: Final = 5.0
#: The name of this listener in the table of connections.
LISTENER: Final = "rpc"
#: Connections from one address (`limits.rpc_max_conns_per_client`).
CONNECTIONS_PER_CLIENT: Final = 100
#: Snapshots that are saved or restored at the same time: each may keep `ARCHIVE_LIMIT` bytes.
SNAPSHOTS_AT_ONCE: Final = 8
#: How long an archive may take to leave the socket once it is written.
ARCHIVE_FAREWELL_S: Final = 600.0
#: Connections that may wait to be accepted; a whole datacenter may come at once.
BACKLOG: Final = 1024
#: What an open stream costs at least, in bytes (measured: 1.1 kB without a call).
STREAM_BYTES: Final = 2048


MakeRaftStream = Callable[[Callable[[bytes], object], Callable[[bool], object]], RaftStream]


@implementer(IPushProducer)
class _Plain:
    """One stream of calls straight on a connection. Its window is TCP's: reading stops while a call is answered."""

    def __init__(self, protocol: "RpcProtocol") -> None:
        self._protocol = protocol
        self._unconsumed = 0
        self._is_full = False
        #: Whether all that was sent is out.
        self.is_clear = True
        self.end = protocol.serving(self)
        protocol.transport.registerProducer(self, True)

    def data_received(self, data: bytes) -> None:
        self._unconsumed += len(data)
        self.end.data_received(data)
        if self._unconsumed > yamux.WINDOW and not self._is_full:
            self._is_full = True
            self._protocol.transport.pauseProducing()

    def lost(self) -> None:
        self.end.lost("EOF")
        del self.end  # it holds this object: a cycle

    def send(self, data: bytes) -> None:
        self._protocol.transport.write(data)

    def consumed(self, size: int) -> None:
        self._unconsumed -= size
        if self._is_full and self._unconsumed <= yamux.WINDOW:
            self._is_full = False
            self._protocol.transport.resumeProducing()

    def close(self) -> None:
        self._protocol.hang_up("")

    def pauseProducing(self) -> None:
        """The socket is full: answer no more calls."""
        self.is_clear = False
        self._protocol.timers.start("write", WRITE_TIMEOUT_S, self._protocol.abort, "it did not read for too long")

    def resumeProducing(self) -> None:
        """The socket is empty."""
        self._protocol.timers.stop("write")
        self.is_clear = True
        self.end.drained()

    def stopProducing(self) -> None:
        """The connection is gone; `lost` says so too."""


@implementer(IHalfCloseableProtocol)
class RpcProtocol(Connected):
    """A connection that was made to us."""

    factory: "RpcFactory"

    def __init__(self, reactor: Any, server: Server) -> None:
        super().__init__(reactor)
        self._server = server
        self._handler: YamuxDriver | _Plain | ServingSnapshots | RaftStream | None = None
        self._room = Backpressure()
        self._turns = TimeSlicer(
            reactor.seconds, partial(self.timers.start, "turn", 0)
        )  # no reference to this object: a cycle
        self._streams = 0
        self._is_closing = False
        self._is_secure = False
        self._has_complained = False

    def connectionMade(self) -> None:
        """Wait for the first byte, if this client may have another connection."""
        super().connectionMade()
        refused = self.factory.count(self)
        if refused:
            self.hang_up(refused)
        else:
            self.timers.start("handshake", self.factory.handshake_timeout_s, self.abort, "it said nothing")

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
            self._turns.begin()
            try:
                self._handler.data_received(data)
            except WireError as error:
                self.hang_up(str(error))
            if isinstance(self._handler, YamuxDriver):
                streams = self._handler.yamux.stream_count
                change, self._streams = streams - self._streams, streams
                if change:
                    self._kept(change * STREAM_BYTES)

    def _secure(self, tls: Tls, data: bytes) -> None:
        """TLS from here on, with another first byte inside."""
        if tls.incoming_rpc is None:
            self.hang_up("TLS connection attempted, server not configured for TLS: cert_file and key_file are not set")
            return
        self._is_secure = True
        self.timers.start(
            "handshake", self.factory.handshake_timeout_s, self.abort, "it did not finish the TLS handshake"
        )
        TlsProtocol.over(tls.incoming_rpc, self).dataReceived(data)

    def _switch(self, first: int) -> None:
        self.timers.stop("handshake")
        tls = self.factory.tls
        if tls is not None and tls.settings.verify_incoming_rpc and not self._is_secure:
            self.hang_up("Non-TLS connection attempted with VerifyIncoming set")
        elif first == YAMUX:
            self._handler = YamuxDriver(
                self, client=False, on_open=self._stream_opened, on_pending=self._pending_changed
            )
        elif first == PLAIN:
            self._handler = _Plain(self)
        elif first == RAFT and self.factory.raft is not None:
            self._handler = self.factory.raft(self.transport.write, self._set_reading)
        elif first == SNAPSHOT and len(self.factory.snapshots) >= SNAPSHOTS_AT_ONCE:
            self.hang_up(f"more than {SNAPSHOTS_AT_ONCE} snapshots at once")
        elif first == SNAPSHOT:
            self.factory.snapshots.add(self)
            self.timers.start("handshake", self.factory.handshake_timeout_s, self._unasked)
            self._handler = ServingSnapshots(self._server, self.transport.write, self._let_go)
        else:
            self.hang_up(_UNSERVED.get(first, f"unrecognized RPC byte: {first}"))

    def _set_reading(self, reads: bool) -> None:
        """Read on, or let TCP hold the peer back."""
        if reads:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

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
        stream.receiver = self.serving(stream)
        stream.accept()

    def serving(self, channel: Channel) -> ServerStream:
        """The server's end of one stream of calls."""
        return ServerStream(
            channel,
            lambda method, body: serve(self._server, method, body),
            hold=self._kept,
            room=self._room,
            turns=self._turns,
            complain=self._complain,
        )

    def _complain(self, why: str) -> None:
        """One line for a connection, however many of its calls are wrong."""
        if not self._has_complained:
            self._has_complained = True
            _log.warn("RPC error with {peer}: {why} (said once for each connection)", peer=self.peer, why=why)

    def _kept(self, change: int) -> None:
        """Something is kept for this peer: its unfinished requests, its streams, answers that it did not take yet."""
        self.factory.budget.change(self, change)

    def _pending_changed(self, change: int) -> None:
        self._kept(change)
        self._room.change(change)

    def hang_up(self, why: str) -> None:
        """See `Connected.hang_up`; nothing more is read."""
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
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.lost()
        self.factory.forget(self)

    def is_idle(self) -> bool:
        """Whether it has not said yet what it is (`ConnectionTable`)."""
        return self._handler is None

    def evict(self) -> None:
        """Others need the place."""
        close_now(self.transport)


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
        connections: ConnectionTable | None = None,
    ) -> None:
        self.tls = tls
        #: Makes what answers Raft on a connection, of its `write` and of what lets it read; None: there is no quorum.
        self.raft: MakeRaftStream | None = None
        #: Connections over which a snapshot is saved or restored.
        self.snapshots: set[RpcProtocol] = set()
        #: What all connections may keep in memory.
        self.budget = Budget()
        self._reactor = reactor
        self._server = server
        #: Connections of one client, 0 for any number; seconds until one must have said what it is.
        self.limit = connections_per_client
        self.handshake_timeout_s = handshake_timeout_s
        #: Connections of all clients; shared with other listeners.
        self.connections = ConnectionTable(UNLIMITED) if connections is None else connections
        self.protocols: set[RpcProtocol] = set()

    def buildProtocol(self, addr: Any) -> Any:  # noqa: ARG002
        """One connection."""
        protocol = RpcProtocol(self._reactor, self._server)
        protocol.factory = self
        return protocol

    def count(self, protocol: RpcProtocol) -> str:
        """Another connection; why it is one too many, or nothing."""
        self.protocols.add(protocol)
        client = protocol.transport.getPeer().host
        if 0 < self.limit <= self.connections.of_client(LISTENER, client):
            return f"more than {self.limit} connections from one client (limits.rpc_max_conns_per_client)"
        if not self.connections.enter(protocol, LISTENER, client):
            return f"more than {self.connections.total} connections (the limit of file descriptors, ulimit -n)"
        return ""

    def forget(self, protocol: RpcProtocol) -> None:
        """A connection is gone."""
        self.snapshots.discard(protocol)
        self.protocols.discard(protocol)
        self.budget.forget(protocol)
        self.connections.leave(protocol)


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
        connections: ConnectionTable | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = host
        self.port = port
        self.factory = RpcFactory(reactor, server, connections_per_client, handshake_timeout_s, tls, connections)
        self._listener: Any = None

    def startService(self) -> None:
        """Listen. Raises Twisted's `CannotListenError`."""
        Service.startService(self)
        self._listener = self._reactor.listenTCP(self.port, self.factory, backlog=BACKLOG, interface=self._host)
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
