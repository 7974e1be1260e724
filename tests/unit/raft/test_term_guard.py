"""One request with a number near the end of its range stops nobody, and neither does an answer."""

from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.codec.msgpack import pack
from consulpy.errors import WireError
from consulpy.raft.configuration import Configuration
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.interfaces import Role
from consulpy.raft.machine import Raft
from consulpy.raft.messages import (
    NUMBER_MAX,
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    LogEntry,
    Request,
    RequestVote,
    RequestVoteReply,
    decode_request,
)
from consulpy.raft.storage import HardState, Update
from consulpy.raft.term_guard import TERM_LEAP_MAX
from tests.unit.raft.simulated import Disk
from tests.unit.raft.test_alone import ME, OTHER, begun, server

OTHERS = "127.0.0.2:8300"


def asked(raft: Raft, request: Request) -> list[Any]:
    answers: list[Any] = []
    raft.handle(request, lambda reply, error: answers.append((reply, error)))
    return answers


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def raft(clock: Clock) -> Raft:
    return begun(clock, Disk(), ME, OTHER)


@pytest.mark.parametrize(
    "request_",
    [
        RequestVote(candidate=OTHERS, term=2 + TERM_LEAP_MAX),
        AppendEntries(leader=OTHERS, term=NUMBER_MAX),
        AppendEntries(leader=OTHERS, term=NUMBER_MAX, entries=[], leader_commit_index=1),
        InstallSnapshot(leader=OTHERS, term=NUMBER_MAX),
    ],
)
def test_a_term_that_no_elections_lead_to_is_refused(raft: Raft, clock: Clock, request_: Request) -> None:
    said: list[str] = []
    raft.observer.say = lambda level, text: said.append(f"{level}: {text}")  # type: ignore[method-assign]
    for _ in range(3):
        assert asked(raft, request_) == [(None, "this term cannot be")]
    assert (raft.term, raft.role) == (1, Role.FOLLOWER)
    assert said == [f"error: {OTHERS} is in term {request_.term}, which no election led to from 1: refused"]
    clock.advance(10)
    asked(raft, request_)
    assert said[-1] == f"{said[0]} (2 more since the last such line)"


def test_any_other_term_is_taken(raft: Raft) -> None:
    term = 1 + TERM_LEAP_MAX
    reply, error = asked(raft, RequestVote(candidate=OTHERS, term=term, last_log_index=9, last_log_term=9))[0]
    assert (reply.granted, error, raft.term) == (True, "", term)


def test_a_server_without_a_log_takes_every_term(clock: Clock) -> None:
    """It may join a quorum of any age."""
    raft = server(clock, Disk())
    raft.start()
    asked(raft, AppendEntries(leader=OTHERS, term=NUMBER_MAX))
    assert raft.term == NUMBER_MAX


@pytest.mark.parametrize("number", [-1, NUMBER_MAX + 1, 2**64 - 1])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(0, "Term"), (0, "PrevLogEntry"), (0, "LeaderCommitIndex"), (1, "Term"), (1, "LastLogIndex"), (2, "LastLogIndex")],
)
def test_other_numbers_close_the_connection(kind: int, name: str, number: int) -> None:
    """Also those below 0, as in Go."""
    with pytest.raises(WireError, match=f"{number} of a"):
        decode_request(kind, {name.encode(): number})


def test_a_leader_stays_when_a_server_answers_with_such_a_term(clock: Clock) -> None:
    raft = begun(clock, Disk(), ME)
    calls: list[tuple[Request, Any]] = []
    raft.sender.call = lambda _server, request, answered: calls.append((request, answered))  # type: ignore[method-assign]
    assert raft.leadership is not None
    raft.leadership.change_configuration(lambda _: Configuration.of([ME, OTHER]), lambda _: None)
    clock.advance(0.1)
    appends = [each[1] for each in calls if isinstance(each[0], AppendEntries) and not each[0].is_heartbeat]
    appends[0](AppendEntriesReply(term=raft.term + TERM_LEAP_MAX + 1))
    assert raft.role is Role.LEADER
    clock.advance(0.1)
    assert raft.term < TERM_LEAP_MAX


def test_a_candidate_stays_when_a_server_answers_with_such_a_term(raft: Raft, clock: Clock) -> None:
    calls: list[tuple[Request, Any]] = []
    raft.sender.call = lambda _server, request, answered: calls.append((request, answered))  # type: ignore[method-assign]
    raft.elections.stand_now()
    clock.advance(0.1)
    votes = [answered for request, answered in calls if isinstance(request, RequestVote)]
    votes[0](RequestVoteReply(term=NUMBER_MAX))
    assert (raft.term, raft.role) == (2, Role.CANDIDATE)
    votes[0](RequestVoteReply(term=2, granted=True))
    assert raft.role is Role.LEADER


def test_what_cannot_be_stored_leaves_the_file_as_it_was(tmp_path: Any) -> None:
    """A number beyond 64 bits is no error of the file."""
    said: list[str] = []
    database = RaftDatabase(str(tmp_path / "log"), lambda _level, text: said.append(text))
    database.load_raft(ME, lambda *_: None)
    assert database.write(Update(hard_state=HardState(2**64, 1, ""))) is not None
    good = Update(hard_state=HardState(3, 1, "x"), entries=[LogEntry(index=1, term=1)])
    assert database.write(good) is None
    database.close()
    assert pack(said) == pack([])
