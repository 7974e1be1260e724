"""What both ends of a TCP connection on 8300 do the same way: timers, farewells, and the pump of a yamux connection."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from consulpy.clock import Timer
from consulpy.errors import WireError
from consulpy.rpc import yamux
from consulpy.rpc.server_metadata import host_port

_log = Logger()

#: First bytes.
PLAIN, RAFT, TLS, YAMUX, SNAPSHOT = 0, 1, 3, 4, 5
#: yamux asks after so many seconds whether the other end is there, and hangs up without an answer.
KEEP_ALIVE_S: Final = 30.0
ANSWER_TIMEOUT_S: Final = 10.0
#: Bytes that may wait in a socket for so many seconds; then the peer is cut off.
WRITE_TIMEOUT_S: Final = 10.0
#: How long a farewell (go away, an error) may take to leave the socket.
FAREWELL_S: Final = 1.0


class Timers:
    """A few named timers of one connection."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._timers: dict[str, Timer] = {}

    def start(self, name: str, delay_s: float, call: Any, *args: Any) -> None:
        """Call so many seconds from now; a timer of this name that runs is stopped."""
        self.stop(name)
        self._timers[name] = self._reactor.callLater(delay_s, call, *args)

    def stop(self, name: str) -> None:
        """Stop the timer, if it runs."""
        timer = self._timers.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()

    def stop_all(self) -> None:
        """Stop all of them."""
        for name in list(self._timers):
            self.stop(name)


class Connected(Protocol):
    """What both ends of a TCP connection do the same way."""

    transport: Any

    def __init__(self, reactor: Any) -> None:
        self.timers = Timers(reactor)

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


@implementer(IPushProducer)
class YamuxDriver:
    """Pumps a `yamux.Connection`: keep-alive, write timeout, and the end. `on_open`, `on_pending`: see there."""

    def __init__(
        self,
        protocol: Connected,
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
            on_pong=self._answered,
            on_pending=on_pending,
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
