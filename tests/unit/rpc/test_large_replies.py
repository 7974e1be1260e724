"""Large replies on 8300: packed in parts as the caller takes them, the same bytes as packed at once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import succeed

from consulpy.codec.msgpack import unpack_from
from consulpy.rpc.messages import PART_BYTES, PART_ROWS, pack_reply, reply_parts, request
from consulpy.rpc.stream import ServerStream
from consulpy.structs.kv import DirEntry, EntriesReply


def reply_of(sizes: list[int]) -> EntriesReply:
    reply = EntriesReply(entries=[DirEntry(key=f"k{at}", value=b"x" * size) for at, size in enumerate(sizes)])
    reply.meta.index = 7
    return reply


@given(st.lists(st.integers(0, 3000), min_size=PART_ROWS + 1, max_size=400))
def test_parts_are_together_what_is_packed_at_once(sizes: list[int]) -> None:
    reply = reply_of(sizes)
    parts = reply_parts(reply)
    assert parts is not None
    assert b"".join(parts) == pack_reply(reply)


@pytest.mark.parametrize("reply", [reply_of([5] * PART_ROWS), EntriesReply(), True, "text", ["a"] * 1000])
def test_what_is_small_or_no_list_of_records_is_not_divided(reply: Any) -> None:
    assert reply_parts(reply) is None


class Pipe:
    """A channel whose caller takes bytes when it is told to."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.is_clear = True
        self.is_closed = False

    def send(self, data: bytes) -> None:
        self.sent += data
        self.is_clear = False

    def consumed(self, size: int) -> None:
        """Nothing waits."""

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def serving(pipe: Pipe, replies: list[Any]) -> ServerStream:
    return ServerStream(pipe, lambda _method, _body: succeed(replies.pop(0)))


def take(pipe: Pipe, end: ServerStream) -> None:
    pipe.is_clear = True
    end.drained()


CALL = request(1, "KVS.List", b"\x80")


def test_a_large_reply_is_made_as_its_caller_takes_it_and_the_next_call_waits(pipe: Pipe) -> None:
    large = reply_of([1000] * (3 * PART_BYTES // 1000))
    end = serving(pipe, [large, EntriesReply()])
    end.data_received(CALL + CALL)
    assert 0 < len(pipe.sent) < 2 * PART_BYTES
    size = 0
    while len(pipe.sent) != size:
        size = len(pipe.sent)
        take(pipe, end)

    header, at = unpack_from(bytes(pipe.sent))
    body, length = unpack_from(bytes(pipe.sent[at:]))
    assert header[b"Error"] == b""
    assert EntriesReply.from_wire(body) == large
    header, _ = unpack_from(bytes(pipe.sent[at + length :]))
    assert header[b"ServiceMethod"] == b"KVS.List"


def test_a_caller_that_sends_no_more_still_gets_the_whole_reply(pipe: Pipe) -> None:
    large = reply_of([1000] * (3 * PART_BYTES // 1000))
    end = serving(pipe, [large])
    end.data_received(CALL)
    end.ended()
    assert not pipe.is_closed
    for _ in range(10):
        take(pipe, end)
    assert pipe.is_closed
    assert pipe.sent.endswith(pack_reply(large)[-1000:])


def test_nothing_more_is_made_for_a_caller_that_is_gone(pipe: Pipe) -> None:
    end = serving(pipe, [reply_of([1000] * (3 * PART_BYTES // 1000))])
    end.data_received(CALL)
    size = len(pipe.sent)
    end.lost("gone")
    take(pipe, end)
    assert len(pipe.sent) == size


def test_a_reply_that_cannot_be_packed_ends_the_stream(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_reply: Any) -> Any:
        yield b"\x80"
        raise ValueError("no")

    monkeypatch.setattr("consulpy.rpc.stream.reply_parts", broken)
    end = serving(pipe, [EntriesReply()])
    end.data_received(CALL)
    take(pipe, end)
    assert pipe.is_closed
