"""Network sinks: StatsD and DogStatsD by UDP, statsite by TCP."""

from typing import Any

from twisted.application.internet import ClientService
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from consulpy.errors import ConfigError
from consulpy.log import Logger
from consulpy.metrics.statsd import StatsdLines

_log = Logger()


class NetworkSink:
    """Sends packets between `start` and `stop`; what can't be sent is lost."""

    def __init__(self, lines: StatsdLines) -> None:
        #: Buffers lines until they are flushed.
        self.lines = lines

    def start(self) -> None:
        """Start."""
        raise NotImplementedError

    def send(self, packet: bytes) -> None:
        """Send one packet if possible."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop."""
        raise NotImplementedError


class StatsdSink(NetworkSink):
    """Sends datagrams to one address, whose name is resolved once."""

    def __init__(self, reactor: Any, address: str, lines: StatsdLines) -> None:
        super().__init__(lines)
        self._reactor = reactor
        self._host, self._port = host_and_port(address)
        self._socket: Any = None

    def start(self) -> None:
        """Resolve the name."""
        self._reactor.resolve(self._host).addCallbacks(self._found, self._unknown)

    def _found(self, address: str) -> None:
        protocol = DatagramProtocol()
        protocol.noisy = False
        self._host = address
        self._socket = self._reactor.listenUDP(0, protocol)

    def _unknown(self, failure: Any) -> None:
        _log.error("statsd {host}: {why}; no metrics are sent", host=self._host, why=failure.getErrorMessage())

    def send(self, packet: bytes) -> None:
        """See `NetworkSink.send`."""
        if self._socket is not None:
            self._socket.write(packet, (self._host, self._port))

    def stop(self) -> None:
        """Stop."""
        if self._socket is not None:
            self._socket.stopListening()


class StatsiteSink(NetworkSink):
    """Sends over a TCP connection that is reopened when it breaks; packets without a connection are lost."""

    def __init__(self, reactor: Any, address: str, lines: StatsdLines) -> None:
        super().__init__(lines)
        factory = Factory.forProtocol(Protocol)
        factory.noisy = False
        self._service = ClientService(HostnameEndpoint(reactor, *host_and_port(address)), factory, clock=reactor)
        self._connection: Any = None

    def start(self) -> None:
        """Connect, and reconnect whenever the connection breaks."""
        self._service.startService()
        self._wait()

    def _wait(self) -> None:
        self._service.whenConnected().addCallbacks(self._connected, lambda _stopped: None)

    def _connected(self, protocol: Any) -> None:
        self._connection = protocol
        protocol.connectionLost = lambda _reason=None: self._lost()

    def _lost(self) -> None:
        self._connection = None
        self._wait()

    def send(self, packet: bytes) -> None:
        """See `NetworkSink.send`."""
        if self._connection is not None:
            self._connection.transport.write(packet)

    def stop(self) -> None:
        """Stop."""
        self._service.stopService()


def host_and_port(address: str) -> tuple[str, int]:
    """Split "host:port". Raises `ConfigError`."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f'telemetry: "{address}" is no host:port, such as 127.0.0.1:8125')
    return host.strip("[]"), int(port)
