"""Two clusters that were joined by mistake stay two, whatever real servers of the other one send.

Both have terms and indexes that look alike. Seen with Consul 1.8.7: real servers of both follow the leader that is
heard first, and their states differ from then on.
"""

from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.raft.configuration import Configuration
from consulpy.raft.interfaces import Role
from consulpy.raft.machine import Raft
from consulpy.raft.messages import COMMAND, AppendEntries, InstallSnapshot, LogEntry, RequestPreVote, RequestVote
from tests.unit.raft.simulated import Disk
from tests.unit.raft.test_alone import ME, OTHER, begun, server

STRANGER = "127.0.0.9:8300"


def answer(raft: Raft, request: Any) -> tuple[Any, str]:
    answers: list[tuple[Any, str]] = []
    raft.handle(request, lambda reply, error: answers.append((reply, error)), b"")
    return answers[0]


@pytest.mark.parametrize("higher", [0, 5])
@pytest.mark.parametrize("kind", ["heartbeat", "entries", "snapshot", "vote", "pre-vote"])
def test_the_only_voter_of_a_cluster_obeys_nobody(kind: str, higher: int) -> None:
    """An error, no refusal: real leaders whose heartbeats are refused step down."""
    raft = begun(Clock(), Disk(), ME)
    term, end = raft.term + higher, (raft.log.last_index, raft.log.last_term)
    entry = LogEntry(b"x", None, end[0] + 1, term, COMMAND)
    request = {
        "heartbeat": AppendEntries(None, STRANGER, 0, 0, 0, term=term),
        "entries": AppendEntries([entry], STRANGER, end[0] + 1, *end, term=term),
        "snapshot": InstallSnapshot(term=term, leader=STRANGER, last_log_index=99, last_log_term=term),
        "vote": RequestVote(candidate=STRANGER, term=term, last_log_index=99, last_log_term=term),
        "pre-vote": RequestPreVote(addr=STRANGER, term=term, last_log_index=99, last_log_term=term),
    }[kind]
    assert answer(raft, request) == (
        None,
        f"{STRANGER} is in another cluster: this server is the only voter of its own",
    )
    assert (raft.role, raft.log.last_index, raft.known_leader) == (Role.LEADER, end[0], ME.address)


def test_one_that_has_only_begun_is_taken_in() -> None:
    raft = server(Clock(), Disk())
    raft.start()
    raft.bootstrap(Configuration.of([ME]))
    reply, error = answer(raft, AppendEntries(None, STRANGER, 0, 0, 0, term=2))
    assert (reply.success, error, raft.known_leader) == (True, "", STRANGER)


def test_a_term_has_one_leader_unless_the_other_is_of_the_configuration() -> None:
    """Also when it was not heard of for long."""
    clock = Clock()
    raft = begun(clock, Disk(), ME, OTHER)
    assert answer(raft, AppendEntries(None, OTHER.address, 0, 0, 0, term=2))[0].success
    wrong = AppendEntries([LogEntry(b"x", None, 2, 2, COMMAND)], STRANGER, 2, 1, 1, term=2)
    fault = f"{STRANGER} leads in term 2, as {OTHER.address} does: two clusters were joined"
    assert answer(raft, wrong) == (None, fault)
    clock.advance(4.0)
    assert answer(raft, wrong) == (None, fault)
    assert (raft.log.last_index, raft.known_leader) == (1, OTHER.address)
    assert answer(raft, AppendEntries(None, STRANGER, 0, 0, 0, term=3))[0].success, "another term may have another one"


def test_a_leader_of_the_configuration_is_believed_after_one_that_is_not() -> None:
    raft = begun(Clock(), Disk(), ME, OTHER)
    for address in (STRANGER, OTHER.address):
        assert answer(raft, AppendEntries(None, address, 0, 0, 0, term=2))[0].success
        assert raft.known_leader == address
