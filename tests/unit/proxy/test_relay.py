"""A relay between two transports: order, early bytes, half-close, loss."""

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from consulpy.proxy.relay import Side


class Transport:
    """Records what a side does."""

    def __init__(self) -> None:
        self.written = b""
        self.events: list[str] = []
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        self.written += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.events.append(name)


def side() -> Side:
    made = Side()
    made.makeConnection(Transport())  # type: ignore[arg-type]
    return made


def test_bytes_go_both_ways_and_early_ones_first() -> None:
    a, b = side(), side()
    a.dataReceived(b"early ")
    assert "pauseProducing" in a.transport.events, "more is not read before the other side is there"
    a.join(b)
    a.dataReceived(b"late")
    b.dataReceived(b"answer")
    assert (b.transport.written, a.transport.written) == (b"early late", b"answer")
    assert a.transport.producer is b.transport, "a full buffer stops the other side's reads"


def test_a_half_close_is_passed_on_and_both_end_it() -> None:
    a, b = side(), side()
    a.join(b)
    a.readConnectionLost()
    assert "loseWriteConnection" in b.transport.events
    assert "loseConnection" not in a.transport.events, "the answer may still come"
    b.dataReceived(b"answer")
    b.readConnectionLost()
    assert a.transport.written == b"answer"
    assert all("loseConnection" in each.transport.events for each in (a, b))


def test_a_half_close_before_the_join_is_not_forgotten() -> None:
    a, b = side(), side()
    a.dataReceived(b"question")
    a.readConnectionLost()
    a.join(b)
    assert b.transport.written == b"question"
    assert "loseWriteConnection" in b.transport.events


def test_the_loss_of_one_side_closes_the_other() -> None:
    a, b = side(), side()
    a.join(b)
    a.connectionLost(Failure(ConnectionLost()))
    assert "loseConnection" in b.transport.events
    assert b.transport.producer is None
    b.connectionLost()
    assert a.is_lost
    assert b.is_lost
