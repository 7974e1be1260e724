"""Connections to servers: one each, streams kept for reuse, closed when idle. Source: docs/wire/rpc.md 3, 8."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from consulpy.codec.msgpack import pack
from consulpy.errors import WireError
from consulpy.rpc.messages import error_response, response
from consulpy.rpc.pool import IDLE_STREAMS, IDLE_TIMEOUT_S, ConnectionPool, DialFailed
from consulpy.rpc.stream import ClientStream
from tests.harness.rpc import info


class Stream:
    is_clear = True

    def __init__(self, end: ClientStream) -> None:
        self.end = end
        self.is_closed = False
        self.requests = 0

    def send(self, data: bytes) -> None:
        self.requests += 1

    def consumed(self, size: int) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    def answer(self, error: str = "") -> None:
        self.end.data_received(error_response(1, "A.B", error) if error else response(1, "A.B", pack("yes")))


class Link:
    """A connection that the test holds the other end of."""

    def __init__(self) -> None:
        self.on_closed: Callable[[], None] = lambda: None
        self.is_usable = True
        self.streams: list[Stream] = []

    def open(self, end: ClientStream) -> Stream:
        if not self.is_usable:
            raise WireError("session shutdown")
        stream = Stream(end)
        self.streams.append(stream)
        return stream

    def close(self) -> None:
        self.is_usable = False
        self.on_closed()
        for stream in self.streams:
            stream.end.lost("EOF")


class Site:
    def __init__(self) -> None:
        self.clock = Clock()
        self.dials: list[Deferred[Any]] = []
        self.links: list[Link] = []
        self.pool = ConnectionPool(self.dial, self.clock)

    def dial(self, server: Any) -> "Deferred[Any]":
        self.dials.append(Deferred())
        return self.dials[-1]

    def connect(self) -> Link:
        self.links.append(Link())
        self.dials[-1].callback(self.links[-1])
        return self.links[-1]

    def call(self, name: str = "s1") -> list[Any]:
        seen: list[Any] = []
        made = self.pool.call(info(8300, name), "A.B", b"\x80")
        made.addCallbacks(seen.append, lambda failure: seen.append(str(failure.value)))
        return seen


def test_one_connection_for_all_calls_and_one_stream_for_each_that_waits() -> None:
    site = Site()
    seen = [site.call() for _ in range(3)]
    link = site.connect()
    assert len(site.dials) == 1
    assert len(link.streams) == 3
    for stream in link.streams:
        stream.answer()
    assert seen == [[b"yes"]] * 3
    site.call()
    assert len(link.streams) == 3, "the last stream that was given back is used again"
    assert link.streams[2].requests == 2


def test_after_an_error_the_stream_is_closed_and_the_connection_stays() -> None:
    site = Site()
    seen = site.call()
    link = site.connect()
    link.streams[0].answer("Query not found")
    assert seen == ["rpc error making call: Query not found"]
    assert link.streams[0].is_closed
    site.call()
    assert len(site.dials) == 1
    assert len(link.streams) == 2


def test_no_more_idle_streams_are_kept_than_the_real_one_keeps() -> None:
    site = Site()
    for _ in range(IDLE_STREAMS + 5):
        site.call()
    link = site.connect()
    for stream in link.streams:
        stream.answer()
    assert sum(stream.is_closed for stream in link.streams) == 5


def test_an_idle_connection_is_closed_after_127_seconds() -> None:
    site = Site()
    site.call()
    link = site.connect()
    link.streams[0].answer()
    site.clock.advance(IDLE_TIMEOUT_S - 1)
    assert link.is_usable
    site.call()  # used again: the time begins anew
    link.streams[0].answer()
    site.clock.advance(IDLE_TIMEOUT_S - 1)
    assert link.is_usable
    site.clock.advance(1)
    assert not link.is_usable
    assert len(site.pool) == 0
    assert not site.clock.getDelayedCalls()


def test_a_connection_with_a_call_that_waits_is_not_idle() -> None:
    site = Site()
    seen = site.call()
    link = site.connect()
    site.clock.advance(10 * IDLE_TIMEOUT_S)
    assert link.is_usable
    link.streams[0].answer()
    assert seen == [b"yes"]


def test_a_lost_connection_fails_its_calls_and_the_next_call_dials() -> None:
    site = Site()
    seen = [site.call(), site.call()]
    site.connect().close()
    assert seen == [["rpc error making call: EOF"]] * 2
    assert len(site.pool) == 0
    site.call()
    assert len(site.dials) == 2


def test_a_failed_dial_is_not_remembered() -> None:
    site = Site()
    seen = [site.call(), site.call()]
    site.dials[0].errback(DialFailed("dial tcp 127.0.0.1:8300: connect: connection refused"))
    assert "connection refused" in seen[0][0]
    assert "lead thread didn't get connection" in seen[1][0]
    again = site.call()
    site.connect().streams[0].answer()
    assert again == [b"yes"]


def test_a_closed_pool_lets_nothing_wait_and_makes_no_connection() -> None:
    site = Site()
    waiting = site.call()
    link = site.connect()
    late = site.call("s2")
    site.pool.close()
    assert not link.is_usable
    assert waiting == ["rpc error making call: EOF"]
    other = Link()
    site.dials[1].callback(other)
    assert not other.is_usable
    assert "session shutdown" in late[0]
    assert "session shutdown" in site.call()[0]
    assert len(site.dials) == 2
    assert not site.clock.getDelayedCalls()
