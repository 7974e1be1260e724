"""DNS over UDP: a socket that the reactor watches.

It is read directly rather than through a Twisted datagram protocol: up to 64 datagrams per wake-up (134,000 against
115,000 packets a second, measured on one machine). Cached answers are sent after all have been read: a client on the
same machine is woken once for many answers.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.dns.cache import PacketCache

DATAGRAM_SIZE_MAX: Final = 65_535
#: Wake-ups per wake-up that is timed.
TIMED_EVERY: Final = 16
DATAGRAMS_PER_WAKEUP: Final = 64
RECEIVE_BUFFER_BYTES: Final = 1 << 20

Reply = Callable[[bytes], None]


class QueryHandler(Protocol):
    """Answers the datagrams of a socket (`consulpy.dns.transport.service.DnsService`)."""

    counters: dict[str, int]
    queries: int
    queries_ms: float

    @property
    def cache(self) -> PacketCache:
        """The packet cache of UDP."""

    def handle_datagram(self, packet: bytes, client: str, reply: Reply) -> None:
        """Answer a datagram that is not cached."""


@implementer(IReadDescriptor)
class UdpSocket:
    """A bound UDP socket that the reactor watches."""

    def __init__(self, reactor: Any, address: str, port: int, service: "QueryHandler") -> None:
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
        """See `IReadDescriptor`."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return "DNS"

    def doRead(self) -> None:
        """Read the datagrams that have arrived, and answer the cached ones."""
        self._wakeups += 1
        if self._wakeups % TIMED_EVERY:
            self._read_all()
            return
        began_s, before = self._reactor.seconds(), self._cache.hits
        self._read_all()
        hits = self._cache.hits - before
        if hits:  # stands for all since the last time: timing each would cost more than a hit
            mean_ms = 1000 * (self._reactor.seconds() - began_s) / hits
            since = self._cache.hits - self._counted
            self._counted = self._cache.hits
            self._service.queries += since
            self._service.queries_ms += mean_ms * since

    def _read_all(self) -> None:
        receive, send, hit = self._socket.recvfrom, self._socket.sendto, self._cache.get
        hits: list[tuple[bytes, Any]] = []
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(DATAGRAMS_PER_WAKEUP):
                packet, source = receive(DATAGRAM_SIZE_MAX)
                answer = hit(packet)
                if answer is None:
                    self._service.handle_datagram(packet, source[0], self._replier(source))
                else:
                    hits.append((answer, source))
        for each in hits:
            try:
                send(*each)
            except OSError:
                self._service.counters["dropped"] += 1

    def _replier(self, source: Any) -> Reply:
        def reply(answer: bytes) -> None:
            if self._socket.fileno() < 0:
                return
            try:
                self._socket.sendto(answer, source)
            except OSError:  # buffer full, no route, too long: the client repeats the question, by TCP if needed
                self._service.counters["dropped"] += 1

        return reply

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """See `IReadDescriptor`."""
        self._socket.close()

    def close(self) -> None:
        """Close the socket."""
        self._reactor.removeReader(self)
        self._socket.close()
