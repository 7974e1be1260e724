"""Raft's calls over byte streams: conversations in any slicing, pipelining, bounds, and connections that break."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from consulpy.errors import WireError
from consulpy.raft import framing
from consulpy.raft.configuration import Server
from consulpy.raft.framing import ENTRIES_MAX
from consulpy.raft.interfaces import Unreachable
from consulpy.raft.leader_watch import LeaderWatch
from consulpy.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    LogEntry,
    RequestVote,
    RequestVoteReply,
    encode_error,
    encode_reply,
    encode_request,
)
from consulpy.raft.peers import Peers
from consulpy.raft.stream import OPEN_LIMIT, RaftStream
from consulpy.raft.transport import PeerConnection
from tests.conftest import VECTORS
from tests.unit.raft.simulated import Received
from tests.unit.raft.test_follower import DIFFERENT, SCRIPT, follower

PEER = Server("10.0.0.2:8300", "b")


class Answering:
    """A stream whose machine answers when the test says so."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.bodies: list[Any] = []
        self.responds: list[Callable[..., None]] = []
        self.written = b""
        self.reading: list[bool] = []
        self.refuse = False
        self.closed: list[str] = []
        self.received = Received()
        self.memory: list[int] = []
        self.stream = RaftStream(
            self.handle,
            lambda _: None if self.refuse else self.received,
            self.write,
            self.reading.append,
            self.closed.append,
            on_memory=self.memory.append,
        )

    def handle(self, request: Any, respond: Any, body: Any) -> None:
        self.requests.append(request)
        self.bodies.append(body)
        self.responds.append(respond)

    def write(self, data: bytes) -> None:
        self.written += data


def slices(data: bytes, rng: Random, most: int = 5000) -> list[bytes]:
    pieces = []
    while data:
        size = min(rng.choice([1, 2, 7, 100, 5000]), most)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@pytest.mark.parametrize("seed", range(5))
def test_a_real_conversation_in_any_slicing(seed: int) -> None:
    clock, rng = Clock(), Random(seed)
    raft = follower(clock)
    written: list[bytes] = []
    stream = RaftStream(
        raft.handle, raft.snapshots.begin_receiving, written.append, lambda _: None, lambda why: pytest.fail(why)
    )
    steps = [step for step in SCRIPT["steps"] if step["note"] not in DIFFERENT]
    for piece in slices(b"".join(bytes.fromhex(step["request_hex"]) for step in steps), rng, 100):
        stream.data_received(piece)
        clock.advance(0)
    assert b"".join(written).hex() == "".join(step["response_hex"] for step in steps)


def test_a_captured_snapshot_arrives_whole() -> None:
    vector = json.loads((VECTORS / "raft" / "install_snapshot.json").read_text())
    answering = Answering()
    for piece in slices(bytes.fromhex(vector["request_hex"] + vector["state_hex"]), Random(1)):
        answering.stream.data_received(piece)
    assert answering.bodies == [answering.received]
    assert answering.received.state == bytes.fromhex(vector["state_hex"])
    answering.responds[0](InstallSnapshotReply(success=True, term=4), "")
    assert answering.written.hex() == vector["response_hex"]


def test_a_state_that_is_not_wanted_is_passed_over() -> None:
    answering = Answering()
    answering.refuse = True
    answering.stream.data_received(encode_request(InstallSnapshot(size=10, term=1)) + b"\x00" * 10)
    answering.stream.data_received(encode_request(RequestVote(term=5)))
    assert [type(request).__name__ for request in answering.requests] == ["InstallSnapshot", "RequestVote"]
    assert isinstance(answering.bodies[0], Exception)


def test_answers_keep_the_order_of_their_requests() -> None:
    answering = Answering()
    for term in (1, 2, 3):
        answering.stream.data_received(encode_request(AppendEntries(entries=[], term=term)))
    answering.responds[2](AppendEntriesReply(term=3), "")
    answering.responds[1](None, "wrong")
    assert answering.written == b""
    answering.responds[0](AppendEntriesReply(term=1), "")
    expected = (
        encode_reply(AppendEntriesReply(term=1)) + encode_error("wrong") + encode_reply(AppendEntriesReply(term=3))
    )
    assert answering.written == expected


def test_reading_stops_while_too_much_waits() -> None:
    answering = Answering()
    for _ in range(OPEN_LIMIT + 1):
        answering.stream.data_received(encode_request(AppendEntries(entries=[], term=1)))
    assert answering.reading == [False]
    for respond in answering.responds:
        respond(AppendEntriesReply(term=1), "")
    assert answering.reading == [False, True]


@pytest.mark.parametrize("data", [b"\x04\x80", b"\x00\xa3abc", b"\xa1x", b"\xc1", b"\x02\x81\xa4Size\xff"])
def test_what_is_no_request_ends_the_connection(data: bytes) -> None:
    answering = Answering()
    with pytest.raises(WireError):
        answering.stream.data_received(data + b"\x00" * 10)


def test_no_more_of_a_state_is_read_than_is_stored() -> None:
    answering = Answering()
    waiting: list[Callable[[], None]] = []
    answering.received.write = lambda piece, taken: waiting.append(taken)  # type: ignore[method-assign]
    answering.stream.data_received(encode_request(InstallSnapshot(size=20, term=1)) + b"s" * 10)
    assert answering.reading == [False]
    answering.stream.data_received(b"s" * 10 + encode_request(RequestVote(term=5)))
    assert len(waiting) == 1
    waiting.pop()()
    assert answering.requests == []
    waiting.pop()()
    assert [type(request).__name__ for request in answering.requests] == ["InstallSnapshot", "RequestVote"]
    assert answering.reading == [False, True]


def test_what_follows_a_state_is_read_as_carefully() -> None:
    answering = Answering()
    waiting: list[Callable[[], None]] = []
    answering.received.write = lambda piece, taken: waiting.append(taken)  # type: ignore[method-assign]
    answering.stream.data_received(encode_request(InstallSnapshot(size=1, term=1)) + b"s\xc1")
    waiting.pop()()
    assert len(answering.closed) == 1


def test_a_state_that_breaks_off_is_forgotten() -> None:
    answering = Answering()
    answering.stream.data_received(encode_request(InstallSnapshot(size=20, term=1)) + b"s" * 10)
    answering.stream.lost()
    assert answering.received.closed
    assert answering.requests == []


def test_a_message_beyond_all_bounds_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MESSAGE_LIMIT", 20000)
    monkeypatch.setattr(framing, "STATE_CHUNK", 20000)
    stream = Answering().stream
    stream.data_received(b"\x00\xdb\x00\x10\x00\x00" + b"x" * 20000)
    with pytest.raises(WireError, match="more than"):
        stream.data_received(b"x" * 30000)


# -- our own calls


class Connected:
    """A connection of ours, without a socket."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.closed: list[PeerConnection] = []
        self.connection = PeerConnection(self.clock, self.closed.append)
        self.transport: Any = StringTransport()
        self.transport.setTcpNoDelay = lambda _: None
        self.transport.abortConnection = lambda: None
        self.connection.makeConnection(self.transport)
        self.answers: list[Any] = []


def test_calls_are_pipelined_after_the_first_byte() -> None:
    made = Connected()
    requests = [AppendEntries(entries=[LogEntry(b"x", None, index, 1, 0)], term=1) for index in (1, 2)]
    for request in requests:
        made.connection.ask(request, made.answers.append)
    assert made.transport.value() == b"\x01" + b"".join(map(encode_request, requests))
    replies = [AppendEntriesReply(success=True, term=1, last_log=each) for each in (0, 1)]
    for piece in slices(b"".join(map(encode_reply, replies)), Random(3)):
        made.connection.dataReceived(piece)
    assert made.answers == replies
    assert made.connection.is_idle
    assert not made.clock.getDelayedCalls()


def test_an_error_with_nil_is_an_answer_too() -> None:
    made = Connected()
    made.connection.ask(RequestVote(), made.answers.append)
    made.connection.ask(RequestVote(), made.answers.append)
    made.connection.dataReceived(encode_error("not supported") + encode_reply(RequestVoteReply(granted=True)))
    assert str(made.answers[0]) == "not supported"
    assert made.answers[1] == RequestVoteReply(granted=True)


@pytest.mark.parametrize("garbage", [b"\xc1", b"\x05\x80", b"\xa0\x05", encode_reply(RequestVoteReply()) * 3])
def test_an_answer_that_cannot_be_read_fails_all_calls(garbage: bytes) -> None:
    made = Connected()
    made.connection.ask(RequestVote(), made.answers.append)
    made.connection.ask(RequestVote(), made.answers.append)
    made.connection.dataReceived(garbage)
    assert isinstance(made.answers[-1], Exception) or len(made.answers) == 2
    assert not made.connection.is_open
    assert made.closed == [made.connection]


def test_a_call_that_takes_too_long_fails_all_of_them() -> None:
    made = Connected()
    made.connection.ask(RequestVote(), made.answers.append)
    made.clock.advance(framing.CALL_TIMEOUT_S - 1)
    made.connection.ask(RequestVote(), made.answers.append)
    made.clock.advance(1)
    assert [str(each) for each in made.answers] == ["i/o timeout"] * 2
    assert not made.clock.getDelayedCalls()


class Dialing:
    """Peers whose connections have no sockets."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.made: list[PeerConnection] = []
        self.refuses = False
        self.peers = Peers(self.clock, self.dial, lambda server, answered: None)
        self.answers: list[Any] = []

    def dial(self, server: Server, make: Callable[[], Any]) -> "Deferred[Any]":
        if self.refuses:
            return fail(ConnectionRefusedError("connection refused"))
        connection = make()
        string: Any = StringTransport()
        string.setTcpNoDelay = lambda _: None
        string.abortConnection = lambda: None
        connection.makeConnection(string)
        self.made.append(connection)
        return succeed(connection)

    def sent(self, number: int) -> bytes:
        wire: Any = self.made[number].transport
        return bytes(wire.value())


def test_heartbeats_and_votes_never_wait_behind_the_log() -> None:
    dialing = Dialing()
    append = AppendEntries(entries=[], term=1, leader="a")
    heartbeat = AppendEntries(term=1, leader="a")
    for request in (append, append, heartbeat, RequestVote(term=1)):
        dialing.peers.call(PEER, request, dialing.answers.append)
    assert dialing.sent(0) == b"\x01" + encode_request(append) * 2
    assert dialing.sent(1) == b"\x01" + encode_request(heartbeat)
    assert dialing.sent(2) == b"\x01" + encode_request(RequestVote(term=1))
    dialing.made[1].dataReceived(encode_reply(AppendEntriesReply(term=1)))
    dialing.peers.call(PEER, heartbeat, dialing.answers.append)
    assert len(dialing.made) == 3, "an idle connection is used again"
    dialing.peers.close()
    assert not dialing.clock.getDelayedCalls()


def test_who_cannot_be_reached_is_told_later() -> None:
    dialing = Dialing()
    dialing.refuses = True
    for request in (AppendEntries(entries=[], term=1), RequestVote(term=1)):
        dialing.peers.call(PEER, request, dialing.answers.append)
    assert dialing.answers == []
    dialing.clock.advance(0)
    assert all(isinstance(each, Unreachable) for each in dialing.answers)
    assert len(dialing.answers) == 2


def test_an_aborted_log_is_dialed_anew() -> None:
    dialing = Dialing()
    dialing.peers.call(PEER, AppendEntries(entries=[], term=1), dialing.answers.append)
    dialing.peers.abort(PEER)
    assert [str(each) for each in dialing.answers] == ["aborted"]
    dialing.peers.call(PEER, AppendEntries(entries=[], term=1), dialing.answers.append)
    assert len(dialing.made) == 2


def test_a_log_whose_connection_was_closed_while_nothing_was_asked_is_dialed_anew() -> None:
    """A server left, and came back: a call on the old connection would never be answered."""
    dialing = Dialing()
    append = AppendEntries(entries=[], term=1)
    dialing.peers.call(PEER, append, dialing.answers.append)
    dialing.made[0].dataReceived(encode_reply(AppendEntriesReply(term=1, success=True)))
    dialing.made[0].connectionLost()
    dialing.peers.call(PEER, append, dialing.answers.append)
    assert len(dialing.made) == 2
    dialing.made[1].dataReceived(encode_reply(AppendEntriesReply(term=1, success=True)))
    assert len(dialing.answers) == 2


def test_a_call_on_a_closed_connection_fails() -> None:
    made = Connected()
    made.connection.connectionLost()
    made.connection.ask(RequestVote(), made.answers.append)
    assert made.answers == []
    made.clock.advance(0)
    assert [str(each) for each in made.answers] == ["EOF"]
    assert not made.clock.getDelayedCalls()


class OneState:
    """A snapshot of three parts; the test says when the next one is read."""

    meta: Any = None
    size = 600_000

    def __init__(self) -> None:
        self.parts: list[Any] = [b"s" * 200_000] * 3 + [b""]
        self.wanted: list[Callable[[Any], None]] = []
        self.is_closed = False

    def read(self, done: Callable[[Any], None]) -> None:
        self.wanted.append(done)

    def give(self) -> None:
        self.wanted.pop()(self.parts.pop(0))

    def close(self) -> None:
        self.is_closed = True


def test_a_state_goes_over_a_connection_of_its_own_in_pieces() -> None:
    dialing, state = Dialing(), OneState()
    request = InstallSnapshot(size=OneState.size, term=1)
    dialing.peers.install(PEER, request, state, dialing.answers.append)
    wire: Any = dialing.made[0].transport
    state.give()
    assert dialing.sent(0) == b"\x01" + encode_request(request) + b"s" * 200_000
    wire.producer.pauseProducing()
    state.give()
    assert state.wanted == [], "nothing is read ahead of the connection"
    wire.producer.resumeProducing()
    while wire.producer is not None:
        state.give()
    assert dialing.sent(0) == b"\x01" + encode_request(request) + b"s" * OneState.size
    dialing.made[0].dataReceived(encode_reply(InstallSnapshotReply(success=True, term=1)))
    assert dialing.answers == [InstallSnapshotReply(success=True, term=1)]
    assert not dialing.made[0].is_open
    assert state.is_closed


def test_a_state_that_cannot_be_read_ends_its_connection() -> None:
    dialing, state = Dialing(), OneState()
    dialing.peers.install(PEER, InstallSnapshot(size=OneState.size, term=1), state, dialing.answers.append)
    state.parts = [OSError("bad block")]
    state.give()
    assert [str(each) for each in dialing.answers] == ["the snapshot cannot be read: bad block"]
    assert state.is_closed


def test_a_leader_is_dead_when_its_connections_are_closed_and_it_refuses_new_ones() -> None:
    died: list[str] = []
    refused = [True]
    watch = LeaderWatch(lambda: "a", lambda address, answered: answered(refused[0]), died.append)

    def stream(leader: str) -> RaftStream:
        one = Answering().stream
        one.leader = leader
        watch.opened(one)
        return one

    log, heartbeats, other = stream("a"), stream("a"), stream("b")
    watch.lost(log)
    watch.lost(other)
    assert died == []
    refused[0] = False
    watch.lost(heartbeats)
    assert died == [], "it still takes connections"
    refused[0] = True
    watch.lost(stream("a"))
    assert died == ["a"]


@pytest.mark.parametrize(
    "value",
    [
        b"\xdd" + (ENTRIES_MAX + 1).to_bytes(4, "big"),
        b"\xdd" + ENTRIES_MAX.to_bytes(4, "big") + b"\x90" * ENTRIES_MAX,
        b"\xdd" + ENTRIES_MAX.to_bytes(4, "big") + b"\x81\x01\x80" * ENTRIES_MAX,
        b"\xdf\x00\x00\x01\x00",
    ],
)
def test_what_would_take_a_hundred_times_its_bytes_ends_the_connection(value: bytes) -> None:
    """Four gigabytes of empty maps could stand in one message of the largest size."""
    answering = Answering()
    with pytest.raises(WireError):
        answering.stream.data_received(b"\x00\x81\xa7Entries" + value)
    assert answering.requests == []


def test_the_most_entries_are_taken_again_and_again() -> None:
    answering = Answering()
    entries = [LogEntry(index=index, term=1) for index in range(1, ENTRIES_MAX + 1)]
    for _ in range(2):
        answering.stream.data_received(encode_request(AppendEntries(entries=entries, term=1)))
    assert [len(request.entries) for request in answering.requests] == [ENTRIES_MAX] * 2


def test_what_is_read_of_an_unfinished_request_counts_until_it_is_whole() -> None:
    """Many connections that never end what they begin are a matter of the listener's memory limit."""
    answering = Answering()
    request = encode_request(AppendEntries(entries=[LogEntry(data=bytes(1000), index=1, term=1)], term=1))
    for at in range(0, len(request), 100):
        assert sum(answering.memory) == max(at - 1, 0), "all but its type"
        answering.stream.data_received(request[at : at + 100])
    assert sum(answering.memory) == 0
    answering.stream.data_received(encode_request(InstallSnapshot(size=500, term=1)) + bytes(400))
    assert sum(answering.memory) == 0, "what is stored of a snapshot is not held"
