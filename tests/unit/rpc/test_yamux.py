"""The stream machine, against captured frames and in any slicing. Source: docs/wire/rpc.md 2, 16."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulpy.errors import WireError
from consulpy.rpc.yamux import (
    ACCEPT_BACKLOG,
    HEADER,
    UNACKNOWLEDGED_LIMIT,
    WINDOW,
    Connection,
    Flag,
    Reason,
    Stream,
    Type,
    frame,
)
from tests.conftest import VECTORS
from tests.harness.effort import cases


class Recorder:
    """Remembers what came on a stream; consumes at once unless told not to."""

    def __init__(self, stream: Stream | None = None, consume: bool = True) -> None:
        self.stream = stream
        self.consume = consume
        self.data = bytearray()
        self.has_ended = False
        self.times_drained = 0
        self.lost_because: str | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.consume and self.stream is not None:
            self.stream.consumed(len(data))

    def ended(self) -> None:
        self.has_ended = True

    def drained(self) -> None:
        self.times_drained += 1

    def lost(self, reason: str) -> None:
        self.lost_because = reason


class Peer:
    """One end whose output is kept."""

    def __init__(self, *, client: bool, accept: bool = True, consume: bool = True) -> None:
        self.sent = bytearray()
        self.opened: list[Recorder] = []
        self.pongs: list[int] = []
        self._accept, self._consume = accept, consume
        self.yamux = Connection(client=client, write=self._write, on_open=self._opened, on_pong=self.pongs.append)

    def _write(self, data: bytes) -> None:
        self.sent += data

    def _opened(self, stream: Stream) -> None:
        recorder = Recorder(stream, self._consume)
        stream.receiver = recorder
        self.opened.append(recorder)
        if self._accept:
            stream.accept()

    def take(self) -> bytes:
        sent = bytes(self.sent)
        self.sent.clear()
        return sent


def frames(data: bytes) -> list[tuple[int, int, int, int]]:
    """(type, flags, stream, length) of each frame."""
    found, position = [], 0
    while position < len(data):
        _, kind, flags, stream, length = HEADER.unpack_from(data, position)
        position += HEADER.size + (length if kind == Type.DATA else 0)
        found.append((kind, flags, stream, length))
    assert position == len(data)
    return found


def talk(one: Peer, other: Peer) -> None:
    """Carry bytes until both are silent."""
    while one.sent or other.sent:
        other.yamux.receive(one.take())
        one.yamux.receive(other.take())


def captured(name: str) -> Any:
    return json.loads((VECTORS / "rpc" / name).read_text())


def test_a_captured_session_is_replayed_byte_for_byte() -> None:
    """`yamux_client_start.json`: what the client does, done to us, makes us send what the real server sent."""
    ours = Peer(client=False)
    streams: dict[int, Recorder] = {}
    expected, got = [], []
    for each in captured("yamux_client_start.json")["frames"]:
        raw = bytes.fromhex(each["header_hex"] + each.get("payload_hex", ""))
        if each["dir"] == "client->server":
            ours.yamux.receive(raw)
            streams |= {recorder.stream.id: recorder for recorder in ours.opened if recorder.stream}
        else:
            expected.append(raw)
            if each["type"] == "data":
                stream = streams[each["stream"]].stream
                assert stream is not None
                stream.send(bytes.fromhex(each["payload_hex"]))
            elif each["type"] == "ping" and each["flags"] == "SYN":
                ours.yamux.ping()
        got.append(ours.take())
    assert sorted(frames(b"".join(got))) == sorted(frames(b"".join(expected)))
    assert sum(map(len, got)) == sum(map(len, expected))


def test_the_client_opens_closes_and_numbers_streams_as_a_real_one() -> None:
    """`yamux_busy_client.json`: SYN, FIN and ids 1, 3, 5."""
    ours, peer = Peer(client=True), Peer(client=False)
    ids = []
    for _ in range(3):
        stream = ours.yamux.open(Recorder())
        ids.append(stream.id)
        stream.send(b"x")
    assert ids == [1, 3, 5]
    assert frames(bytes(ours.sent))[:2] == [(Type.WINDOW_UPDATE, Flag.SYN, 1, 0), (Type.DATA, 0, 1, 1)]
    peer.yamux.receive(ours.take())
    assert frames(peer.take()) == [(Type.WINDOW_UPDATE, Flag.ACK, number, 0) for number in ids]


def test_a_fin_is_answered_by_one_fin_and_the_stream_is_forgotten() -> None:
    """docs/wire/rpc.md 2, trap 2."""
    ours, peer = Peer(client=True), Peer(client=False)
    stream = ours.yamux.open(Recorder())
    stream.close()
    stream.close()
    talk(ours, peer)
    assert peer.opened[0].has_ended
    assert peer.opened[0].stream is not None
    peer.opened[0].stream.close()
    peer.opened[0].stream.close()
    assert frames(bytes(peer.sent)) == [(Type.WINDOW_UPDATE, Flag.FIN, 1, 0)]
    talk(ours, peer)
    assert ours.yamux.stream_count == peer.yamux.stream_count == 0


def test_what_was_sent_before_a_close_arrives_before_the_end() -> None:
    ours, peer = Peer(client=True), Peer(client=False)
    stream = ours.yamux.open(Recorder())
    stream.send(b"z" * (3 * WINDOW))
    stream.close()
    assert stream.pending == 2 * WINDOW
    talk(ours, peer)
    assert len(peer.opened[0].data) == 3 * WINDOW
    assert peer.opened[0].has_ended


def test_a_sender_stops_at_the_window_until_the_receiver_has_consumed() -> None:
    ours, peer = Peer(client=True), Peer(client=False, consume=False)
    stream = ours.yamux.open(Recorder())
    stream.send(b"z" * (WINDOW + 1))
    talk(ours, peer)
    recorder = peer.opened[0]
    assert recorder.stream is not None
    assert len(recorder.data) == WINDOW
    recorder.stream.consumed(WINDOW // 2 - 1)
    assert not peer.sent, "windows grow in large steps"
    recorder.stream.consumed(1)
    assert frames(bytes(peer.sent)) == [(Type.WINDOW_UPDATE, 0, 1, WINDOW // 2)]
    talk(ours, peer)
    assert len(recorder.data) == WINDOW + 1


def test_a_frame_that_is_half_here_takes_its_whole_window() -> None:
    """What of it is consumed already must not make us grant what its rest will need."""
    ours = Peer(client=False)
    ours.yamux.receive(frame(Type.DATA, Flag.SYN, 1, WINDOW) + bytes(WINDOW // 2 - 1))
    assert frames(ours.take()) == [(Type.WINDOW_UPDATE, Flag.ACK, 1, 0)]
    ours.yamux.receive(bytes(WINDOW // 2 + 1))
    assert frames(ours.take()) == [(Type.WINDOW_UPDATE, 0, 1, WINDOW)]


def test_a_peer_that_ignores_its_window_is_cut_off() -> None:
    """docs/wire/rpc.md 16: 300000 bytes into the window of 262144: go away 1, closed."""
    ours = Peer(client=False)
    ours.yamux.receive(frame(Type.WINDOW_UPDATE, Flag.SYN, 1, 0))
    ours.take()
    with pytest.raises(WireError, match="300000 bytes into a window"):
        ours.yamux.receive(frame(Type.DATA, 0, 1, 300000))
    assert frames(ours.take()) == [(Type.GO_AWAY, 0, 0, Reason.PROTOCOL_ERROR)]


@pytest.mark.parametrize(
    "bad",
    [
        HEADER.pack(1, 0, 0, 1, 0),
        HEADER.pack(0, 7, 0, 1, 0),
        frame(Type.WINDOW_UPDATE, Flag.SYN, 3, 0) * 2,
        frame(Type.WINDOW_UPDATE, Flag.SYN, 3, 0) + frame(Type.WINDOW_UPDATE, Flag.FIN, 3, 0) * 2,
        frame(Type.GO_AWAY, 0, 0, Reason.INTERNAL_ERROR),
    ],
    ids=["version 1", "type 7", "opened twice", "second FIN", "go away with an error"],
)
def test_broken_rules_end_the_connection(bad: bytes) -> None:
    with pytest.raises(WireError):
        Peer(client=False).yamux.receive(bad)


def test_frames_for_unknown_streams_are_skipped_with_their_payload() -> None:
    ours = Peer(client=False)
    ours.yamux.receive(frame(Type.DATA, 0, 99, 5) + b"hello" + frame(Type.PING, Flag.SYN, 0, 7))
    assert frames(ours.take()) == [(Type.PING, Flag.ACK, 0, 7)]


def test_streams_may_be_opened_by_data_and_with_even_numbers() -> None:
    ours = Peer(client=False)
    ours.yamux.receive(frame(Type.DATA, Flag.SYN, 2, 3) + b"abc")
    assert bytes(ours.opened[0].data) == b"abc"


def test_a_reset_stream_is_gone_at_both_ends() -> None:
    ours, peer = Peer(client=True), Peer(client=False)
    mine = Recorder()
    ours.yamux.open(mine)
    talk(ours, peer)
    assert peer.opened[0].stream is not None
    peer.opened[0].stream.reset()
    talk(ours, peer)
    assert mine.lost_because == "connection reset"
    assert ours.yamux.stream_count == peer.yamux.stream_count == 0


def test_streams_that_nobody_accepts_are_reset_beyond_the_backlog() -> None:
    ours = Peer(client=False, accept=False)
    for number in range(ACCEPT_BACKLOG + 1):
        ours.yamux.receive(frame(Type.WINDOW_UPDATE, Flag.SYN, 2 * number + 1, 0))
    assert frames(ours.take()) == [(Type.WINDOW_UPDATE, Flag.RST, 2 * ACCEPT_BACKLOG + 1, 0)]


def test_a_client_opens_no_more_than_the_peer_can_acknowledge() -> None:
    ours, peer = Peer(client=True), Peer(client=False)
    for _ in range(UNACKNOWLEDGED_LIMIT + 10):
        ours.yamux.open(Recorder()).send(b"x")
    assert sum(1 for each in frames(bytes(ours.sent)) if each[1] == Flag.SYN) == UNACKNOWLEDGED_LIMIT
    talk(ours, peer)
    assert len(peer.opened) == UNACKNOWLEDGED_LIMIT + 10
    assert all(bytes(recorder.data) == b"x" for recorder in peer.opened)


def test_pings_are_numbered_and_answered() -> None:
    ours, peer = Peer(client=True), Peer(client=False)
    assert [ours.yamux.ping(), ours.yamux.ping()] == [0, 1]
    talk(ours, peer)
    assert ours.pongs == [0, 1]


def test_everybody_is_told_of_the_end() -> None:
    ours = Peer(client=True)
    recorders = [Recorder() for _ in range(UNACKNOWLEDGED_LIMIT + 1)]
    for recorder in recorders:
        ours.yamux.open(recorder)
    ours.yamux.close("EOF")
    assert {recorder.lost_because for recorder in recorders} == {"EOF"}
    with pytest.raises(WireError, match="session shutdown"):
        ours.yamux.open(Recorder())


SIZES = st.sampled_from([0, 1, 11, 12, 13, 4096, WINDOW, WINDOW + 5000])
CUTS = st.lists(st.sampled_from([1, 2, 5, 11, 12, 13, 4095, 50000]), min_size=1, max_size=8)
ACTIONS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["send", "send", "close", "reset"]),
        st.sampled_from([0, 1, 11, 12, 13, 4096, WINDOW, WINDOW + 5000]),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=cases(40))
@given(
    ACTIONS,
    st.lists(st.sampled_from([1, 2, 5, 11, 12, 13, 4095, 50000]), min_size=1, max_size=8).map(
        lambda cuts: [*cuts, 9999]
    ),
)
def test_any_slicing_gives_the_same_result(actions: list[tuple[int, str, int]], cuts: list[int]) -> None:
    """A conversation in pieces of any size leaves the receiver as the whole does."""
    ours = Peer(client=True)
    streams = [ours.yamux.open(Recorder()) for _ in range(4)]
    for number, action, size in actions:
        stream = streams[number]
        if action == "send":
            stream.send(bytes([number]) * size)
        elif action == "close":
            stream.close()
        else:
            stream.reset()
    data = ours.take()

    def seen(slices: Callable[[], list[bytes]]) -> Any:
        peer = Peer(client=False)
        for piece in slices():
            peer.yamux.receive(piece)
        return [(bytes(r.data), r.has_ended, r.lost_because) for r in peer.opened], sorted(frames(peer.take()))

    def sliced() -> list[bytes]:
        pieces, position, turn = [], 0, 0
        while position < len(data):
            size = cuts[turn % len(cuts)]
            pieces.append(data[position : position + size])
            position, turn = position + size, turn + 1
        return pieces

    whole, pieces = seen(lambda: [data]), seen(sliced)
    assert pieces == whole


@settings(deadline=None, max_examples=cases(40))
@given(st.lists(st.integers(0, 2 * WINDOW), max_size=6), st.lists(st.integers(1, WINDOW), max_size=8))
def test_windows_are_never_exceeded(sizes: list[int], consumed: list[int]) -> None:
    """What is under way and not consumed is never more than the window; nothing is lost or doubled."""
    ours, peer = Peer(client=True), Peer(client=False, consume=False)
    stream = ours.yamux.open(Recorder())
    for size in sizes:
        stream.send(b"q" * size)
    talk(ours, peer)  # raises if the window were exceeded
    recorder = peer.opened[0]
    assert recorder.stream is not None
    total, eaten = sum(sizes), 0
    for size in [*consumed, *[WINDOW] * (total // WINDOW + 1)]:
        size = min(size, len(recorder.data) - eaten)
        eaten += size
        recorder.stream.consumed(size)
        talk(ours, peer)
        assert len(recorder.data) - eaten <= WINDOW
    assert len(recorder.data) == total


@given(st.binary(max_size=200))
def test_noise_only_ever_raises_wire_errors(noise: bytes) -> None:
    with contextlib.suppress(WireError):
        Peer(client=False).yamux.receive(noise)
