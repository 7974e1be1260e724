"""Parts of both ends of an RPC connection: timers, graceful close, and the driver of yamux."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from consulpy.clock import Timer, cancel_timer
from consulpy.errors import WireError
from consulpy.log import Logger
from consulpy.rpc import yamux
from consulpy.rpc.server_metadata import host_port

_log = Logger()

#: First byte of a connection.
PLAIN, RAFT, TLS, YAMUX, SNAPSHOT, INSECURE_TLS, GRPC = 0, 1, 3, 4, 5, 7, 8
#: First byte of a connection that begins with TLS at once: a handshake record (RFC 8446 5.1).
TLS_RECORD: Final = 22
#: Interval of yamux pings, and timeout of the pong, in seconds; then the connection is aborted.
KEEPALIVE_INTERVAL_S: Final = 30.0
PONG_TIMEOUT_S: Final = 10.0
#: Longest time that a socket stays full, in seconds; then the connection is aborted.
WRITE_TIMEOUT_S: Final = 10.0
#: Timeout of a graceful close, in seconds; then the connection is aborted.
GRACEFUL_CLOSE_S: Final = 1.0


class Timers:
    """Timers of one connection, by name."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._timers: dict[str, Timer] = {}

    def start(self, name: str, delay_s: float, call: Any, *args: Any) -> None:
        """Call after `delay_s` seconds; restarts a timer of this name."""
        self.stop(name)
        self._timers[name] = self._reactor.callLater(delay_s, call, *args)

    def stop(self, name: str) -> None:
        """Cancel the timer, if it runs."""
        cancel_timer(self._timers.pop(name, None))

    def stop_all(self) -> None:
        """Cancel all timers."""
        for name in list(self._timers):
            self.stop(name)


class RpcConnection(Protocol):
    """Base of both ends of a TCP connection."""

    transport: Any

    def __init__(self, reactor: Any) -> None:
        self.timers = Timers(reactor)

    def connectionMade(self) -> None:
        """Set TCP_NODELAY and SO_KEEPALIVE."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)

    def close_gracefully(self, why: str) -> None:
        """Close when all is written; logs `why` unless it is empty."""
        if why:
            _log.warn("RPC connection with {peer} closed: {why}", peer=self.peer, why=why)
        self.timers.stop_all()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.timers.start("close", GRACEFUL_CLOSE_S, self.transport.abortConnection)

    def abort(self, why: str) -> None:
        """Close at once; logs `why`."""
        _log.warn("RPC connection with {peer} cut: {why}", peer=self.peer, why=why)
        self.transport.abortConnection()

    @property
    def peer(self) -> str:
        """The other end, "ip:port"."""
        address = self.transport.getPeer()
        return host_port(address.host, address.port)


@implementer(IPushProducer)
class YamuxDriver:
    """Drives a `yamux.Connection`: keepalive, write timeout, backpressure. `on_open`, `on_pending`: see there."""

    def __init__(
        self,
        protocol: RpcConnection,
        *,
        client: bool,
        on_open: Callable[[yamux.Stream], None] | None = None,
        on_pending: Callable[[int], None] = lambda _change: None,
    ) -> None:
        self._protocol = protocol
        self._timers = protocol.timers
        self._client = client
        self.yamux = yamux.Connection(
            client=client,
            write=protocol.transport.write,
            on_open=on_open,
            on_pong=self._pong,
            on_pending=on_pending,
        )
        protocol.transport.registerProducer(self, True)
        self._timers.start("keep-alive", KEEPALIVE_INTERVAL_S, self._ping)

    def data_received(self, data: bytes) -> None:
        """Process input; closes the connection after a protocol error."""
        try:
            self.yamux.receive(data)
        except WireError as error:
            self._protocol.close_gracefully(str(error))

    def lost(self, why: str = "EOF") -> None:
        """Close all streams: the connection is lost."""
        self.yamux.close(why)

    def pauseProducing(self) -> None:
        """The socket is full: stop sending, and (as a server) reading."""
        self.yamux.pause()
        if not self._client:
            self._protocol.transport.pauseProducing()
        self._timers.start("write", WRITE_TIMEOUT_S, self._protocol.abort, "it did not read for too long")

    def resumeProducing(self) -> None:
        """The socket is empty: continue."""
        self._timers.stop("write")
        if not self._client:
            self._protocol.transport.resumeProducing()
        self.yamux.resume()

    def stopProducing(self) -> None:
        """Nothing to do: see `lost`."""

    def _ping(self) -> None:
        self.yamux.ping()
        self._timers.start("pong", PONG_TIMEOUT_S, self._protocol.abort, "it answers no ping")
        self._timers.start("keep-alive", KEEPALIVE_INTERVAL_S, self._ping)

    def _pong(self, _number: int) -> None:
        self._timers.stop("pong")
