"""What connections keep for their peers: room for answers, and everybody's budget."""

from typing import Any

from twisted.internet.defer import Deferred, succeed

from consulpy.codec.msgpack import pack
from consulpy.rpc.limits.memory_budget import Backpressure, MemoryBudget
from consulpy.rpc.messages import request
from consulpy.rpc.stream import ServerStream
from consulpy.rpc.yamux import WINDOW, Connection, Flag, Stream, Type, frame


class Keeper:
    def __init__(self) -> None:
        self.why: list[str] = []

    def abort(self, why: str) -> None:
        self.why.append(why)


def test_who_keeps_more_than_one_may_is_cut_off_once() -> None:
    budget, one = MemoryBudget(each=100, total=1000), Keeper()
    budget.change(one, 100)
    assert one.why == []
    budget.change(one, 1)
    budget.change(one, 500)
    assert one.why == ["101 bytes wait for it or from it, 100 are allowed"]
    assert budget.bytes == 0
    budget.remove(one)
    budget.change(one, 5)
    assert budget.bytes == 5


def test_when_all_keep_too_much_the_largest_goes_first() -> None:
    budget, keepers = MemoryBudget(each=100, total=150), [Keeper() for _ in range(3)]
    for keeper, size in zip(keepers, (60, 80, 10), strict=True):
        budget.change(keeper, size)
    budget.change(keepers[2], 1)
    assert [len(keeper.why) for keeper in keepers] == [0, 1, 0]
    assert budget.bytes == 71
    budget.change(keepers[0], -60)
    budget.remove(keepers[0])
    assert budget.bytes == 11


def test_room_is_given_in_order_and_who_left_gets_none() -> None:
    room, called = Backpressure(10), list[str]()
    room.change(10)
    for name in ("a", "b", "c"):
        room.submit(name, lambda name=name: called.append(name))  # type: ignore[misc]
    room.cancel("b")
    assert (called, len(room)) == ([], 2)
    room.change(-1)
    assert called == ["a", "c"]
    room.submit("d", lambda: called.append("d"))
    assert called[-1] == "d"


def test_each_answer_takes_the_room_of_the_next() -> None:
    room, called = Backpressure(10), list[str]()

    def take(name: str) -> None:
        called.append(name)
        room.change(10)

    room.change(10)
    for name in ("a", "b"):
        room.submit(name, lambda name=name: take(name))  # type: ignore[misc]
    room.change(-10)
    assert called == ["a"]
    room.change(-10)
    assert called == ["a", "b"]


class Answers:
    """A server's end of a connection; counts the large answers that it makes."""

    def __init__(self, room_bytes: int) -> None:
        self.made = 0
        self.kept = 0
        self.room = Backpressure(room_bytes)
        self.sent = bytearray()
        self.yamux = Connection(
            client=False, write=self.sent.extend, on_open=self.opened, on_pending=self.pending_changed
        )

    def opened(self, stream: Stream) -> None:
        stream.receiver = ServerStream(stream, self.serve, backpressure=self.room)
        stream.accept()

    def pending_changed(self, change: int) -> None:
        self.kept += change
        self.room.change(change)

    def serve(self, method: str, body: Any) -> "Deferred[Any]":
        return succeed(_Large(self))

    def ask(self, streams: int, calls: int = 1) -> None:
        for number in range(streams):
            data = request(1, "A.B", pack({})) * calls
            self.yamux.receive(frame(Type.DATA, Flag.SYN, 2 * number + 1, len(data)) + data)


class _Large(list[bytes]):
    """An answer of two windows, which counts when it is packed."""

    def __init__(self, answers: Answers) -> None:
        super().__init__([b"x" * (2 * WINDOW)])
        self._answers = answers

    def __iter__(self) -> Any:
        self._answers.made += 1
        return super().__iter__()


def test_answers_are_not_made_while_others_wait() -> None:
    ours = Answers(3 * WINDOW)
    ours.ask(100)
    assert ours.made == 3
    assert ours.kept == sum(stream.pending for stream in ours.yamux._streams.values())
    ours.yamux.receive(frame(Type.WINDOW_UPDATE, 0, 1, WINDOW + 100))
    assert ours.made == 4
    ours.yamux.receive(frame(Type.WINDOW_UPDATE, Flag.RST, 3, 0))
    assert ours.made == 5


def test_the_next_call_of_a_stream_is_read_when_its_answer_was_taken() -> None:
    ours = Answers(100 * WINDOW)
    ours.ask(1, calls=3)
    assert ours.made == 1
    ours.yamux.receive(frame(Type.WINDOW_UPDATE, 0, 1, WINDOW + 100))
    assert ours.made == 2


def test_for_a_lost_connection_nothing_is_made_and_nothing_kept() -> None:
    ours = Answers(3 * WINDOW)
    ours.ask(100)
    ours.yamux.close("EOF")
    assert (ours.made, ours.kept, len(ours.room)) == (3, 0, 0)


def test_the_socket_is_shared_in_turn() -> None:
    """Streams that had to stop for a full socket go on in the order in which they stopped."""
    ours = Answers(100 * WINDOW)
    ours.yamux.pause()
    ours.ask(3)
    ours.sent.clear()
    ours.yamux.resume()
    found, position = [], 0
    while position < len(ours.sent):
        stream, length = (int.from_bytes(ours.sent[position + at : position + at + 4], "big") for at in (4, 8))
        found.append(stream)
        position += 12 + length
    assert found == [1, 3, 5]
