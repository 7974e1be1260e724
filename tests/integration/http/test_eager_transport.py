"""A connection is read as soon as it is accepted, and watched only when it stays."""

import select
import socket
import struct
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from consulpy.http.connection.limits import IDLE_TIMEOUT_S
from consulpy.http.connection.transport import EagerTransport
from consulpy.tls.try_write import try_write
from tests.harness.effort import some
from tests.harness.http import HttpHarness, InMemoryClient
from tests.unit.http.test_fast_path import DATE, requests_of_cases


class Watching:
    """Stands for the reactor: who is watched for what."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.watched = 0

    def addReader(self, reader: Any) -> None:
        self.watched += 1
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        self.watched += 1
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)


class Ends(Protocol):
    """Does with its transport what the first bytes say."""

    transport: EagerTransport
    lost: Failure | None = None
    more = b""

    def connectionMade(self) -> None:
        self.transport.begin()

    def dataReceived(self, data: bytes) -> None:
        if data == b"fail":
            raise ValueError("on purpose")
        if data == b"pause":
            self.transport.stopReading()
        if data == b"end":
            self.transport.writeSomeData(b"bye")
            self.transport.close()
        if data == b"much":
            self.transport.write(b"much more")
            self.transport.close()
        self.more += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = reason


class Pair:
    """A connection whose other end is `peer`."""

    def __init__(self, protocol: Any = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.peer = socket.create_connection(listening.getsockname())
            ours, _ = listening.accept()
        self.peer.settimeout(5)
        self.reactor, self.protocol = Watching(), protocol or Ends()
        self.transport = EagerTransport(
            ours, self.protocol, ("127.0.0.1", 1), SimpleNamespace(_realPortNumber=80), 0, self.reactor
        )

    def begin(self, first: bytes = b"") -> None:
        if first:
            self.peer.sendall(first)
        self.protocol.makeConnection(self.transport)

    def answer(self) -> bytes:
        """What the peer got when all is written."""
        while self.transport in self.reactor.writers:
            if self.transport.doWrite() is not None:
                self.transport.connectionLost(Failure(ConnectionDone()))
        self.transport.connectionLost(Failure(ConnectionDone()))
        return b"".join(iter(lambda: self.peer.recv(1 << 16), b""))


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.transport.connectionLost(Failure(ConnectionDone()))
    made.peer.close()


def test_who_is_answered_on_the_first_bytes_goes_without_being_watched(pair: Pair) -> None:
    pair.begin(b"end")
    assert (pair.peer.recv(10), pair.peer.recv(10)) == (b"bye", b"")
    assert pair.protocol.lost is not None
    assert pair.protocol.lost.check(ConnectionDone)
    assert pair.reactor.watched == 0


def test_who_has_sent_nothing_yet_is_watched(pair: Pair) -> None:
    pair.begin()
    assert pair.reactor.readers == {pair.transport}
    pair.peer.sendall(b"later")
    pair.transport.doRead()
    assert pair.protocol.more == b"later"


def test_who_stays_is_watched_for_more(pair: Pair) -> None:
    pair.begin(b"first")
    assert pair.protocol.more == b"first"
    assert pair.reactor.readers == {pair.transport}


def test_who_wants_no_more_for_now_is_not_read_until_it_does(pair: Pair) -> None:
    pair.begin(b"pause")
    assert pair.reactor.readers == set()
    pair.transport.startReading()
    assert pair.reactor.readers == {pair.transport}
    pair.transport.stopReading()
    assert pair.reactor.readers == set()


def test_an_end_waits_for_what_is_not_written(pair: Pair) -> None:
    pair.begin(b"much")
    assert (pair.protocol.lost, pair.reactor.writers) == (None, {pair.transport})
    assert pair.transport.doWrite() is CONNECTION_DONE
    assert pair.peer.recv(10) == b"much more"


def test_what_a_full_socket_does_not_take_is_written_in_order_later(pair: Pair) -> None:
    received = bytearray()

    def receive() -> None:
        while len(received) < 6_000_000:
            received.extend(pair.peer.recv(1 << 20))

    pair.begin()
    parts = [bytes([65 + number]) * 2_000_000 for number in range(3)]
    for part in parts:
        try_write(pair.transport, part)
    assert pair.reactor.writers == {pair.transport}
    reader = threading.Thread(target=receive)
    reader.start()
    while pair.reactor.writers:
        select.select([], [pair.transport.socket], [], 5)
        assert pair.transport.doWrite() is None
    reader.join(5)
    assert received == b"".join(parts)


def test_a_write_to_a_lost_connection_is_left_to_who_watches(pair: Pair) -> None:
    pair.begin()
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.peer.close()
    try_write(pair.transport, b"too late")
    assert (pair.protocol.lost, pair.reactor.writers) == (None, {pair.transport})


def test_an_end_of_one_that_is_watched_is_left_to_who_watches(pair: Pair) -> None:
    pair.begin()
    pair.transport.close()
    assert (pair.protocol.lost, pair.reactor.writers) == (None, {pair.transport})


def test_what_the_socket_takes_is_written_without_the_reactor(pair: Pair) -> None:
    pair.begin()
    try_write(pair.transport, b"now")
    assert pair.peer.recv(10) == b"now"
    assert pair.reactor.writers == set()


def test_what_the_socket_does_not_take_keeps_its_order(pair: Pair) -> None:
    pair.begin()
    large = bytes(range(256)) * 40_000
    try_write(pair.transport, large)
    assert pair.reactor.writers == {pair.transport}
    try_write(pair.transport, b"after it")
    got = b""
    while len(got) < len(large) + 8:
        got += pair.peer.recv(1 << 20)
        if pair.transport in pair.reactor.writers:
            pair.transport.doWrite()
    assert got == large + b"after it"


def test_after_its_end_nothing_is_written(pair: Pair) -> None:
    pair.begin()
    pair.transport.loseWriteConnection()
    pair.transport.doWrite()
    try_write(pair.transport, b"late")
    assert pair.peer.recv(10) == b""
    pair.peer.close()
    pair.transport.connectionLost(Failure(ConnectionDone()))
    try_write(pair.transport, b"later")
    assert pair.reactor.writers == set()


def test_a_failure_on_the_first_bytes_closes_and_is_logged(pair: Pair) -> None:
    pair.begin(b"fail")
    assert pair.peer.recv(10) == b""
    assert pair.reactor.readers == set()
    assert pair.protocol.lost is not None


def test_a_peer_that_is_gone_already_is_noticed_by_who_watches(pair: Pair) -> None:
    pair.peer.close()
    pair.begin()
    assert pair.reactor.readers == {pair.transport}
    assert pair.transport.doRead() is CONNECTION_DONE


def test_the_answers_are_the_same_to_those_whose_request_was_here_before() -> None:
    """For each request of the conformance cases, on connections that stay and on such that close."""
    harnesses = HttpHarness(connections_per_client=0), HttpHarness(connections_per_client=0)
    address = InMemoryClient.address
    for request in some([each for each in requests_of_cases() if len(each) < EagerTransport.bufferSize]):
        for close in (b"", b"Connection: close\r\n"):
            data = request.replace(b"\r\n", b"\r\n" + close, 1)
            later = InMemoryClient(harnesses[0])
            later.send(data)
            here = Pair(harnesses[1].site.buildProtocol(address))
            here.begin(data)
            for harness in harnesses:
                harness.agent.clock.advance(0)
            assert DATE.sub(b"", here.answer()) == DATE.sub(b"", later.raw), data
            assert bool(close) == (not later.transport.connected)
            here.peer.close()


def test_who_waits_since_the_first_bytes_is_not_idle() -> None:
    harness = HttpHarness()
    for path in ("/v1/kv/none?index=1&wait=10m", "/v1/event/list?index=1&wait=10m"):
        waiting = Pair(harness.site.buildProtocol(InMemoryClient.address))
        waiting.begin(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        harness.agent.clock.pump([IDLE_TIMEOUT_S / 2] * 3)
        assert waiting.reactor.writers == set()
        assert waiting.transport.connected
        waiting.answer()
        waiting.peer.close()


def test_who_says_nothing_is_cut_off() -> None:
    harness = HttpHarness()
    silent = Pair(harness.site.buildProtocol(InMemoryClient.address))
    silent.begin()
    harness.agent.clock.advance(IDLE_TIMEOUT_S + 1)
    assert silent.transport.disconnecting
    assert silent.answer() == b""
    silent.peer.close()


def test_who_is_answered_from_the_cache_on_the_first_bytes_starts_no_timeout() -> None:
    harness = HttpHarness()
    request = b"GET /v1/status/leader HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    for kept in range(3):
        asking = Pair(harness.site.buildProtocol(InMemoryClient.address))
        asking.begin(request)
        if kept < 2:
            asking.answer()
        else:
            assert b"200 OK" in asking.peer.recv(1 << 16)
            assert asking.peer.recv(1) == b""
        asking.peer.close()
    assert len(harness.site.idle) == 0
    assert len(harness.site.connections) == 0
