"""Connections to the gossip port that say nothing keep no peer from its push/pull."""

import errno
import socket
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import getConnectError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport

from consulpy.memberlist.evidence import TcpResult, tcp_result
from consulpy.memberlist.incoming import INCOMING_STREAMS_MAX, INCOMING_STREAMS_PER_SOURCE_MAX
from consulpy.memberlist.messages import Ping
from consulpy.memberlist.stream import MessageReader
from consulpy.memberlist.transport import GossipTransport, _dial_result, _IncomingStream
from tests.harness.memberlist import LoneMemberlist


class Wire(StringTransport):
    """A connection that a peer made."""

    def __init__(self, listening: "Listening", host: str) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, 1))
        self.protocol: Any = listening.factory.buildProtocol(None)
        self.is_lost = False
        self.protocol.makeConnection(self)

    def abortConnection(self) -> None:
        self.is_lost = True
        self.protocol.connectionLost()

    def ping(self, lone: LoneMemberlist) -> bytes:
        """What is answered to a ping in two pieces."""
        request = lone.memberlist.seal_stream(Ping(1, lone.memberlist.config.name, "", 0, "").encode())
        self.protocol.dataReceived(request[:3])
        self.protocol.dataReceived(request[3:])
        return self.value()


class Listening:
    def __init__(self) -> None:
        self.lone, self.transport = LoneMemberlist(), GossipTransport(Clock(), "127.0.0.1", 0)
        self.transport.attach(self.lone.memberlist)
        self.factory: Any = Factory.forProtocol(_IncomingStream)
        self.factory.owner = self.transport


@pytest.fixture
def listening() -> Listening:
    return Listening()


def test_silent_connections_of_one_address_shut_nobody_out(listening: Listening) -> None:
    silent = [Wire(listening, "10.0.0.1") for _ in range(1100)]
    assert sum(not each.is_lost for each in silent) == INCOMING_STREAMS_PER_SOURCE_MAX
    assert not silent[-1].is_lost, "those that were silent for longest went"
    assert Wire(listening, "10.0.0.2").ping(listening.lone)
    assert Wire(listening, "10.0.0.1").ping(listening.lone)


def test_nor_do_those_of_many_addresses(listening: Listening) -> None:
    silent = [Wire(listening, f"10.0.{number // 200}.{number % 200}") for number in range(3 * INCOMING_STREAMS_MAX)]
    assert sum(not each.is_lost for each in silent) == INCOMING_STREAMS_MAX
    assert Wire(listening, "10.1.0.1").ping(listening.lone)
    for each in silent:
        if not each.is_lost:
            each.abortConnection()
    assert listening.lone.memberlist.incoming.count == 0
    assert len(listening.transport.connections) == 1, "its answer is being taken"


def test_who_goes_on_sending_is_not_the_one_to_go(listening: Listening) -> None:
    slow = Wire(listening, "10.0.0.1")
    for _ in range(2 * INCOMING_STREAMS_PER_SOURCE_MAX):
        slow.protocol.dataReceived(b"")
        Wire(listening, "10.0.0.1")
    assert not slow.is_lost
    assert slow.ping(listening.lone)


def test_an_address_that_the_system_does_not_know_is_an_error_of_the_request() -> None:
    """As `fd00::1%eth0` is, the zone of a link with an address that has none."""

    class NoLink(MemoryReactorClock):
        def connectTCP(self, *_args: Any, **_settings: Any) -> Any:
            raise socket.gaierror("Name or service not known")

    reactor, ended = NoLink(), []
    lone = LoneMemberlist()
    transport = GossipTransport(reactor, "127.0.0.1", 0)
    transport.exchange(("fd00::1%eth0", 8301), b"", 5.0, MessageReader(lone.memberlist.sealer), ended.append)
    reactor.advance(0)
    assert [tcp_result(error) for error in ended] == [TcpResult.NO_ROUTE]
    assert "fd00::1%eth0" in str(ended[0])
    assert reactor.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("number", "result"),
    [
        (errno.ECONNREFUSED, TcpResult.REFUSED),
        (errno.ENETUNREACH, TcpResult.NO_ROUTE),  # no route
        (errno.EINVAL, TcpResult.NO_ROUTE),  # a route of type blackhole
        (errno.EACCES, TcpResult.NO_ROUTE),  # of type prohibit
        (errno.EHOSTUNREACH, TcpResult.NOT_OPENED),  # of type unreachable, and a host that is not there
        (errno.ETIMEDOUT, TcpResult.NOT_OPENED),
    ],
)
def test_what_the_kernel_says_of_a_way(number: int, result: TcpResult) -> None:
    assert _dial_result(getConnectError((number, "text"))) is result
