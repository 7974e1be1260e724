"""The DNS service: its listeners, and the full path of a question that is not cached."""

import struct
from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from consulpy.connections import UNLIMITED, ConnectionTable
from consulpy.dns.cache import SET_LIFETIME_S, TCP_ENTRIES_MAX, CacheableAnswer, PacketCache
from consulpy.dns.config import DnsConfig
from consulpy.dns.recursor import Recursor
from consulpy.dns.resolve import Resolver
from consulpy.dns.sampling import Turns
from consulpy.dns.transport.exchange import TcpExchange, UdpExchange
from consulpy.dns.transport.tcp import TcpFactory
from consulpy.dns.transport.udp import UdpSocket
from consulpy.dns.wire import Malformed, Question, decode
from consulpy.log import Logger
from consulpy.rpc.cache.tag import Validator
from consulpy.rpc.caller import Caller
from consulpy.serf.periodic import Ticker

#: With port 0: UDP ports tried until the TCP port of the same number is free too.
FREE_PORT_TRIES: Final = 10
#: Backlog of the TCP listeners, in connections.
BACKLOG: Final = 1024
#: Questions being resolved; above it datagrams are dropped.
UDP_PENDING_MAX: Final = 4096

_log = Logger()

Reply = Callable[[bytes], None]


class DnsService(Service):
    """Answers on every address of the configuration.

    `validator`: for the packet cache; the default, used in client agents, caches nothing. `wall_s()`: seconds since
    1970, for SOA serial numbers. `token()`: the ACL token of the reads.
    """

    def __init__(
        self,
        reactor: Any,
        config: DnsConfig,
        caller: Caller,
        *,
        rng: Random | None = None,
        validator: Validator = lambda _tag: None,
        wall_s: Callable[[], float] | None = None,
        connections: ConnectionTable | None = None,
        token: Callable[[], str] = lambda: "",
    ) -> None:
        self._reactor = reactor
        self._connections = ConnectionTable(UNLIMITED) if connections is None else connections
        rng = rng or Random()
        self._resolver = Resolver(
            config,
            caller,
            wall_s or reactor.seconds,
            rng,
            Recursor(self._exchange, rng),
            validator,
            token,
            Turns(reactor),
        )
        self._cache = PacketCache(validator)
        self._tcp_cache = PacketCache(validator, TCP_ENTRIES_MAX)
        self._udp: list[UdpSocket] = []
        self._ports: list[Any] = []
        self._refresh = Ticker(reactor, SET_LIFETIME_S, self._restart_sets)
        self.counters = {"malformed": 0, "dropped": 0, "failed": 0}
        #: Questions answered, and the time spent on them in milliseconds.
        self.queries, self.queries_ms = 0, 0.0
        self.pending = 0

    @property
    def config(self) -> DnsConfig:
        """The current settings."""
        return self._resolver.config

    def reconfigure(self, config: DnsConfig) -> None:
        """Use these settings from now on, but for addresses and port; the caches are cleared."""
        self._resolver.config = config
        self._cache.clear()
        self._tcp_cache.clear()

    def _restart_sets(self) -> None:
        self._cache.restart_sets()
        self._tcp_cache.restart_sets()

    @property
    def cache(self) -> PacketCache:
        """The packet cache of UDP."""
        return self._cache

    @property
    def tcp_cache(self) -> PacketCache:
        """The packet cache of TCP."""
        return self._tcp_cache

    def addresses(self) -> list[tuple[str, int]]:
        """The bound UDP addresses."""
        return [udp.address for udp in self._udp]

    def startService(self) -> None:
        """Listen. Raises `twisted.internet.error.CannotListenError`."""
        super().startService()  # type: ignore[no-untyped-call]
        config = self.config
        if config.port < 0:
            return
        self._refresh.start()
        for address in config.addresses:
            self._listen(address, config.port, tries=FREE_PORT_TRIES if config.port == 0 else 1)

    def _listen(self, address: str, port: int, tries: int) -> None:
        """Bind UDP and TCP to one port; port 0 takes one that is free for both."""
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
        """Stop listening; answers being resolved are not sent."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._refresh.stop()
        for udp in self._udp:
            udp.close()
        self._udp.clear()
        stopped = [port.stopListening() for port in self._ports]
        self._ports.clear()
        return gatherResults([each for each in stopped if each is not None], consumeErrors=True)

    # -- questions

    def handle_datagram(self, packet: bytes, client: str, reply: Reply) -> None:
        """Answer a datagram that is not cached; dropped above `UDP_PENDING_MAX`."""
        if self.pending >= UDP_PENDING_MAX:
            self.counters["dropped"] += 1
            return

        def cache_and_reply(answer: CacheableAnswer) -> None:
            self._cache.put(packet, answer)
            reply(answer.packet)

        self.resolve(packet, client, cache_and_reply, _no_reply, udp=True)

    def resolve(
        self,
        packet: bytes,
        client: str,
        on_answer: Callable[[CacheableAnswer], None],
        on_no_answer: Callable[[], None],
        *,
        udp: bool,
    ) -> None:
        """Resolve the question in a packet, then call `on_answer`, or `on_no_answer` if it gets no reply."""
        try:
            question = decode(packet)
        except Malformed as error:
            self.counters["malformed"] += 1
            _log.debug("bad packet: {error}", error=error)
            if error.reply:
                on_answer(CacheableAnswer(error.reply))
            else:
                on_no_answer()
            return
        self.pending += 1
        began_s = self._reactor.seconds()
        done = Deferred.fromCoroutine(self._resolver.respond(question, udp=udp, client=client))

        def failed(failure: Failure) -> None:
            self.counters["failed"] += 1
            _log.error("{name}: {error}", name=question.name, error=failure.getErrorMessage())
            on_answer(CacheableAnswer(_server_failure(question)))

        def finished(result: Any) -> Any:
            self.pending -= 1
            self.queries += 1
            self.queries_ms += 1000 * (self._reactor.seconds() - began_s)
            return result

        done.addBoth(finished)
        done.addCallbacks(on_answer, failed)
        done.addErrback(lambda failure: _log.failure("an answer could not be sent", failure))

    # -- recursors

    def _exchange(self, address: tuple[str, int], packet: bytes, udp: bool, timeout_s: float) -> "Deferred[bytes]":
        done: Deferred[bytes] = Deferred()
        done.addTimeout(timeout_s, self._reactor)
        if udp:
            UdpExchange(self._reactor, address, packet, done)
        else:
            TcpExchange.start(self._reactor, address, packet, timeout_s, done)
        return done


def _no_reply() -> None:
    """Do nothing: a malformed datagram is not answered."""


def _server_failure(question: Question) -> bytes:
    """A SERVFAIL packet, for an unexpected error."""
    flags = 0x8002 | question.opcode << 11 | (0x0100 if question.recursion_desired else 0)
    return struct.pack("!6H", question.id, flags, 1, 0, 0, 0) + question.section
