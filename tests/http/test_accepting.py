"""A connection is read as soon as it is accepted, and watched only when it stays."""

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from consulpy.http.accepting import Accepted


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

    transport: Accepted
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
            self.transport.end()
        if data == b"much":
            self.transport.write(b"much more")
            self.transport.end()
        self.more += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = reason


class Pair:
    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.settimeout(5)
        self.reactor, self.protocol = Watching(), Ends()
        self.transport = Accepted(
            ours, self.protocol, ("127.0.0.1", 1), SimpleNamespace(_realPortNumber=80), 0, self.reactor
        )

    def begin(self, first: bytes = b"") -> None:
        if first:
            self.peer.sendall(first)
        self.protocol.makeConnection(self.transport)


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


def test_an_end_of_one_that_is_watched_is_left_to_who_watches(pair: Pair) -> None:
    pair.begin()
    pair.transport.end()
    assert (pair.protocol.lost, pair.reactor.writers) == (None, {pair.transport})


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
