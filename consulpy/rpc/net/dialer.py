"""The dialer: connections to servers for calls (yamux), snapshots and Raft, with TLS where it is configured."""

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.errors import RPCError, WireError
from consulpy.rpc.net.connection import SNAPSHOT, TLS, YAMUX, RpcConnection, YamuxDriver
from consulpy.rpc.pool import DialFailed
from consulpy.rpc.server_metadata import ServerInfo, host_port
from consulpy.rpc.snapshot_messages import SnapshotRequest
from consulpy.rpc.snapshots import ARCHIVE_LIMIT, reply_at_beginning, request_bytes, set_reading
from consulpy.rpc.spool_file import InThread, SnapshotResult, Spool, SpoolSender, SpoolWriter
from consulpy.rpc.stream import Channel, ClientStream
from consulpy.structs.options import QueryMeta
from consulpy.tls.connecting import connect_reason, tcp_endpoint
from consulpy.tls.contexts import Tls
from consulpy.tls.transport import HandshakeFailed, TlsProtocol

DIAL_TIMEOUT_S: Final = 10.0


class DialedProtocol(RpcConnection):
    """A dialed connection: the `Link` of a pool."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.on_closed: Any = lambda: None
        self._driver: YamuxDriver | None = None
        self._is_closed = False

    def connectionMade(self) -> None:
        """Send the first byte and start yamux."""
        super().connectionMade()
        self.transport.write(bytes([YAMUX]))
        self._driver = YamuxDriver(self, client=True)

    def dataReceived(self, data: bytes) -> None:
        """Pass input to yamux."""
        if self._driver is not None and not self._is_closed:
            self._driver.data_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Report the end to the pool and the streams; a server that refused our certificate says so in an alert."""
        self._is_closed = True
        self.timers.stop_all()
        self.on_closed()
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.lost(f"EOF (TLS: {reason.value})" if reason.check(HandshakeFailed) else "EOF")

    @property
    def is_usable(self) -> bool:
        """Whether streams can be opened."""
        driver = self._driver
        return not self._is_closed and driver is not None and not driver.yamux.is_going_away

    def open(self, end: ClientStream) -> Channel:
        """Open a stream for `end`. Raises `WireError`."""
        if not self.is_usable or self._driver is None:
            raise WireError("session shutdown")
        return self._driver.yamux.open(end)

    def close_gracefully(self, why: str) -> None:
        """See `RpcConnection.close_gracefully`."""
        if not self._is_closed:
            self._is_closed = True
            super().close_gracefully(why)

    def close(self) -> None:
        """Close the connection."""
        self.close_gracefully("")


@implementer(IHalfCloseableProtocol)
class SnapshotProtocol(RpcConnection):
    """A snapshot request: sends everything, half-closes, reads everything. `reply` fires at the end.

    `data`: the archive to restore; it stays open.
    """

    def __init__(self, reactor: Any, request: SnapshotRequest, data: Spool | None) -> None:
        super().__init__(reactor)
        self._request = request
        self._data = data
        self._in_thread: InThread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
        self._input = b""
        self._meta: QueryMeta | None = None
        self._archive = SpoolWriter(self._in_thread, self._set_reading)
        self.reply: Deferred[SnapshotResult] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        """Send the request."""
        super().connectionMade()
        self.transport.write(bytes([SNAPSHOT]) + request_bytes(self._request))
        if self._data is None:
            self.transport.loseWriteConnection()
        else:
            SpoolSender(self._data, self.transport, self._in_thread, self._sent).start()

    def _sent(self, error: Exception | None) -> None:
        if error is None:
            self.transport.loseWriteConnection()
        else:
            self._fail(error)
            self.abort(f"the snapshot cannot be read: {error}")

    def _set_reading(self, reads: bool) -> None:
        if not self.reply.called:
            set_reading(self.transport, reads)

    def dataReceived(self, data: bytes) -> None:
        """Receive bytes of the reply."""
        if self._meta is None:
            self._input += data
            try:
                found = reply_at_beginning(self._input)
            except RPCError as error:
                self._fail(error)
            except WireError:
                self._fail(RPCError("failed to decode snapshot response: EOF"))
            else:
                if found is not None:
                    self._meta, size = found
                    data, self._input = self._input[size:], b""
        if self._meta is None or not data or self.reply.called:
            return
        if self._archive.size + len(data) > ARCHIVE_LIMIT:
            self.abort(f"a snapshot of more than {ARCHIVE_LIMIT} bytes")
        else:
            self._archive.write(data)

    def readConnectionLost(self) -> None:
        """The reply is complete."""
        self._is_complete = True
        self.transport.loseConnection()

    _is_complete = False

    def writeConnectionLost(self) -> None:
        """Nothing to do: the reply follows."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end of the reply."""
        self.timers.stop_all()
        if self.reply.called:
            self._archive.abandon()
            return
        if self._meta is None or not (self._is_complete or reason.check(ConnectionDone)):
            self._fail(RPCError("failed to decode snapshot response: EOF"))
            return
        if not self._archive.size:
            self._archive.abandon()
            self.reply.callback((self._meta, None))
            return
        self._archive.finish().addCallbacks(
            partial(self._finished, self._meta), lambda failure: self._fail(failure.value)
        )

    def _finished(self, meta: QueryMeta, made: Spool) -> None:
        if self.reply.called:
            made.close()
        else:
            self.reply.callback((meta, made))

    def _fail(self, error: Exception) -> None:
        if not self.reply.called:
            self._archive.abandon()
            self.reply.errback(error)


class Dialer:
    """Connects to servers. `source`: local address; empty or unspecified: the system chooses.

    `tls`: for servers that announce it, or all, as configured.
    """

    def __init__(
        self, reactor: Any, source: str = "", timeout_s: float = DIAL_TIMEOUT_S, tls: Tls | None = None
    ) -> None:
        self._reactor = reactor
        self._tls = tls
        self._source = "" if not source or ip_address(source).is_unspecified else source
        self._timeout_s = timeout_s

    def __call__(self, server: ServerInfo) -> "Deferred[DialedProtocol]":
        """Connect. Fails with `DialFailed` and Go's text."""
        return cast("Deferred[DialedProtocol]", self._connect(server, lambda: DialedProtocol(self._reactor)))

    def connect(self, server: ServerInfo, protocol: Callable[[], Protocol]) -> "Deferred[Any]":
        """Connect with another protocol. Fails with `DialFailed`."""
        return self._connect(server, protocol)

    def snapshot(self, server: ServerInfo, request: SnapshotRequest, data: Spool | None) -> "Deferred[SnapshotResult]":
        """Save or restore on a server, over a new connection. Fails with `RPCError`."""
        connected = self._connect(server, lambda: SnapshotProtocol(self._reactor, request, data))
        return cast("Deferred[SnapshotResult]", connected.addCallback(lambda protocol: protocol.reply))

    def _connect(self, server: ServerInfo, protocol: Callable[[], Protocol]) -> "Deferred[Any]":
        bind = (self._source, 0) if self._source else None
        endpoint: Any = tcp_endpoint(self._reactor, server.address, server.port, self._timeout_s, bind)
        secure = self._tls.outgoing(server.datacenter, server.use_tls) if self._tls is not None else None
        if secure is None:
            connected: Any = endpoint.connect(_factory(protocol))
        else:
            context, name = secure

            def layer() -> TlsProtocol:
                return TlsProtocol(context, protocol(), server_side=False, name=name, first=bytes([TLS]))

            connecting: Any = endpoint.connect(_factory(layer))
            connected = connecting.addCallback(self._secured)
        return cast("Deferred[Any]", connected.addErrback(self._failed, server))

    def _secured(self, layer: TlsProtocol) -> "Deferred[Any]":
        secured = layer.secured
        return secured if secured.called else secured.addTimeout(self._timeout_s, self._reactor)

    def _failed(self, failure: Failure, server: ServerInfo) -> Failure:
        path = f"{host_port(self._source, 0)}->" if self._source else ""
        why = _reason(cast("BaseException", failure.value))
        return Failure(DialFailed(f"dial tcp {path}{server.rpc_address}: {why}"))


def _factory(protocol: Callable[[], Protocol]) -> Any:
    factory: Any = Factory.forProtocol(protocol)
    factory.noisy = False
    return factory


def _reason(error: BaseException) -> str:
    if isinstance(error, HandshakeFailed):
        return f"TLS handshake: {error}"
    return connect_reason(error)
