"""How the connections of HTTP checks end: with a plain FIN, as those of a real agent, whatever the server said."""

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from consulpy.checks.http_exchange import CLOSE_S, HttpExchange
from consulpy.checks.http_request import HttpRequest
from consulpy.structs.definition import CheckType


class Exchange:
    """An exchange on a transport that closes only when it is told that everything was sent."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.exchange = HttpExchange(HttpRequest.of(CheckType(http="http://h/")), self.clock)
        self.exchange.makeConnection(self.transport)
        self.exchange.head.addCallbacks(self._read, lambda _: None)
        self.wants_more = True
        self.body: Deferred[None]

    def _read(self, _: object) -> None:
        self.body = self.exchange.read(lambda _: self.wants_more)
        self.body.addErrback(lambda _: None)

    @property
    def ends(self) -> tuple[bool, bool]:
        """Whether it closes, and whether by a reset."""
        return self.transport.disconnecting, self.transport.disconnected


def _malformed(it: Exchange) -> None:
    it.exchange.dataReceived(b"SSH-2.0-x\r\n")


def _whole(it: Exchange) -> None:
    it.exchange.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def _enough(it: Exchange) -> None:
    it.wants_more = False
    it.exchange.dataReceived(b"HTTP/1.1 200 OK\r\n\r\nendless")


def _no_head_in_time(it: Exchange) -> None:
    it.exchange.head.cancel()


def _no_body_in_time(it: Exchange) -> None:
    it.exchange.dataReceived(b"HTTP/1.1 200 OK\r\n\r\nslow")
    it.body.cancel()


OUTCOMES = [_malformed, _whole, _enough, _no_head_in_time, _no_body_in_time]


@pytest.mark.parametrize("happens", OUTCOMES)
def test_the_connection_is_closed_without_a_reset(happens: Callable[[Exchange], None]) -> None:
    it = Exchange()
    happens(it)
    assert it.ends == (True, False)


@pytest.mark.parametrize("happens", OUTCOMES)
def test_a_server_that_does_not_read_is_waited_for_a_moment(happens: Callable[[Exchange], None]) -> None:
    """What is not sent keeps a connection open that is closed gracefully: a check's large body, for ever."""
    it = Exchange()
    happens(it)
    it.clock.advance(CLOSE_S)
    assert it.ends == (True, True)


def test_nothing_is_waited_for_when_the_connection_has_ended() -> None:
    it = Exchange()
    _whole(it)
    it.exchange.connectionLost()
    assert it.clock.getDelayedCalls() == []
