"""What holds for any bytes and any order of events on 8300: streams, windows, messages, records."""

import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulpy.codec.msgpack import pack, unpack, unpack_from
from consulpy.codec.record import go_names
from consulpy.errors import WireError
from consulpy.rpc.messages import MAX_CONTAINERS, ObjectReader, RequestHeader, ResponseHeader, reply_of
from consulpy.rpc.methods import METHODS, load_all
from consulpy.rpc.yamux import HEADER, WINDOW, Connection, Flag, Reason, Stream, Type, frame
from tests.harness.effort import cases

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=9), inner, max_size=4),
    max_leaves=12,
)

load_all()


class End:
    """One end of a conversation. What arrives is kept until it is told to consume it."""

    def __init__(self, *, client: bool) -> None:
        self.out = bytearray()
        self.pending = 0
        self.streams: list[Stream] = []
        self.sent: dict[int, bytearray] = {}
        self.got: dict[int, bytearray] = {}
        self.unconsumed: dict[int, int] = {}
        self.yamux = Connection(
            client=client, write=self.out.extend, on_open=self.opened, on_pending=self.pending_changed
        )

    def pending_changed(self, change: int) -> None:
        self.pending += change

    def opened(self, stream: Stream) -> None:
        stream.receiver = Ear(self, stream)
        self.streams.append(stream)
        stream.accept()

    def open(self) -> None:
        ear = Ear(self, None)
        ear.stream = self.yamux.open(ear)
        self.streams.append(ear.stream)

    def send(self, number: int, size: int) -> None:
        stream = self.streams[number % len(self.streams)]
        data = bytes([size % 251]) * size
        if stream.is_usable:
            self.sent.setdefault(stream.id, bytearray()).extend(data)
        stream.send(data)

    def consume(self, number: int, size: int) -> None:
        stream = self.streams[number % len(self.streams)]
        size = min(size, self.unconsumed.get(stream.id, 0))
        self.unconsumed[stream.id] = self.unconsumed.get(stream.id, 0) - size
        stream.consumed(size)


class Ear:
    def __init__(self, end: End, stream: Stream | None) -> None:
        self.end, self.stream = end, stream

    def data_received(self, data: bytes) -> None:
        assert self.stream is not None
        self.end.got.setdefault(self.stream.id, bytearray()).extend(data)
        left = self.end.unconsumed[self.stream.id] = self.end.unconsumed.get(self.stream.id, 0) + len(data)
        assert left <= WINDOW, "more than a window is under way"

    def drained(self) -> None:
        assert self.stream is not None
        assert self.stream.is_clear

    def ended(self) -> None:
        pass

    def lost(self, reason: str) -> None:
        raise AssertionError(reason)


def carry(one: End, other: End, cuts: Iterator[int], most: int = 2**40) -> None:
    """Bytes from one end to the other, in pieces; at most so many."""
    while one.out and most > 0:
        size = min(next(cuts), most, len(one.out))
        piece = bytes(one.out[:size])
        del one.out[:size]
        most -= size
        other.yamux.receive(piece)


def endless(cuts: list[int]) -> Iterator[int]:
    while True:
        yield from cuts
        yield 65536


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "consume", "carry", "carry", "pause", "resume", "open"]),
        st.booleans(),
        st.integers(0, 3),
        st.sampled_from([0, 1, 11, 13, 5000, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW]),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=cases(60))
@given(STEPS, st.lists(st.sampled_from([1, 2, 11, 12, 13, 4096, 70000]), min_size=1, max_size=6))
def test_whatever_the_order_all_arrives_once_within_the_windows(steps: list[Any], cuts: list[int]) -> None:
    """Both ends talk, consume and stop as they like; in the end everything is there, and nothing is kept."""
    ends = End(client=True), End(client=False)
    ends[0].open()
    slices = endless([*cuts, 9999])
    carry(ends[0], ends[1], slices)
    for action, is_first, number, size in steps:
        end, other = ends if is_first else ends[::-1]
        if action == "open" and is_first:
            end.open()
            carry(end, other, slices)
        elif action == "send":
            end.send(number, size)
        elif action == "consume":
            end.consume(number, size)
        elif action == "carry":
            carry(end, other, slices, size)
        elif action == "pause":
            end.yamux.pause()
        elif action == "resume":
            end.yamux.resume()
        for each in ends:
            assert each.pending == sum(stream.pending for stream in each.streams)
    for _ in range(400):
        for end, other in (ends, ends[::-1]):
            end.yamux.resume()
            carry(end, other, slices)
            for number in range(len(other.streams)):
                other.consume(number, WINDOW)
        if not any(end.out or end.pending for end in ends):
            break
    for end, other in (ends, ends[::-1]):
        assert {key: value for key, value in end.sent.items() if value} == {
            key: value for key, value in other.got.items() if value
        }
        assert end.pending == 0


@settings(deadline=None, max_examples=cases(60))
@given(
    st.lists(
        st.tuples(st.integers(0, WINDOW) | st.sampled_from(["all of it", "one more"]), st.integers(0, WINDOW)),
        min_size=1,
        max_size=8,
    ),
    st.lists(st.sampled_from([1, 12, 500, 70000]), min_size=1, max_size=4),
)
def test_a_peer_that_ignores_its_window_is_cut_off_at_the_very_byte(
    steps: list[tuple[Any, int]], cuts: list[int]
) -> None:
    """A sender without a window of its own: cut off at the first frame beyond what was granted, and not before."""
    ours = End(client=False)
    slices = endless([*cuts, 9999])
    ours.yamux.receive(frame(Type.WINDOW_UPDATE, Flag.SYN, 1, 0))
    ours.out.clear()
    window = WINDOW
    for asked, consumed in steps:
        size = asked if isinstance(asked, int) else window + (asked == "one more")
        data, position = frame(Type.DATA, 0, 1, size) + bytes(size), 0
        if size > window:
            with pytest.raises(WireError, match=f"{size} bytes into a window of {window}"):
                ours.yamux.receive(data)
            assert bytes(ours.out[-12:]) == frame(Type.GO_AWAY, 0, 0, Reason.PROTOCOL_ERROR)
            return
        while position < len(data):
            step = next(slices)
            ours.yamux.receive(data[position : position + step])
            position += step
        window -= size
        ours.consume(0, consumed)
        granted = bytes(ours.out)
        ours.out.clear()
        for at in range(0, len(granted), HEADER.size):
            window += HEADER.unpack_from(granted, at)[4]
        assert window + ours.unconsumed.get(1, 0) <= WINDOW


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 15), st.integers(0, 5), st.integers(0, 300)), max_size=30))
def test_any_frames_are_taken_or_end_the_connection(frames: list[tuple[int, int, int, int]]) -> None:
    """Valid headers in senseless orders: nothing but `WireError`, and no more is kept than came."""
    out = bytearray()
    ours = Connection(client=False, write=out.extend, on_open=lambda stream: stream.accept())
    with suppress(WireError):
        for kind, flags, stream, length in frames:
            ours.receive(frame(kind, flags, stream, length) + bytes(length if kind == 0 else 0))
    assert ours.stream_count <= len(frames)
    assert len(out) <= 24 * len(frames) + 12


@given(VALUES)
def test_values_come_back_as_they_were_packed(value: Any) -> None:
    packed = pack(value)
    assert unpack(packed) == value
    assert unpack_from(packed + b"behind") == (value, len(packed))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_value_or_a_wire_error(noise: bytes) -> None:
    for read in (unpack, unpack_from, RequestHeader.unpack, ResponseHeader.unpack):
        with suppress(WireError):
            read(noise)
    for strict in (True, False):
        reader = ObjectReader(1000, strict=strict)
        with suppress(WireError):
            reader.feed(noise)
            while reader.next() is not None:
                pass


def fields_of(record: Any) -> set[str]:
    """The Go names of a record."""
    return {key.decode() for key in go_names(record)}


#: Values that stand where a field is, of any type.
BODIES = st.dictionaries(
    st.sampled_from(sorted({key for method in METHODS.values() for key in fields_of(method.request)})).map(str.encode),
    VALUES,
    max_size=6,
)


@settings(max_examples=cases(300), deadline=None)
@given(st.sampled_from(sorted(METHODS)), BODIES | VALUES)
def test_any_body_is_a_request_or_a_wire_error(method: str, body: Any) -> None:
    """And any reply is one, or a wire error: for whoever calls a server that talks nonsense."""
    with suppress(WireError):
        again = METHODS[method].request.from_wire(body)
        assert METHODS[method].request.unpack(again.pack()) == again
    with suppress(WireError):
        reply_of(METHODS[method].reply, body)


def peak_of(data: bytes) -> int:
    """The most memory that reading takes, in bytes."""
    reader = ObjectReader(2**25, strict=True)
    tracemalloc.start()
    try:
        with suppress(WireError):
            for position in range(0, len(data), 65536):
                reader.feed(data[position : position + 65536])
                reader.next()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xdd\x01\x00\x00\x00" * 400,
        b"\xdc\xff\xff" + b"\x80" * 65535,
        (b"\x92" + b"\xdc\xff\xff" + b"\x80" * 65535) * 20,
        b"\xdc\xff\xff" + b"\xdc\x01\x00" * 65535,
        b"\xdb\x01\x00\x00\x00" + b"x" * 2**20,
    ],
    ids=["list", "map", "text", "lists in lists", "maps", "many maps", "many lists", "large text"],
)
def test_memory_is_bounded_by_what_came(data: bytes) -> None:
    """What a few bytes promise is not set aside; and maps of one byte each are so many at most."""
    assert peak_of(data) <= 60 * 2**10 + 20 * len(data) + 100 * min(len(data), MAX_CONTAINERS)


def test_a_list_is_not_made_as_long_as_it_says_in_each_of_its_levels() -> None:
    """A thousand bytes that promise 200 lists of 65535 take room for these, but never that for what is refused."""
    assert peak_of(b"\xdc\xff\xff" * 5000) <= 1024 * 65536 * 8 + 2**20


def test_a_packet_of_nested_promises_takes_little() -> None:
    """500 lists inside each other, each of which says that it fills the largest UDP packet (gossip: `unpack`)."""
    data = (b"\xdd\x00\x00\xf0\x00" * 500).ljust(65000, b"\xc0")
    tracemalloc.start()
    try:
        with suppress(WireError):
            unpack(data)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()
