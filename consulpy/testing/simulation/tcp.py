"""TCP on the simulated network: connections between two reactors, with delay, and loss as repetition.

What is written is delivered in order, late by the network's delay; while the network is cut it waits, and after
`TCP_GIVES_UP_S` both ends are lost. The end of a process is seen by its peers as a reset, if it reaches them.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.clock import cancel_timer
from consulpy.log import Logger
from consulpy.testing.simulation.network import DATA_AGAIN_S, SYN_AGAIN_S, TCP_GIVES_UP_S, Network

if TYPE_CHECKING:
    from consulpy.clock import Timer

_log = Logger()


class _Mark(bytes):
    """Marker in a stream that is no data: its end, or a reset."""


_FIN, _RESET = _Mark(b"fin"), _Mark(b"reset")
#: Pauses between looks at a network that is cut, in seconds.
_STALLED_S: Final = 1.0


class Process:
    """The process at one end. `network`, `address`: where it is; `ends`: its open connections."""

    def __init__(self, network: Network, address: str) -> None:
        self.network = network
        self.address = address
        self.is_dead = False
        self.ends: dict[End, None] = {}

    def soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call in the next turn."""
        self.network.clock.callLater(0.0, call, *arguments)


@implementer(ITCPTransport)
class End:
    """One end of a connection: the transport of its protocol."""

    disconnecting = False

    def __init__(self, process: Process, own: IPv4Address, peer: IPv4Address) -> None:
        self._process = process
        self._own, self._peer = own, peer
        self.other: End
        self.protocol: Any = None
        self.connected = True
        self.on_lost: Callable[[Failure], None] = lambda _reason: None
        self._batch: list[bytes] = []
        self._batch_at_s = -1.0
        self._arrives_s = 0.0
        self._stalled: deque[list[bytes]] = deque()
        self._stalled_since_s = 0.0
        self._received: deque[bytes] = deque()
        self._is_paused = False
        self._producer: Any = None
        self._has_finished = False
        process.ends[self] = None

    # -- sending

    def write(self, data: bytes) -> None:
        """See `ITransport.write`."""
        if self.connected and not self._has_finished and data:
            self._send(bytes(data))

    def writeSequence(self, data: Any) -> None:
        """See `ITransport.writeSequence`."""
        self.write(b"".join(data))

    def _send(self, data: bytes) -> None:
        network = self._process.network
        now_s = network.clock.seconds()
        network.bytes += len(data)
        if now_s == self._batch_at_s and self._batch and not isinstance(data, _Mark):
            self._batch.append(data)
            return
        self._batch, self._batch_at_s = [data], now_s
        late_s = network.late_s.get(self._peer.host, 0.0) if network.late_s else 0.0
        arrives_s = now_s + network.delay_s() + network.repeated_s(DATA_AGAIN_S) + late_s
        self._arrives_s = max(arrives_s, self._arrives_s)
        network.clock.callLater(self._arrives_s - now_s, self._arrive, self._batch)
        if isinstance(data, _Mark):
            self._batch = []

    def _arrive(self, batch: list[bytes]) -> None:
        network = self._process.network
        if batch is self._batch:
            self._batch = []
        if self._stalled or not network.connects(self._own.host, self._peer.host):
            self._stall(batch)
            return
        self.other.receive(batch)

    def _stall(self, batch: list[bytes]) -> None:
        """The network is cut: look again later."""
        clock = self._process.network.clock
        if not self._stalled:
            self._stalled_since_s = clock.seconds()
            clock.callLater(_STALLED_S, self._try_again)
        self._stalled.append(batch)

    def _try_again(self) -> None:
        network = self._process.network
        if network.connects(self._own.host, self._peer.host):
            waiting, self._stalled = list(self._stalled), deque()
            for batch in waiting:
                self.other.receive(batch)
        elif network.clock.seconds() - self._stalled_since_s >= TCP_GIVES_UP_S:
            self._stalled.clear()
            self.lost(error.TCPTimedOutError())
        else:
            network.clock.callLater(_STALLED_S, self._try_again)

    # -- receiving

    def receive(self, batch: list[bytes]) -> None:
        """Data, an end or a reset has arrived."""
        if not self.connected:
            if not isinstance(batch[0], _Mark):
                self.other.refused()
            return
        if batch[0] is _RESET:
            self.lost(error.ConnectionLost())
        elif batch[0] is _FIN:
            self._received.append(_FIN)
            self._deliver()
        else:
            self._received.append(b"".join(batch))
            self._deliver()

    def refused(self) -> None:
        """The other end is gone: a reset comes back."""
        self._process.soon(self.lost, error.ConnectionLost())

    def _deliver(self) -> None:
        while self._received and not self._is_paused and self.connected and not self._process.is_dead:
            data = self._received.popleft()
            if data is _FIN:
                self._ended()
                continue
            try:
                self.protocol.dataReceived(data)
            except Exception:  # as Twisted: logged, and the connection is closed
                _log.failure("a connection failed on its input")
                self.abortConnection()

    def _ended(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.protocol) and not self._has_finished:
            self.protocol.readConnectionLost()
        else:
            self.lost(error.ConnectionDone())

    # -- the end

    def loseConnection(self) -> None:
        """See `ITransport.loseConnection`."""
        if not self.connected or self.disconnecting:
            return
        self.disconnecting = True
        if self._producer is None:
            self._finish()

    def _finish(self) -> None:
        self._send_fin()
        self._process.soon(self.lost, error.ConnectionDone())

    def _send_fin(self) -> None:
        if not self._has_finished:
            self._has_finished = True
            self._send(_FIN)

    def loseWriteConnection(self) -> None:
        """See `ITCPTransport.loseWriteConnection`."""
        if self.connected:
            self._send_fin()

    def abortConnection(self) -> None:
        """See `ITCPTransport.abortConnection`."""
        if self.connected and not self._has_finished:
            self._has_finished = self.disconnecting = True
            self._send(_RESET)
            self._process.soon(self.lost, error.ConnectionAborted())

    def lost(self, reason: Exception) -> None:
        """The connection is over here."""
        if not self.connected:
            return
        self.connected = False
        self._process.ends.pop(self, None)
        if self._process.is_dead:
            return
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        failure = Failure(reason)
        self.protocol.connectionLost(failure)
        self.on_lost(failure)

    def kill(self) -> None:
        """The process has ended: its kernel resets the connection."""
        self.connected = False
        if not self._has_finished:
            self._has_finished = True
            self._send(_RESET)

    # -- flow control

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See `IConsumer`: the buffer is never full."""
        self._producer = producer
        if not streaming:
            self._pull(producer)

    def _pull(self, producer: Any) -> None:
        if self._producer is producer and self.connected and not self._process.is_dead:
            producer.resumeProducing()
            self._process.soon(self._pull, producer)

    def unregisterProducer(self) -> None:
        """See `IConsumer`."""
        self._producer = None
        if self.connected and self.disconnecting and not self._has_finished:
            self._finish()

    def pauseProducing(self) -> None:
        """See `IPushProducer`: take no input."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""
        if self._is_paused:
            self._is_paused = False
            self._process.soon(self._deliver)

    def stopProducing(self) -> None:
        """See `IPushProducer`."""
        self.loseConnection()

    # -- about it

    def getPeer(self) -> IPv4Address:
        """See `ITransport.getPeer`."""
        return self._peer

    def getHost(self) -> IPv4Address:
        """See `ITransport.getHost`."""
        return self._own

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See `ITCPTransport`."""

    def getTcpNoDelay(self) -> bool:
        """See `ITCPTransport`."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """See `ITCPTransport`."""

    def getTcpKeepAlive(self) -> bool:
        """See `ITCPTransport`."""
        return True


class Listener:
    """A TCP port of a process (Twisted's `IListeningPort`)."""

    transport: Any = None

    def __init__(self, process: Process, address: str, port: int, factory: Any) -> None:
        self.process = process
        self.factory = factory
        self._address = IPv4Address("TCP", address, port)
        process.network.listeners[address, port] = self
        factory.doStart()

    def getHost(self) -> IPv4Address:
        """See `IListeningPort`."""
        return self._address

    def stopListening(self) -> "Deferred[None]":
        """See `IListeningPort`."""
        key = (self._address.host, self._address.port)
        if self.process.network.listeners.get(key) is self:
            del self.process.network.listeners[key]
            self.factory.doStop()
        return succeed(None)


class Connector:
    """An outgoing connection (Twisted's `IConnector`)."""

    def __init__(self, process: Process, own: IPv4Address, to: IPv4Address, factory: Any) -> None:
        self._process = process
        self._own, self._to = own, to
        self._factory = factory
        self._timer: Timer | None = None
        self._is_over = False
        self._end: End | None = None

    def connect(self, timer: "Timer | None") -> None:
        """Start connecting. `timer`: of the time-out, which calls `timed_out`."""
        self._timer = timer
        self._factory.doStart()
        self._factory.startedConnecting(self)
        network = self._process.network
        network.clock.callLater(2 * network.delay_s() + network.repeated_s(SYN_AGAIN_S), self._opened, SYN_AGAIN_S)

    def _opened(self, again_s: float) -> None:
        network = self._process.network
        if self._is_over or self._process.is_dead:
            return
        if not network.connects(self._own.host, self._to.host):
            network.clock.callLater(again_s, self._opened, 2 * again_s)
            return
        listener = network.listeners.get((self._to.host, self._to.port))
        if listener is None:
            self._failed(error.ConnectionRefusedError())
            return
        self._stop_timer()
        self._is_over = True
        here, there = End(self._process, self._own, self._to), End(listener.process, self._to, self._own)
        here.other, there.other = there, here
        self._end = here
        here.on_lost = lambda reason: self._lost(reason)
        there.protocol = listener.factory.buildProtocol(self._own)
        here.protocol = self._factory.buildProtocol(self._to)
        for end in (there, here):
            if end.protocol is None:
                end.connected = False
                end.other.refused()
            else:
                end.protocol.makeConnection(end)

    def timed_out(self) -> None:
        """The time for connecting is over."""
        self._failed(error.TimeoutError())

    def _failed(self, reason: Exception) -> None:
        if not self._is_over:
            self._is_over = True
            self._stop_timer()
            self._factory.clientConnectionFailed(self, Failure(reason))
            self._factory.doStop()

    def _lost(self, reason: Failure) -> None:
        self._factory.clientConnectionLost(self, reason)
        self._factory.doStop()

    def _stop_timer(self) -> None:
        cancel_timer(self._timer)

    def stopConnecting(self) -> None:
        """See `IConnector`."""
        self._failed(error.UserError())

    def disconnect(self) -> None:
        """See `IConnector`."""
        if self._end is not None:
            self._end.loseConnection()
        else:
            self.stopConnecting()

    def getDestination(self) -> IPv4Address:
        """See `IConnector`."""
        return self._to
