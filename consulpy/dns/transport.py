"""UDP and TCP of the DNS door: packets in, packets out; the cache first.

The UDP socket is read by itself rather than through a Twisted datagram protocol: up to 64 datagrams a wake-up, and a
cache hit is answered on the spot (134,000 against 115,000 packets a second were measured on one machine).
"""

import ipaddress
import socket
import struct
from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.dns.cache import CHOICES_LIFE_S, Made, PacketCache, Version
from consulpy.dns.config import DnsConfig
from consulpy.dns.recursor import Recursor
from consulpy.dns.resolve import Resolver
from consulpy.dns.wire import HEADER_SIZE, Malformed, Question, decode
from consulpy.rpc.call import Caller

DATAGRAM_SIZE_MAX: Final = 65_535
#: How many times the socket is read for each time that this is timed.
TIMED_EVERY: Final = 16
DATAGRAMS_PER_WAKEUP: Final = 64
RECEIVE_BUFFER_BYTES: Final = 1 << 20
#: How many free UDP ports are tried until TCP's of the same number is free too.
FREE_PORT_TRIES: Final = 10
#: Questions whose answers are still being made; more are dropped (UDP) or wait (TCP).
UDP_PENDING_MAX: Final = 4096
TCP_PENDING_MAX: Final = 128
TCP_CONNECTIONS_MAX: Final = 1024
TCP_IDLE_TIMEOUT_S: Final = 8.0

_SIZE: Final = struct.Struct("!H")
_log = Logger()

Reply = Callable[[bytes], None]


class DnsService(Service):
    """Answers on every address of the configuration.

    `version`: names the state that answers are made from, so that they can be kept (`cache.Version`); left out where
    there is no state to name, as in a client agent.
    """

    def __init__(
        self,
        reactor: Any,
        config: DnsConfig,
        caller: Caller,
        *,
        rng: Random | None = None,
        version: Version = lambda _scope: None,
    ) -> None:
        self._reactor = reactor
        rng = rng or Random()
        self._resolver = Resolver(config, caller, reactor, rng, Recursor(self._exchange, rng), version)
        self._cache = PacketCache(version)
        self._udp: list[_UdpSocket] = []
        self._ports: list[Any] = []
        self._refresh = LoopingCall(self._cache.forget_choices)
        self._refresh.clock = reactor
        self.counters = {"malformed": 0, "dropped": 0, "failed": 0}
        #: Questions that were answered, and the time that they took together, in milliseconds.
        self.asked, self.asked_ms = 0, 0.0
        self.pending = 0

    @property
    def config(self) -> DnsConfig:
        """How names are answered now."""
        return self._resolver.config

    def reconfigure(self, config: DnsConfig) -> None:
        """Answer by this from now on; addresses and port stay."""
        self._resolver.config = config
        self._cache.clear()

    @property
    def cache(self) -> PacketCache:
        """The packet cache, for its counters."""
        return self._cache

    def addresses(self) -> list[tuple[str, int]]:
        """Where UDP listens."""
        return [udp.address for udp in self._udp]

    def startService(self) -> None:
        """Listen. Raises twisted.internet.error.CannotListenError."""
        super().startService()  # type: ignore[no-untyped-call]
        config = self.config
        if config.port < 0:
            return
        self._refresh.start(CHOICES_LIFE_S, now=False)
        for address in config.addresses:
            self._listen(address, config.port, tries=FREE_PORT_TRIES if config.port == 0 else 1)

    def _listen(self, address: str, port: int, tries: int) -> None:
        """UDP and TCP on one port; port 0 takes one that is free for both."""
        udp = _UdpSocket(self._reactor, address, port, self)
        try:
            tcp = self._reactor.listenTCP(udp.address[1], _TcpFactory(self, self._reactor), interface=address)
        except CannotListenError:
            udp.close()
            if tries <= 1:
                raise
            self._listen(address, port, tries - 1)
            return
        self._udp.append(udp)
        self._ports.append(tcp)

    def stopService(self) -> "Deferred[Any]":
        """Stop listening; answers that are still being made are not sent."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._refresh.running:
            self._refresh.stop()
        for udp in self._udp:
            udp.close()
        self._udp.clear()
        stopped = [port.stopListening() for port in self._ports]
        self._ports.clear()
        return gatherResults([each for each in stopped if each is not None], consumeErrors=True)

    # -- questions

    def datagram(self, packet: bytes, client: str, reply: Reply) -> None:
        """A datagram came that the cache doesn't know."""
        if self.pending >= UDP_PENDING_MAX:
            self.counters["dropped"] += 1
            return

        def keep_and_reply(made: Made) -> None:
            self._cache.put(packet, made)
            reply(made.packet)

        self.ask(packet, client, keep_and_reply, _nothing, udp=True)

    def ask(
        self,
        packet: bytes,
        client: str,
        answered: Callable[[Made], None],
        given_up: Callable[[], None],
        *,
        udp: bool,
    ) -> None:
        """Have a packet answered: `answered(made)`, or `given_up()` if there is nothing to say."""
        try:
            question = decode(packet)
        except Malformed as error:
            self.counters["malformed"] += 1
            _log.debug("bad packet: {error}", error=error)
            if error.reply:
                answered(Made(error.reply))
            else:
                given_up()
            return
        self.pending += 1
        began_s = self._reactor.seconds()
        done = Deferred.fromCoroutine(self._resolver.respond(question, udp=udp, client=client))

        def failed(failure: Failure) -> None:
            self.counters["failed"] += 1
            _log.error("{name}: {error}", name=question.name, error=failure.getErrorMessage())
            answered(Made(_failure(question)))

        def finished(result: Any) -> Any:
            self.pending -= 1
            self.asked += 1
            self.asked_ms += 1000 * (self._reactor.seconds() - began_s)
            return result

        done.addBoth(finished)
        done.addCallbacks(answered, failed)
        done.addErrback(lambda failure: _log.failure("an answer could not be sent", failure))

    # -- recursors

    def _exchange(self, address: tuple[str, int], packet: bytes, udp: bool, timeout_s: float) -> "Deferred[bytes]":
        done: Deferred[bytes] = Deferred()
        done.addTimeout(timeout_s, self._reactor)
        if udp:
            _UdpExchange(self._reactor, address, packet, done)
        else:
            _TcpExchange.begin(self._reactor, address, packet, timeout_s, done)
        return done


def _nothing() -> None:
    """A datagram that gets no answer."""


def _failure(question: Question) -> bytes:
    """SERVFAIL, for when even making an answer failed."""
    flags = 0x8002 | question.opcode << 11 | (0x0100 if question.recursion_desired else 0)
    return struct.pack("!6H", question.id, flags, 1, 0, 0, 0) + question.section


@implementer(IReadDescriptor)
class _UdpSocket:
    """A bound UDP socket that the reactor watches."""

    def __init__(self, reactor: Any, address: str, port: int, service: DnsService) -> None:
        self._reactor = reactor
        self._service = service
        self._cache = service.cache
        self._wakeups = self._counted = 0
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        try:
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise CannotListenError(address, port, error) from None
        bound = self._socket.getsockname()
        self.address = (str(bound[0]), int(bound[1]))
        reactor.addReader(self)

    def fileno(self) -> int:
        """What the reactor waits for."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Whose fault it is."""
        return "DNS"

    def doRead(self) -> None:
        """Read what has come; hits are answered at once."""
        self._wakeups += 1
        if self._wakeups % TIMED_EVERY:
            self._read_all()
            return
        began_s, before = self._reactor.seconds(), self._cache.hits
        self._read_all()
        hits = self._cache.hits - before
        if hits:  # for all since the last time: to time each would cost more than a hit itself
            mean_ms = 1000 * (self._reactor.seconds() - began_s) / hits
            since = self._cache.hits - self._counted
            self._counted = self._cache.hits
            self._service.asked += since
            self._service.asked_ms += mean_ms * since

    def _read_all(self) -> None:
        receive, send, hit = self._socket.recvfrom, self._socket.sendto, self._cache.get
        for _ in range(DATAGRAMS_PER_WAKEUP):
            try:
                packet, source = receive(DATAGRAM_SIZE_MAX)
            except (BlockingIOError, ConnectionError):
                return
            answer = hit(packet)
            if answer is None:
                self._service.datagram(packet, source[0], self._replier(source))
                continue
            try:
                send(answer, source)
            except OSError:
                self._service.counters["dropped"] += 1

    def _replier(self, source: Any) -> Reply:
        def reply(answer: bytes) -> None:
            if self._socket.fileno() < 0:
                return
            try:
                self._socket.sendto(answer, source)
            except OSError:  # no room, no such route, too long: the client asks again, by TCP if it must
                self._service.counters["dropped"] += 1

        return reply

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """The reactor gives the socket up."""
        self._socket.close()

    def close(self) -> None:
        """Stop reading."""
        self._reactor.removeReader(self)
        self._socket.close()


class _TcpConnection(Protocol, TimeoutMixin):
    """Messages with a length in front; several may be on their way, each is answered when it is ready."""

    transport: Any

    def __init__(self, factory: "_TcpFactory") -> None:
        self._factory = factory
        self._buffer = b""
        self._pending = 0
        self._paused = False
        self._client = ""

    def callLater(self, period: float, func: Callable[[], None]) -> Any:
        """TimeoutMixin's clock."""
        return self._factory.reactor.callLater(period, func)

    def connectionMade(self) -> None:
        """Refuse one too many."""
        self._client = str(getattr(self.transport.getPeer(), "host", ""))
        self._factory.connections += 1
        if self._factory.connections > TCP_CONNECTIONS_MAX:
            self._factory.service.counters["dropped"] += 1
            self.transport.abortConnection()
            return
        self.setTimeout(TCP_IDLE_TIMEOUT_S)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Answer every whole message."""
        self._buffer += data
        self._read()

    def _read(self) -> None:
        while self._pending < TCP_PENDING_MAX and len(self._buffer) >= _SIZE.size:
            end = _SIZE.size + _SIZE.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            message, self._buffer = self._buffer[_SIZE.size : end], self._buffer[end:]
            self.resetTimeout()  # type: ignore[no-untyped-call]
            if len(message) < HEADER_SIZE:
                self.transport.loseConnection()
                return
            self._pending += 1
            self._factory.service.ask(message, self._client, self._answered, self._given_up, udp=False)
        paused = self._pending >= TCP_PENDING_MAX
        if paused != self._paused:
            self._paused = paused
            (self.transport.pauseProducing if paused else self.transport.resumeProducing)()

    def _answered(self, made: Made) -> None:
        answer = made.packet
        self._pending -= 1
        if self.connected:
            self.transport.write(_SIZE.pack(len(answer)) + answer)
            self.resetTimeout()  # type: ignore[no-untyped-call]
            if self._paused:
                self._factory.reactor.callLater(0, self._read)

    def _given_up(self) -> None:
        self._pending -= 1
        self.transport.loseConnection()

    def timeoutConnection(self) -> None:
        """Nothing was asked for a while."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Gone."""
        self._factory.connections -= 1
        self.setTimeout(None)  # type: ignore[no-untyped-call]


class _TcpFactory(Factory):
    noisy = False

    def __init__(self, service: DnsService, reactor: Any) -> None:
        self.service = service
        self.reactor = reactor
        self.connections = 0

    def buildProtocol(self, addr: Any) -> _TcpConnection:  # noqa: ARG002
        return _TcpConnection(self)


@implementer(IReadDescriptor)
class _UdpExchange:
    """One packet to a recursor, from a port of its own, and its reply. (Twisted's own logs two lines for each port.)"""

    def __init__(self, reactor: Any, address: tuple[str, int], packet: bytes, done: "Deferred[bytes]") -> None:
        self._reactor, self._packet, self._done = reactor, packet, done
        self._socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        done.addBoth(self._close)
        try:
            self._socket.connect(address)  # only the recursor may answer
            self._socket.send(packet)
        except OSError as error:
            done.errback(error)
            return
        reactor.addReader(self)

    def fileno(self) -> int:
        """What the reactor waits for."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Whose fault it is."""
        return "DNS"

    def doRead(self) -> None:
        """The reply, unless its id is wrong."""
        try:
            reply = self._socket.recv(DATAGRAM_SIZE_MAX)
        except BlockingIOError:
            return
        except OSError as error:
            self._done.errback(error)
            return
        if reply[:2] == self._packet[:2]:
            self._done.callback(reply)

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """Nobody listens there."""
        if not self._done.called:
            self._done.errback(ConnectionRefusedError("connection refused"))

    def _close(self, result: Any) -> Any:
        self._reactor.removeReader(self)
        self._socket.close()
        return result


class _TcpExchange(Protocol):
    """One message to a recursor by TCP, and its reply."""

    transport: Any

    def __init__(self, packet: bytes, done: "Deferred[bytes]") -> None:
        self._packet, self._done = packet, done
        self._buffer = b""

    @classmethod
    def begin(
        cls, reactor: Any, address: tuple[str, int], packet: bytes, timeout_s: float, done: "Deferred[bytes]"
    ) -> None:
        """Connect and send."""
        from twisted.internet.endpoints import HostnameEndpoint, connectProtocol

        protocol = cls(packet, done)
        connecting = connectProtocol(HostnameEndpoint(reactor, *address, timeout=timeout_s), protocol)
        connecting.addErrback(lambda failure: None if done.called else done.errback(failure))
        done.addBoth(protocol._close)

    def connectionMade(self) -> None:
        """Ask."""
        self.transport.write(_SIZE.pack(len(self._packet)) + self._packet)

    def dataReceived(self, data: bytes) -> None:
        """Collect one message."""
        self._buffer += data
        if len(self._buffer) >= _SIZE.size:
            end = _SIZE.size + _SIZE.unpack_from(self._buffer)[0]
            if len(self._buffer) >= end and not self._done.called:
                self._done.callback(self._buffer[_SIZE.size : end])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Too early, unless the reply is there."""
        if not self._done.called:
            self._done.errback(reason)

    def _close(self, result: Any) -> Any:
        if self.transport is not None:
            self.transport.abortConnection()
        return result
