"""The DNS door: what listens, and what becomes of a question that no cache knows."""

import struct
from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from consulpy.connections import UNLIMITED, ConnectionTable
from consulpy.dns.cache import CHOICES_LIFE_S, TCP_ENTRIES_MAX, CacheableAnswer, PacketCache, Version
from consulpy.dns.config import DnsConfig
from consulpy.dns.recursor import Recursor
from consulpy.dns.resolve import Resolver
from consulpy.dns.transport.exchange import TcpExchange, UdpExchange
from consulpy.dns.transport.tcp import TcpFactory
from consulpy.dns.transport.udp import UdpSocket
from consulpy.dns.wire import Malformed, Question, decode
from consulpy.rpc.caller import Caller

#: How many free UDP ports are tried until TCP's of the same number is free too.
FREE_PORT_TRIES: Final = 10
#: TCP connections that wait to be accepted.
BACKLOG: Final = 1024
#: Questions whose answers are still being made; more are dropped.
UDP_PENDING_MAX: Final = 4096

_log = Logger()

Reply = Callable[[bytes], None]


class DnsService(Service):
    """Answers on every address of the configuration.

    `version`: names the state that answers are made from, so that they can be kept (`cache.Version`); left out where
    there is no state to name, as in a client agent. `wall_s()`: seconds since 1970, for serial numbers. `token()`:
    whose rights answers are made by.
    """

    def __init__(
        self,
        reactor: Any,
        config: DnsConfig,
        caller: Caller,
        *,
        rng: Random | None = None,
        version: Version = lambda _scope: None,
        wall_s: Callable[[], float] | None = None,
        connections: ConnectionTable | None = None,
        token: Callable[[], str] = lambda: "",
    ) -> None:
        self._reactor = reactor
        self._connections = ConnectionTable(UNLIMITED) if connections is None else connections
        rng = rng or Random()
        self._resolver = Resolver(
            config, caller, wall_s or reactor.seconds, rng, Recursor(self._exchange, rng), version, token
        )
        self._cache = PacketCache(version)
        self._tcp_cache = PacketCache(version, TCP_ENTRIES_MAX)
        self._udp: list[UdpSocket] = []
        self._ports: list[Any] = []
        self._refresh = LoopingCall(self._forget_choices)
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
        self._tcp_cache.clear()

    def _forget_choices(self) -> None:
        self._cache.forget_choices()
        self._tcp_cache.forget_choices()

    @property
    def cache(self) -> PacketCache:
        """The packet cache of UDP, for its counters."""
        return self._cache

    @property
    def tcp_cache(self) -> PacketCache:
        """That of TCP."""
        return self._tcp_cache

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
        udp = UdpSocket(self._reactor, address, port, self)
        try:
            tcp = self._reactor.listenTCP(
                udp.address[1], TcpFactory(self, self._reactor, self._connections), BACKLOG, address
            )
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

        def keep_and_reply(made: CacheableAnswer) -> None:
            self._cache.put(packet, made)
            reply(made.packet)

        self.ask(packet, client, keep_and_reply, _nothing, udp=True)

    def ask(
        self,
        packet: bytes,
        client: str,
        answered: Callable[[CacheableAnswer], None],
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
                answered(CacheableAnswer(error.reply))
            else:
                given_up()
            return
        self.pending += 1
        began_s = self._reactor.seconds()
        done = Deferred.fromCoroutine(self._resolver.respond(question, udp=udp, client=client))

        def failed(failure: Failure) -> None:
            self.counters["failed"] += 1
            _log.error("{name}: {error}", name=question.name, error=failure.getErrorMessage())
            answered(CacheableAnswer(_failure(question)))

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
            UdpExchange(self._reactor, address, packet, done)
        else:
            TcpExchange.begin(self._reactor, address, packet, timeout_s, done)
        return done


def _nothing() -> None:
    """A datagram that gets no answer."""


def _failure(question: Question) -> bytes:
    """SERVFAIL, for when even making an answer failed."""
    flags = 0x8002 | question.opcode << 11 | (0x0100 if question.recursion_desired else 0)
    return struct.pack("!6H", question.id, flags, 1, 0, 0, 0) + question.section
