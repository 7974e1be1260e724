"""Connections that fail: the error is that of the socket, whatever event the reactor saw."""

import errno
from typing import Any

import pytest
from twisted.internet import error, tcp
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from consulpy.tls.connecting import connect_reason, tcp_endpoint


class Reactor(Clock):
    """Makes Twisted's TCP clients, and watches no socket."""

    client: Any

    def connectTCP(self, *arguments: Any, **named: Any) -> Any:
        connector: Any = tcp.Connector(*arguments, named["timeout"], named["bindAddress"], self)
        connector.connect()
        self.client = connector.transport
        return connector

    def removeReader(self, _: object) -> None:
        """Nothing is watched."""

    def removeWriter(self, _: object) -> None:
        """Nothing is watched."""


class BrokenSocket:
    """A socket with a pending error."""

    def __init__(self, number: int) -> None:
        self._number = number

    def getsockopt(self, *_: object) -> int:
        return self._number

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, "connect: connection refused"),
        (errno.EHOSTUNREACH, "connect: no route to host"),
        (errno.ENETUNREACH, "connect: network is unreachable"),
        (errno.EACCES, "connect: permission denied"),
    ],
)
def test_an_icmp_error_is_the_reason(number: int, reason: str) -> None:
    """epoll reports it as an error without data; Twisted takes that for a connection that was closed cleanly."""
    reactor, failures = Reactor(), list[Failure]()
    tcp_endpoint(reactor, "192.0.2.1", 80, 5.0).connect(Factory()).addErrback(failures.append)
    reactor.client.socket.close()
    reactor.client.socket = BrokenSocket(number)
    reactor.client.connectionLost(Failure(error.ConnectionDone()))
    assert [connect_reason(failure.value) for failure in failures if failure.value] == [reason]
