"""A connection has a slice of time in each turn; what is more waits, in order, and others come in between."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from consulpy.codec.msgpack import pack
from consulpy.rpc.limits.time_slice import TimeSlicer
from consulpy.rpc.messages import request
from consulpy.rpc.stream import ServerStream
from consulpy.rpc.yamux import Connection, Flag, Stream, Type, frame


class Site:
    """A connection whose calls take 4 ms each, with 10 ms in a turn."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.later: list[Callable[[], None]] = []
        self.turns = TimeSlicer(lambda: self.now_s, self.later.append, slice_s=0.01)
        self.made: list[int] = []
        self.yamux = Connection(client=False, write=lambda _: None, on_open=self.opened)

    def opened(self, stream: Stream) -> None:
        def serve(method: str, body: Any) -> "Deferred[Any]":
            self.now_s += 0.004
            self.made.append(stream.id)
            return succeed({})

        stream.receiver = ServerStream(stream, serve, slicer=self.turns)
        stream.accept()

    def ask(self, *streams: int, calls: int = 1) -> None:
        self.turns.begin()
        data = request(1, "A.B", pack({})) * calls
        for number in streams:
            self.yamux.receive(frame(Type.DATA, Flag.SYN, number, len(data)) + data)

    def turn(self) -> list[int]:
        before = len(self.made)
        later, self.later[:] = list(self.later), []
        assert len(later) <= 1
        for call in later:
            call()
        return self.made[before:]


def test_what_comes_in_one_piece_is_made_a_slice_in_each_turn() -> None:
    site = Site()
    site.ask(1, 3, 5, 7, 9, 11, 13)
    assert site.made == [1, 3, 5]
    assert site.turn() == [7, 9, 11]
    assert site.turn() == [13]
    assert not site.later


def test_a_stream_with_many_calls_goes_behind_the_others() -> None:
    site = Site()
    site.ask(1, calls=5)
    site.ask(3)
    assert site.made == [1, 1, 1]
    assert site.turn() == [1, 3, 1]
    assert not site.later


def test_a_new_slice_begins_with_new_bytes_only_when_nobody_waits() -> None:
    site = Site()
    site.ask(1)
    site.ask(3, 5, 7)
    assert site.made == [1, 3, 5, 7]
    site.ask(9, 11, 13, 15)
    site.ask(17)
    assert site.made[4:] == [9, 11, 13]
    assert site.turn() == [15, 17]


def test_calls_of_streams_that_are_gone_are_not_made() -> None:
    site = Site()
    site.ask(1, 3, 5, 7, 9)
    site.yamux.receive(frame(Type.WINDOW_UPDATE, Flag.RST, 7, 0))
    assert site.turn() == [9]
    site.ask(11, 13, 15, 17)
    site.yamux.close("EOF")
    assert site.turn() == []
    assert len(site.turns) == 0


def test_a_caller_that_sends_no_more_still_gets_what_it_asked() -> None:
    site = Site()
    site.ask(1, 3, 5, 7)
    site.yamux.receive(frame(Type.WINDOW_UPDATE, Flag.FIN, 7, 0))
    assert site.turn() == [7]
    assert site.yamux.stream_count == 3
