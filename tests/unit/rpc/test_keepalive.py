"""Both ends of a connection ask every 30 seconds whether the other is there. Source: docs/wire/rpc.md 2."""

import gc
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from consulpy.rpc.net.connection import KEEPALIVE_INTERVAL_S, PONG_TIMEOUT_S, WRITE_TIMEOUT_S, YamuxDriver
from consulpy.rpc.net.dialer import DialedProtocol
from consulpy.rpc.net.listener import RpcFactory, RpcProtocol
from consulpy.rpc.stream import ClientStream, ServerStream
from consulpy.rpc.yamux import HEADER, Flag, Type, frame
from tests.harness.rpc import make_server


class Wire(StringTransport):
    """A TCP connection without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.is_lost = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def abortConnection(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            self.protocol.connectionLost()

    def take(self) -> bytes:
        sent: bytes = self.value()
        self.clear()
        return sent


@pytest.fixture
def clock() -> Clock:
    return Clock()


def connect(protocol: Any) -> Wire:
    wire = Wire()
    wire.protocol = protocol
    protocol.makeConnection(wire)
    return wire


def dialed(clock: Clock) -> tuple[DialedProtocol, Wire]:
    protocol = DialedProtocol(clock)
    wire = connect(protocol)
    assert wire.take() == b"\x04"
    return protocol, wire


def served(clock: Clock, **options: Any) -> tuple[Any, Wire]:
    protocol = RpcFactory(clock, make_server(clock), 100, **options).buildProtocol(None)
    return protocol, connect(protocol)


def listened(clock: Clock) -> tuple[Any, Wire]:
    protocol, wire = served(clock)
    protocol.dataReceived(b"\x04")
    return protocol, wire


@pytest.mark.parametrize("end", [dialed, listened])
def test_each_end_pings_every_30_seconds_and_counts(end: Any, clock: Clock) -> None:
    protocol, wire = end(clock)
    for number in range(5):
        clock.advance(KEEPALIVE_INTERVAL_S - 0.1)
        assert wire.take() == b""
        clock.advance(0.1)
        assert wire.take() == frame(Type.PING, Flag.SYN, 0, number)
        protocol.dataReceived(frame(Type.PING, Flag.ACK, 0, number))
    assert not wire.is_lost


@pytest.mark.parametrize("end", [dialed, listened])
def test_who_does_not_answer_within_10_seconds_is_cut_off(end: Any, clock: Clock) -> None:
    _, wire = end(clock)
    clock.advance(KEEPALIVE_INTERVAL_S)
    clock.advance(PONG_TIMEOUT_S - 0.1)
    assert not wire.is_lost
    clock.advance(0.1)
    assert wire.is_lost
    assert not clock.getDelayedCalls()


def test_calls_that_wait_are_failed_when_the_server_answers_no_ping(clock: Clock) -> None:
    protocol, wire = dialed(clock)
    closed: list[bool] = []
    protocol.on_closed = lambda: closed.append(True)
    end = ClientStream()
    end.channel = protocol.open(end)
    seen: list[str] = []
    end.call(1, "Status.Ping", b"\x80").addErrback(lambda failure: seen.append(str(failure.value)))
    clock.pump([KEEPALIVE_INTERVAL_S, PONG_TIMEOUT_S])
    assert seen == ["EOF"]
    assert closed == [True]
    assert not protocol.is_usable
    assert wire.is_lost


@pytest.mark.parametrize("end", [dialed, listened])
def test_pings_are_answered_at_once(end: Any, clock: Clock) -> None:
    protocol, wire = end(clock)
    protocol.dataReceived(frame(Type.PING, Flag.SYN, 0, 77))
    assert HEADER.unpack(wire.take()) == (0, Type.PING, Flag.ACK, 0, 77)


@pytest.mark.parametrize("end", [dialed, listened])
def test_who_reads_nothing_for_10_seconds_is_cut_off(end: Any, clock: Clock) -> None:
    _protocol, wire = end(clock)
    for _ in range(3):  # each time that it reads something, the time begins anew
        wire.producer.pauseProducing()
        clock.advance(WRITE_TIMEOUT_S - 0.1)
        wire.producer.resumeProducing()
    assert not wire.is_lost
    wire.producer.pauseProducing()
    clock.advance(WRITE_TIMEOUT_S)
    assert wire.is_lost


def test_the_handshake_timeout_is_five_seconds_unless_configured(clock: Clock) -> None:
    _, wire = served(clock)
    _, hasty = served(clock, handshake_timeout_s=1.5)
    clock.advance(1.5)
    assert hasty.is_lost
    clock.advance(3.4)
    assert not wire.is_lost
    clock.advance(0.1)
    assert wire.is_lost
    assert not clock.getDelayedCalls()


def test_a_connection_that_is_lost_leaves_no_timer(clock: Clock) -> None:
    for end in (dialed, listened):
        _, wire = end(clock)
        wire.abortConnection()
    assert not clock.getDelayedCalls()


def plain(clock: Clock) -> tuple[Any, Wire]:
    protocol, wire = served(clock)
    protocol.dataReceived(b"\x00")
    return protocol, wire


@pytest.mark.parametrize("end", [dialed, listened, plain])
def test_a_connection_that_is_lost_is_freed_at_once(end: Any, clock: Clock) -> None:
    """Connections live long: in a reference cycle each would stay until the collector looks at what is old."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            protocol, wire = end(clock)
            protocol.dataReceived(frame(Type.WINDOW_UPDATE, Flag.SYN, 1, 0) if end is listened else b"")
            wire.abortConnection()
            wire.protocol = wire.producer = None  # as Twisted's do
        del protocol, wire
        kinds = (YamuxDriver, DialedProtocol, RpcProtocol, ServerStream)
        assert not [each for each in gc.get_objects() if isinstance(each, kinds)]
    finally:
        gc.enable()
