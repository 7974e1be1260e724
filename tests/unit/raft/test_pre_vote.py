"""Pre-votes of raft 1.7 (Consul 1.20): bytes made by hand from its public protocol, and quorums of all three kinds."""

from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.codec.msgpack import pack, unpack_from
from consulpy.raft.configuration import NONVOTER, Configuration, Server
from consulpy.raft.machine import Raft
from consulpy.raft.messages import CONFIGURATION, AppendEntries, LogEntry
from consulpy.raft.stream import RaftStream
from tests.unit.raft.cluster import Plan, simulate
from tests.unit.raft.test_follower import follower

#: `me` of test_follower, another voter, a server without a vote.
ONE, OTHER, WATCHER = "127.0.0.1:8300", "127.0.0.9:8300", "127.0.0.8:8300"


def member(clock: Clock, *, contact: bool = False) -> Raft:
    """A follower in term 3 with two entries; `contact`: whose leader has just been heard."""
    raft = follower(clock)
    servers = [Server(raft.address, raft.server_id), Server(OTHER, "other"), Server(WATCHER, "watcher", NONVOTER)]
    entries = [
        LogEntry(data=Configuration(servers).pack(), index=1, term=2, type=CONFIGURATION),
        LogEntry(index=2, term=3, type=1),
    ]
    leader = AppendEntries(leader=OTHER, term=3, entries=entries, leader_commit_index=2)
    raft.handle(leader, lambda *_: None)
    clock.advance(0)
    if not contact:
        raft.set_leader("")
    return raft


def ask(raft: Raft, clock: Clock, **changed: Any) -> tuple[str, dict[bytes, Any]]:
    """Send a pre-vote over a connection; error and answer."""
    fields = {
        "Addr": OTHER.encode(),
        "ID": b"other",
        "LastLogIndex": 2,
        "LastLogTerm": 3,
        "ProtocolVersion": 3,
        "Term": 4,
    }
    written: list[bytes] = []
    stream = RaftStream(raft.handle, lambda _: None, written.append, lambda _: None, lambda _: None)
    stream.data_received(b"\x04" + pack(fields | changed))
    clock.advance(0)
    answer = b"".join(written)
    error, size = unpack_from(answer)
    body, rest = unpack_from(answer[size:])
    assert size + rest == len(answer)
    return error.decode(), body


@pytest.mark.parametrize(
    ("changed", "granted", "term"),
    [
        ({}, True, 4),
        ({"Term": 9}, True, 9),
        ({"Term": 3}, True, 3),
        ({"Term": 2}, False, 3),
        ({"LastLogIndex": 1}, False, 4),
        ({"LastLogTerm": 2, "LastLogIndex": 90}, False, 4),
        ({"LastLogTerm": 4, "LastLogIndex": 1}, True, 4),
        ({"ID": b"stranger"}, False, 3),
        ({"ID": b""}, False, 3),
        ({"ID": b"watcher", "Addr": WATCHER.encode()}, False, 4),
    ],
)
def test_a_pre_vote_is_answered_as_a_vote_would_be(changed: dict[str, Any], granted: bool, term: int) -> None:
    clock = Clock()
    raft = member(clock)
    error, body = ask(raft, clock, **changed)
    assert (error, body[b"Granted"], body[b"Term"]) == ("", granted, term)
    assert (body[b"ID"], body[b"Addr"], body[b"ProtocolVersion"]) == (raft.server_id.encode(), raft.address.encode(), 3)


def test_nothing_changes_by_it() -> None:
    clock = Clock()
    raft = member(clock)
    before = (raft.term, raft.voted_term, raft.voted_for, raft.contact_s, raft.known_leader, raft.role)
    clock.advance(0.5)
    assert ask(raft, clock, Term=7)[1][b"Granted"]
    assert ask(raft, clock, ID=b"other", Term=7)[1][b"Granted"], "a pre-vote binds nobody"
    assert (raft.term, raft.voted_term, raft.voted_for, raft.contact_s, raft.known_leader, raft.role) == before


def test_who_knows_another_leader_refuses_and_the_leader_itself_is_granted() -> None:
    clock = Clock()
    raft = member(clock, contact=True)
    assert ask(raft, clock)[1][b"Granted"], "it is the known leader"
    assert not ask(raft, clock, Addr=b"127.0.0.7:8300")[1][b"Granted"]
    assert ask(raft, clock, Addr=b"127.0.0.7:8300")[1][b"Term"] == raft.term, "so that it does not raise its own"


def test_a_server_that_stopped_voting_refuses() -> None:
    clock = Clock()
    raft = member(clock)
    raft.halt("a command that it does not know")
    assert not ask(raft, clock)[1][b"Granted"]


def test_a_server_without_configuration_grants_as_the_quorum_is_only_beginning() -> None:
    clock = Clock()
    assert ask(follower(clock), clock, ID=b"anyone", LastLogIndex=1, LastLogTerm=1, Term=2)[1][b"Granted"]


def test_a_wrong_protocol_version_is_an_error() -> None:
    clock = Clock()
    error, body = ask(member(clock), clock, ProtocolVersion=1)
    assert "protocol version" in error
    assert body is None


@pytest.mark.parametrize(
    "plan", [Plan(servers=3, real=2, newer=2), Plan(servers=5, real=4, newer=2), Plan(servers=3, real=1, newer=1)]
)
def test_quorums_of_newer_and_older_servers_and_ours_lose_nothing_and_recover(plan: Plan) -> None:
    for seed in range(5):
        simulate(seed, plan)
