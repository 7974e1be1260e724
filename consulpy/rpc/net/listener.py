"""The listener of port 8300, which selects the protocol by the first byte (docs/wire/rpc.md 1)."""

import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.connections import UNLIMITED, ConnectionTable, close_now
from consulpy.errors import WireError
from consulpy.log import Logger
from consulpy.raft.stream import RaftStream
from consulpy.rpc import yamux
from consulpy.rpc.dispatch import serve, serve_without_certificate
from consulpy.rpc.limits.memory_budget import Backpressure, MemoryBudget
from consulpy.rpc.limits.time_slice import TimeSlicer
from consulpy.rpc.net.connection import (
    GRPC,
    INSECURE_TLS,
    PLAIN,
    RAFT,
    SNAPSHOT,
    TLS,
    TLS_RECORD,
    WRITE_TIMEOUT_S,
    YAMUX,
    RpcConnection,
    YamuxDriver,
)
from consulpy.rpc.server import Server
from consulpy.rpc.snapshots import SnapshotHandler
from consulpy.rpc.stream import Channel, ServerStream
from consulpy.tls.contexts import ALPN_GRPC, ALPN_MULTIPLEX, ALPN_RAFT, ALPN_SINGLE, ALPN_SNAPSHOT, Tls
from consulpy.tls.transport import TlsProtocol

if TYPE_CHECKING:
    from consulpy.rpc.net.grpc_driver import GrpcDriver
    from consulpy.rpc.subscribe.service import Subscriptions

_log = Logger()

_UNSERVED: Final = {
    RAFT: "Raft is not spoken by a server that is alone",
    TLS: "TLS is not configured, or spoken already",
    INSECURE_TLS: "no certificates are given out here (auto_encrypt.allow_tls)",
}
#: Timeout of the first byte, in seconds; then the connection is closed (`limits.rpc_handshake_timeout`).
HANDSHAKE_TIMEOUT_S: Final = 5.0
#: The name of this listener in the table of connections.
LISTENER: Final = "rpc"
#: Connections from one address (`limits.rpc_max_conns_per_client`).
CONNECTIONS_PER_CLIENT: Final = 100
#: Concurrent snapshot connections, each with up to `ARCHIVE_LIMIT` bytes; more are refused.
CONCURRENT_SNAPSHOTS_MAX: Final = 8
#: Timeout of a graceful close after an archive, in seconds.
ARCHIVE_CLOSE_S: Final = 600.0
#: Backlog of the socket, in connections: a whole datacenter may connect at once.
BACKLOG: Final = 1024
#: What ALPN calls the first bytes.
_BY_ALPN: Final = {
    ALPN_SINGLE: PLAIN,
    ALPN_RAFT: RAFT,
    ALPN_MULTIPLEX: YAMUX,
    ALPN_SNAPSHOT: SNAPSHOT,
    ALPN_GRPC: GRPC,
}
#: Memory of an open stream, in bytes (measured: 1.1 kB without a call).
STREAM_BYTES: Final = 2048


#: Builds a `RaftStream` of `write`, `set_reading`, `close`, `on_memory`.
MakeRaftStream = Callable[
    [Callable[[bytes], object], Callable[[bool], object], Callable[[str], object], Callable[[int], object]], RaftStream
]


@implementer(IPushProducer)
class _PlainStream:
    """A stream of calls directly on a connection. Its window is TCP's: reading stops during a call."""

    def __init__(self, protocol: "RpcProtocol") -> None:
        self._protocol = protocol
        self._unconsumed = 0
        self._is_full = False
        #: Whether the socket is empty.
        self.is_clear = True
        self.end = protocol.make_stream(self)
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
        self._protocol.close_gracefully("")

    def pauseProducing(self) -> None:
        """The socket is full: serve no more calls."""
        self.is_clear = False
        self._protocol.timers.start("write", WRITE_TIMEOUT_S, self._protocol.abort, "it did not read for too long")

    def resumeProducing(self) -> None:
        """The socket is empty: continue."""
        self._protocol.timers.stop("write")
        self.is_clear = True
        self.end.drained()

    def stopProducing(self) -> None:
        """Nothing to do: see `lost`."""


@implementer(IHalfCloseableProtocol)
class RpcProtocol(RpcConnection):
    """An accepted connection."""

    factory: "RpcFactory"

    def __init__(self, reactor: Any, server: Server) -> None:
        super().__init__(reactor)
        self._server = server
        self._handler: YamuxDriver | _PlainStream | SnapshotHandler | RaftStream | GrpcDriver | None = None
        #: The same handler if it speaks gRPC.
        self._grpc: GrpcDriver | None = None
        self._backpressure = Backpressure()
        self._slicer = TimeSlicer(
            reactor.seconds, partial(self.timers.start, "turn", 0)
        )  # no reference to this object: a cycle
        self._streams = 0
        self._is_closing = False
        self._is_secure = False
        #: Whether the peer has no certificate yet, and may ask for one only.
        self._only_certificates = False
        self._has_logged_refused = False
        #: Whether TLS began at once: ALPN says what is spoken, no byte.
        self._is_native = False

    def connectionMade(self) -> None:
        """Start the handshake timeout; close above the limits of connections."""
        super().connectionMade()
        self._server.metrics.incr("rpc.accept_conn")
        refused = self.factory.admit(self)
        if refused:
            self.close_gracefully(refused)
        else:
            self.timers.start("handshake", self.factory.handshake_timeout_s, self.abort, "it said nothing")

    def dataReceived(self, data: bytes) -> None:
        """Select the handler by the first byte; pass the rest to it."""
        if self._is_closing:
            return
        if self._handler is None and self._only_certificates:
            self.timers.stop("handshake")
            self._handler = _PlainStream(self)
        elif self._handler is None and self._is_native:
            self._switch_by_name(self.transport.alpn)
        elif self._handler is None:
            if data[0] == TLS_RECORD and not self._is_secure and self.factory.tls is not None:
                self._is_native = self.factory.tls.native_rpc is not None
                if self._is_native:
                    self._secure(self.factory.tls.native_rpc, data)
                    return
            first, data = data[0], data[1:]
            if first == TLS and not self._is_secure and self.factory.tls is not None:
                self._secure(self.factory.tls.incoming_rpc, data)
                return
            if first == INSECURE_TLS and self._server.agent_certificates is not None and not self._is_secure:
                self._only_certificates = True
                self._secure(self.factory.tls.unverified_rpc if self.factory.tls is not None else None, data)
                return
            self._switch(first)
        if self._handler is not None and data:
            self._slicer.begin()
            try:
                self._handler.data_received(data)
            except WireError as error:
                self.close_gracefully(str(error))
            if isinstance(self._handler, YamuxDriver):
                streams = self._handler.yamux.stream_count
                change, self._streams = streams - self._streams, streams
                if change:
                    self._memory_changed(change * STREAM_BYTES)

    def _secure(self, context: ssl.SSLContext | None, data: bytes) -> None:
        """Start TLS; another first byte follows inside, but where only certificates are given out."""
        if context is None:
            self.close_gracefully(
                "TLS connection attempted, server not configured for TLS: cert_file and key_file are not set"
            )
            return
        self._is_secure = True
        self.timers.start(
            "handshake", self.factory.handshake_timeout_s, self.abort, "it did not finish the TLS handshake"
        )
        TlsProtocol.over(context, self).dataReceived(data)

    def _switch_by_name(self, name: str) -> None:
        first = _BY_ALPN.get(name)
        if first is None:
            self.close_gracefully(f"TLS connection without a protocol that is served (ALPN): {name!r}")
        else:
            self._switch(first)

    def _switch(self, first: int) -> None:
        self.timers.stop("handshake")
        tls = self.factory.tls
        if tls is not None and tls.settings.verify_incoming_rpc and not self._is_secure:
            self.close_gracefully("Non-TLS connection attempted with VerifyIncoming set")
        elif first == YAMUX:
            self._handler = YamuxDriver(
                self, client=False, on_open=self._stream_opened, on_pending=self._pending_changed
            )
        elif first == PLAIN:
            self._handler = _PlainStream(self)
        elif first == GRPC:
            self._handler = self._grpc = self._make_grpc()
        elif first == RAFT and self.factory.raft is not None:
            self._server.metrics.incr("rpc.raft_handoff")
            self._handler = self.factory.raft(
                self.transport.write, self._set_reading, self.close_gracefully, self._memory_changed
            )
        elif first == SNAPSHOT and len(self.factory.snapshots) >= CONCURRENT_SNAPSHOTS_MAX:
            self.close_gracefully(f"more than {CONCURRENT_SNAPSHOTS_MAX} snapshots at once")
        elif first == SNAPSHOT:
            self.factory.snapshots.add(self)
            self.timers.start("handshake", self.factory.handshake_timeout_s, self._request_timed_out)
            self._handler = SnapshotHandler(self._server, self.transport, self._close_after_archive, self.abort)
        else:
            self.close_gracefully(_UNSERVED.get(first, f"unrecognized RPC byte: {first}"))

    def _make_grpc(self) -> "GrpcDriver":
        from consulpy.rpc.net.grpc_driver import GrpcDriver  # h2 is loaded for the first such connection

        self._server.metrics.incr("grpc.server.connection.count")
        return GrpcDriver(self, self.factory.subscriptions.serve, self._memory_changed)

    def _set_reading(self, reads: bool) -> None:
        """Resume or pause reading."""
        if reads:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def _request_timed_out(self) -> None:
        if isinstance(self._handler, SnapshotHandler) and not self._handler.has_request:
            self.abort("it asked nothing")

    def _close_after_archive(self) -> None:
        """Close when the archive is written."""
        if not self._is_closing:
            self._is_closing = True
            self.timers.stop_all()
            self.transport.loseConnection()
            self.timers.start("close", ARCHIVE_CLOSE_S, self.transport.abortConnection)

    def _stream_opened(self, stream: yamux.Stream) -> None:
        stream.receiver = self.make_stream(stream)
        stream.accept()

    def make_stream(self, channel: Channel) -> ServerStream:
        """A stream of calls on `channel`."""
        return ServerStream(
            channel,
            partial(serve_without_certificate, self._server)
            if self._only_certificates
            else partial(serve, self._server, source=self.peer),
            on_memory=self._memory_changed,
            backpressure=self._backpressure,
            slicer=self._slicer,
            log_refused=self._log_refused,
        )

    def _log_refused(self, why: str) -> None:
        """Log the first malformed call of a connection."""
        if not self._has_logged_refused:
            self._has_logged_refused = True
            _log.warn("RPC error with {peer}: {why} (said once for each connection)", peer=self.peer, why=why)

    def _memory_changed(self, change: int) -> None:
        """Account for memory: incomplete requests, streams, unread replies."""
        self.factory.budget.change(self, change)

    def _pending_changed(self, change: int) -> None:
        self._memory_changed(change)
        self._backpressure.change(change)

    def close_gracefully(self, why: str) -> None:
        """See `RpcConnection.close_gracefully`; input is ignored from now on."""
        if not self._is_closing:
            self._is_closing = True
            if self._grpc is not None:
                self._grpc.go_away()
            super().close_gracefully(why)

    def readConnectionLost(self) -> None:
        """End of input: a plain stream or a snapshot may still be replied to, others are closed."""
        if isinstance(self._handler, _PlainStream):
            self._handler.end.ended()
        elif isinstance(self._handler, SnapshotHandler):
            self._handler.ended()
        else:
            self.close_gracefully("")

    def writeConnectionLost(self) -> None:
        """Never: the server does not half-close."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Cancel the calls of the connection."""
        self._is_closing = True
        self.timers.stop_all()
        handler, self._handler, self._grpc = self._handler, None, None
        if handler is not None:
            handler.lost()
        self.factory.remove(self)

    def is_idle(self) -> bool:
        """Whether the first byte has not arrived (`ConnectionTable`)."""
        return self._handler is None

    def evict(self) -> None:
        """Close at once: the table of connections is full."""
        close_now(self.transport)


class RpcFactory(Factory):
    """Builds protocols and limits their number."""

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
        #: Builds the handler of a Raft connection; None: there is no quorum.
        self.raft: MakeRaftStream | None = None
        #: Snapshot connections.
        self.snapshots: set[RpcProtocol] = set()
        #: Memory limits of all connections.
        self.budget = MemoryBudget()
        self._reactor = reactor
        self._server = server
        #: Connections of one client, 0 for no limit; timeout of the first byte, in seconds.
        self.limit = connections_per_client
        self.handshake_timeout_s = handshake_timeout_s
        #: Connections of all clients; shared with other listeners.
        self.connections = ConnectionTable(UNLIMITED) if connections is None else connections
        self.protocols: set[RpcProtocol] = set()
        self._subscriptions: Subscriptions | None = None

    @property
    def subscriptions(self) -> "Subscriptions":
        """The gRPC subscriptions of newer agents; loaded for the first one."""
        if self._subscriptions is None:
            from consulpy.rpc.subscribe.service import Subscriptions

            self._subscriptions = Subscriptions(self._server)
        return self._subscriptions

    def buildProtocol(self, addr: Any) -> Any:  # noqa: ARG002
        """The protocol of a new connection."""
        protocol = RpcProtocol(self._reactor, self._server)
        protocol.factory = self
        return protocol

    def admit(self, protocol: RpcProtocol) -> str:
        """Register a connection; the reason if it exceeds a limit, or ""."""
        self.protocols.add(protocol)
        client = protocol.transport.getPeer().host
        if 0 < self.limit <= self.connections.of_client(LISTENER, client):
            return f"more than {self.limit} connections from one client (limits.rpc_max_conns_per_client)"
        if not self.connections.add(protocol, LISTENER, client):
            return f"more than {self.connections.total} connections (the limit of file descriptors, ulimit -n)"
        return ""

    def remove(self, protocol: RpcProtocol) -> None:
        """Remove a closed connection."""
        self.snapshots.discard(protocol)
        self.protocols.discard(protocol)
        self.budget.remove(protocol)
        self.connections.remove(protocol)


class RpcService(Service):
    """The listener of port 8300. `port`: 0 selects a free one; after the start the real one."""

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
        """Open the listener. Raises Twisted's `CannotListenError`."""
        Service.startService(self)
        self._listener = self._reactor.listenTCP(self.port, self.factory, backlog=BACKLOG, interface=self._host)
        self.port = self._listener.getHost().port

    def stopService(self) -> "Deferred[None]":
        """Close the listener and all connections, without yamux's go-away (as Consul does)."""
        Service.stopService(self)
        for protocol in list(self.factory.protocols):
            protocol.close_gracefully("")
        listener, self._listener = self._listener, None
        stopped: Deferred[None] = Deferred()
        if listener is None:
            stopped.callback(None)
        else:
            listener.stopListening().addBoth(lambda _: stopped.callback(None))
        return stopped
