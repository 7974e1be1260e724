"""DNS over TCP: answers from the cache in one write, and nothing read from a client that doesn't read."""

import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from consulpy.connections import ConnectionTable
from consulpy.dns.cache import CacheableAnswer, PacketCache
from consulpy.dns.transport.tcp import (
    TCP_CONNECTIONS_MAX,
    TCP_CONNECTIONS_PER_CLIENT,
    TCP_PENDING_MAX,
    TcpFactory,
)

ANSWER = b"x" * 3000
QUESTION = b"id" + b"q" * 30


class Service:
    """What answers; `late` keeps the answers back."""

    def __init__(self) -> None:
        self.counters = {"dropped": 0}
        self.queries = 0
        self.tcp_cache = PacketCache(lambda _scope: 1)
        self.waiting: list[Callable[[CacheableAnswer], None]] = []

    def resolve(self, packet: bytes, client: str, on_answer: Any, on_no_answer: Any, *, udp: bool) -> None:
        self.waiting.append(on_answer)

    def keep(self) -> None:
        self.tcp_cache.put(QUESTION, CacheableAnswer(b"id" + ANSWER, 1, ("node", "n"), 1))


class Socket(StringTransport):
    """One that is full after 64 KiB, like Twisted's."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.value()) > 64 * 1024:
            self.producer.pauseProducing()


def connected(service: Service) -> tuple[Any, Socket, Clock]:
    clock = Clock()
    connection, socket = TcpFactory(service, clock).buildProtocol(None), Socket()
    connection.makeConnection(socket)
    return connection, socket, clock


def message(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def test_cached_answers_have_the_id_of_their_question() -> None:
    service = Service()
    service.keep()
    connection, socket, _ = connected(service)
    for byte in message(b"AB" + QUESTION[2:]) + message(b"CD" + QUESTION[2:]):
        connection.dataReceived(bytes([byte]))
    assert socket.value() == message(b"AB" + ANSWER) + message(b"CD" + ANSWER)
    assert service.queries == 2


def test_an_answer_is_cached() -> None:
    service = Service()
    connection, socket, _ = connected(service)
    connection.dataReceived(message(QUESTION))
    service.waiting[0](CacheableAnswer(b"id" + ANSWER, 1, ("node", "n"), 1))
    connection.dataReceived(message(QUESTION))
    assert socket.value() == 2 * message(b"id" + ANSWER)
    assert len(service.waiting) == 1


def test_a_client_that_does_not_read_is_not_read_from() -> None:
    service = Service()
    service.keep()
    connection, socket, clock = connected(service)
    connection.dataReceived(5000 * message(QUESTION))
    assert socket.producerState == "paused"
    assert len(socket.value()) < 200_000
    answered = 0
    while True:
        answered += len(socket.value()) // len(message(b"id" + ANSWER))
        if socket.producerState != "paused":
            break
        socket.clear()
        connection.resumeProducing()
        clock.advance(0)
    assert answered == 5000


def test_reading_pauses_at_the_limit_of_pending_questions() -> None:
    service = Service()
    connection, socket, clock = connected(service)
    connection.dataReceived((TCP_PENDING_MAX + 5) * message(QUESTION))
    assert (len(service.waiting), socket.producerState) == (TCP_PENDING_MAX, "paused")
    for answered in service.waiting[:10]:
        answered(CacheableAnswer(b"id" + b"y"))
    clock.advance(0)
    assert (len(service.waiting), socket.producerState) == (TCP_PENDING_MAX + 5, "producing")


def test_another_protocol_is_disconnected() -> None:
    """The first two letters of `GET` would announce a query of 18,245 bytes."""
    connection, socket, _ = connected(Service())

    connection.dataReceived(b"GET / HTTP/1.1\r\n\r\n")

    assert socket.disconnecting


class Client(Socket):
    """A connection from an address; what is aborted is lost."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.protocol.connectionLost()


def client(factory: TcpFactory, host: str) -> Client:
    made = Client(peerAddress=IPv4Address("TCP", host, 1))
    made.protocol = factory.buildProtocol(None)
    made.protocol.makeConnection(made)
    return made


def is_served(made: Client) -> bool:
    made.protocol.dataReceived(message(QUESTION))
    return bool(made.value())


def test_idle_connections_of_one_client_are_evicted() -> None:
    service = Service()
    service.keep()
    factory = TcpFactory(service, Clock(), ConnectionTable(10_000))
    before = client(factory, "10.0.0.2")
    idle = [client(factory, "10.0.0.1") for _ in range(1100)]
    assert sum(not each.aborted for each in idle) == TCP_CONNECTIONS_PER_CLIENT
    assert not any(each.aborted for each in idle[-TCP_CONNECTIONS_PER_CLIENT:]), "the oldest idle ones went"
    assert is_served(client(factory, "10.0.0.3"))
    assert is_served(before)
    assert is_served(client(factory, "10.0.0.1"))


def test_idle_connections_of_many_clients_are_evicted() -> None:
    service = Service()
    service.keep()
    factory = TcpFactory(service, Clock())
    idle = [client(factory, f"10.0.{number % 7}.{number % 250}") for number in range(2 * TCP_CONNECTIONS_MAX)]
    assert sum(not each.aborted for each in idle) <= TCP_CONNECTIONS_MAX
    assert is_served(client(factory, "10.1.0.1"))
    for each in idle:
        if not each.aborted:
            each.abortConnection()


def test_a_connection_with_a_pending_question_is_not_evicted() -> None:
    service = Service()
    factory = TcpFactory(service, Clock())
    waiting = [client(factory, "10.0.0.1") for _ in range(TCP_CONNECTIONS_PER_CLIENT)]
    for each in waiting:
        each.protocol.dataReceived(message(QUESTION))
    assert client(factory, "10.0.0.1").aborted
    assert not any(each.aborted for each in waiting)
    assert service.counters["dropped"] == 1
