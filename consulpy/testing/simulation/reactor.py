"""The reactor of one simulated process: the part of Twisted's that an agent uses, on virtual time and network."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError

from consulpy.memberlist.incoming import IncomingStream
from consulpy.memberlist.member import Address
from consulpy.testing.simulation.clock import HeapTimer, NodeClock
from consulpy.testing.simulation.disk import InlineDisk, InlinePool, MemoryFiles
from consulpy.testing.simulation.network import Host, Network
from consulpy.testing.simulation.tcp import Connector, Listener, Process

#: The first ephemeral port.
_EPHEMERAL: Final = 32768


class SimulatedReactor(Process):
    """Time, ports and connections of one process. `files`: what its disk keeps."""

    running = True

    def __init__(self, network: Network, address: str, clock: NodeClock, files: MemoryFiles) -> None:
        super().__init__(network, address)
        self._clock = clock
        self.files = files
        self.seconds = clock.seconds
        self.wall_s = clock.wall_s
        self._pool = InlinePool()
        self._is_closed = False
        self._port = _EPHEMERAL
        self._datagram_ports: list[DatagramPort] = []
        self._listeners: list[Listener] = []
        self.nameResolver = NoNames()

    # -- time and threads

    def callLater(self, delay: float, call: Callable[..., object], *arguments: Any, **named: Any) -> HeapTimer:
        """See `IReactorTime`."""
        timer = self._clock.callLater(delay, call, *arguments, **named)
        timer.owner = self
        if self._is_closed:
            timer.cancel()
        return timer

    def callFromThread(self, call: Callable[..., object], *arguments: Any, **named: Any) -> None:
        """See `IReactorFromThreads`."""
        self.callLater(0.0, call, *arguments, **named)

    def getDelayedCalls(self) -> list[Any]:
        """Not counted: all nodes share the clock."""
        return []

    def getThreadPool(self) -> InlinePool:
        """See `IReactorThreads`."""
        return self._pool

    def disk_thread(self, name: str) -> InlineDisk:
        """Stand-in for a `DiskThread`."""
        return InlineDisk(name, self.seconds)

    # -- ports and connections

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Listener:  # noqa: ARG002
        """See `IReactorTCP`. Raises `CannotListenError`."""
        number = port or self._free_port()
        if (self.address, number) in self.network.listeners:
            raise CannotListenError(interface, number, OSError(98, "Address already in use"))
        listener = Listener(self, self.address, number, factory)
        self._listeners.append(listener)
        return listener

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30.0,
        bindAddress: Any = None,  # noqa: ARG002 - a process has one address
    ) -> Connector:
        """See `IReactorTCP`."""
        own = IPv4Address("TCP", self.address, self._free_port())
        connector = Connector(self, own, IPv4Address("TCP", host, port), factory)
        connector.connect(self.callLater(timeout, connector.timed_out) if timeout else None)
        return connector

    def listenUDP(
        self,
        port: int,
        protocol: Any,
        interface: str = "",  # noqa: ARG002 - a process has one address
        maxPacketSize: int = 8192,  # noqa: ARG002
    ) -> "DatagramPort":
        """See `IReactorUDP`."""
        made = DatagramPort(self.network.host((self.address, port or self._free_port())), protocol)
        self._datagram_ports.append(made)
        protocol.makeConnection(made)
        return made

    def _free_port(self) -> int:
        self._port = self._port + 1 if self._port < 60999 else _EPHEMERAL
        return self._port

    # -- the end

    def kill(self) -> None:
        """End the process for all others: its ports and connections are gone."""
        self.is_dead = True
        for listener in self._listeners:
            listener.stopListening()
        for port in self._datagram_ports:
            port.stopListening()
        for end in list(self.ends):
            end.kill()
        self.ends.clear()

    def close(self) -> None:
        """Cancel all timers, after the dead process's parts have closed what they hold."""
        self._is_closed = True
        self._clock.cancel_of(self)


class DatagramPort:
    """A UDP port: its protocol's transport, and the machine of its host."""

    def __init__(self, host: Host, protocol: Any) -> None:
        self._host = host
        self._received = protocol.datagramReceived
        host.attach(self)

    def packet_received(self, data: bytes, source: Address) -> None:
        """See `consulpy.testing.simulation.network.Machine`."""
        self._received(data, source)

    def stream_opened(self, source: Address) -> IncomingStream:
        """There are no streams here: TCP has ports of its own."""
        raise NotImplementedError(f"a stream from {source}")

    def shutdown(self) -> None:
        """Nothing to stop."""

    def write(self, data: bytes, address: Address) -> None:
        """See `IUDPTransport`."""
        self._host.send_packet(address, data)

    def getHost(self) -> IPv4Address:
        """See `IUDPTransport`."""
        return IPv4Address("UDP", *self._host.address)

    def stopListening(self) -> None:
        """See `IListeningPort`."""
        self._host.machine = None


class NoNames:
    """A resolver that knows no name."""

    def resolveHostName(self, receiver: Any, host: str, *_arguments: Any, **_named: Any) -> Any:
        """See `IHostnameResolver`."""
        receiver.resolutionBegan(host)
        receiver.resolutionComplete()
        return receiver
