"""A captured conversation with one real follower, replayed against ours: the same answers, byte for byte."""

import json
from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.codec.msgpack import unpack_from
from consulpy.codec.record import Record
from consulpy.raft.interfaces import Settings
from consulpy.raft.machine import Raft
from consulpy.raft.messages import (
    AppendEntries,
    InstallSnapshot,
    LogEntry,
    decode_request,
    encode_error,
    encode_reply,
)
from tests.conftest import VECTORS
from tests.unit.raft.simulated import Disk, SimulatedStorage

SCRIPT = json.loads((VECTORS / "raft" / "follower_script.json").read_text())
#: Where ours answers otherwise, and why.
DIFFERENT = {
    "prev below the snapshot, entry is still in the log": "entries below an installed snapshot are not kept",
}
#: Where ours is in another state afterwards.
SAFER = {"an older snapshot (5/6) again: taken, the state goes back"}


class Nowhere:
    """A sender and state machine that nothing comes back from."""

    applied = rows = 0

    def call(self, *_: Any) -> None: ...

    install = survey = abort = call

    def apply(self, entries: Any) -> list[None]:
        self.applied += len(entries)
        return [None] * len(entries)

    def capture(self) -> None: ...

    def restore(self, state: Any, index: int) -> None: ...


def follower(clock: Any, disk: Disk | None = None, failing: float = 0.0) -> Raft:
    nowhere: Any = Nowhere()
    storage: Any = SimulatedStorage(disk or Disk(), clock, Random(1), 0.0, failing)
    raft = Raft(
        SCRIPT["me"]["id"],
        SCRIPT["me"]["address"],
        Settings.scaled(5),
        clock=clock,
        rng=Random(1),
        storage=storage,
        sender=nowhere,
        state_machine=nowhere,
    )
    raft.start()
    return raft


def test_a_follower_answers_as_a_real_one() -> None:
    clock = Clock()
    raft = follower(clock)
    for step in SCRIPT["steps"]:
        request_bytes = bytes.fromhex(step["request_hex"])
        raw, size = unpack_from(request_bytes[1:])
        request = decode_request(request_bytes[0], raw)
        body: Any = request_bytes[1 + size :] if isinstance(request, InstallSnapshot) else None
        answers: list[bytes] = []

        def respond(reply: Record | None, error: str, answers: list[bytes] = answers) -> None:
            answers.append(encode_error(error, reply) if error else encode_reply(reply or Record()))

        raft.handle(request, respond, body)
        clock.advance(0)
        if step["note"] not in DIFFERENT:
            assert [each.hex() for each in answers] == [step["response_hex"]], step["note"]
        after = step["after"]
        if after and step["kind"] != "TimeoutNow":
            assert raft.term == int(after["term"]), step["note"]
            assert raft.role.value == after["state"], step["note"]
            assert raft.known_leader == after["leader"], step["note"]
            if not SAFER & {each["note"] for each in SCRIPT["steps"][: SCRIPT["steps"].index(step) + 1]}:
                assert raft.applied_index == int(after["applied_index"]), step["note"]
                assert raft.log.snapshot_index == int(after["last_snapshot_index"]), step["note"]


@pytest.mark.parametrize("step", [s for s in SCRIPT["steps"] if s["kind"] == "AppendEntries"][:1])
def test_a_gap_before_entries_is_refused(step: Any) -> None:
    """Real followers take them, and die when they are committed."""
    raft = follower(Clock())
    raw, _ = unpack_from(bytes.fromhex(step["request_hex"])[1:])
    request: Any = decode_request(0, raw)
    request.prev_log_entry = request.prev_log_term = 0
    request.entries = [LogEntry(index=2, term=1, type=1)]
    answers: list[Any] = []
    raft.handle(request, lambda reply, error: answers.append(reply))
    assert [(reply.success, reply.no_retry_backoff) for reply in answers] == [(False, False)]
    assert raft.log.last_index == 0


@pytest.mark.parametrize("continues", [True, False])
def test_a_server_that_restarted_has_caught_up_when_its_state_is_as_new_as_before(continues: bool) -> None:
    """Not with the first heartbeat. What another leader cut off it is not waited for."""
    clock, disk = Clock(), Disk()
    before = follower(clock, disk)
    entries = [LogEntry(index=index, term=1, type=1) for index in (1, 2, 3)]
    append(before, clock, entries=entries, leader_commit_index=3)
    assert before.has_caught_up
    before.stop()

    raft = follower(clock, disk)
    assert not raft.has_caught_up
    append(raft, clock)
    assert raft.contact_s is not None
    assert not raft.has_caught_up
    if continues:
        append(raft, clock, entries=[], prev_log_entry=3, prev_log_term=1, leader_commit_index=3)
    else:
        other = [LogEntry(index=2, term=2, type=1)]
        append(raft, clock, entries=other, prev_log_entry=1, prev_log_term=1, leader_commit_index=1, term=2)
    assert raft.has_caught_up


def append(raft: Raft, clock: Clock, **fields: Any) -> None:
    request = AppendEntries(**{"leader": "127.0.0.9:8300", "term": 1, **fields})
    raft.handle(request, lambda *_: None)
    clock.advance(0)


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
@pytest.mark.parametrize("body", [{}, None, []])
def test_a_request_without_a_protocol_version_is_of_version_0(kind: int, body: Any) -> None:
    """Not of ours; and an empty one is no heartbeat. Source: docs/wire/raft.md 21."""
    clock = Clock()
    answers: list[Any] = []
    follower(clock).handle(decode_request(kind, body), lambda reply, error: answers.append((reply, error)))
    assert answers == [(None, "operation not supported with current protocol version")]


def test_a_follower_whose_disk_is_full_still_knows_its_new_leader() -> None:
    """A leader sends a heartbeat when the last one is answered; no answer may claim a term that is not stored."""
    clock = Clock()
    raft = follower(clock, failing=1.0)
    storage: Any = raft.storage
    heartbeat = AppendEntries(leader="10.0.0.2:8300", term=4)
    answers: list[Any] = []

    def beat() -> Any:
        raft.handle(heartbeat, lambda reply, error: answers.append(error or (reply.term, reply.success)))  # type: ignore[union-attr]
        clock.advance(0.01)
        return answers[-1]

    assert beat() == "the term cannot be stored at present"
    assert beat() == "the term cannot be stored at present"
    assert len(answers) == 2
    assert raft.known_leader == "10.0.0.2:8300"
    storage._failing = 0.0
    clock.advance(1.0)
    assert beat() == (4, True)
