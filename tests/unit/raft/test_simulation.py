"""The simulation over fixed seeds; and as a test of the test, broken rules that it must catch.

More seeds: `python -m tests.unit.raft.simulate 5000`; the story of one: `python -m tests.unit.raft.simulate --seed 17`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consulpy.raft import appending, election, leadership, machine, persistence, replication, snapshots
from consulpy.raft.configuration import Configurations
from tests.harness.effort import cases, some
from tests.unit.raft.cluster import Plan, plan_of, simulate
from tests.unit.raft.simulated import Violation

#: Raft's metrics in real Consul 1.8.7, without the gauges and what the agent counts.
MEASURED = (
    "candidate.electSelf",
    "compactLogs",
    "fsm.apply",
    "fsm.enqueue",
    "fsm.restore",
    "fsm.snapshot",
    "leader.dispatchLog",
    "leader.lastContact",
    "replication.appendEntries.logs",
    "replication.appendEntries.rpc",
    "replication.heartbeat",
    "replication.installSnapshot",
    "rpc.appendEntries",
    "rpc.appendEntries.processLogs",
    "rpc.appendEntries.storeLogs",
    "rpc.installSnapshot",
    "rpc.processHeartbeat",
    "rpc.requestVote",
    "snapshot.create",
    "snapshot.persist",
    "snapshot.takeSnapshot",
    "state.follower",
    "transition.heartbeat_timeout",
    "verify_leader",
)
#: Seeds of one test, so that a failure shows early and the workers of a parallel run share them.
CHUNK = 50


@pytest.mark.parametrize("first", range(0, 400, CHUNK))
def test_no_rule_is_broken_whatever_fails(first: int) -> None:
    for seed in range(first, first + cases(CHUNK)):
        simulate(seed)


def test_elections_writes_and_real_servers_take_part_in_it() -> None:
    plans = [plan_of(seed) for seed in range(400)]
    assert sum(plan.real > 0 for plan in plans) > 100
    world = simulate(6)
    assert world.checker.elections > 1
    assert len(world.handle_ack) > 50


def test_what_real_servers_measure_is_measured() -> None:
    """Names as a quorum of real servers showed them; those of one other server end with its id."""
    found = set().union(*(simulate(seed, replace(plan_of(seed), real=0)).measured for seed in (3, 8)))
    names = {name.removesuffix(f".{server}") for name in found for server in "abcd" if name.endswith(f".{server}")}
    assert {f"raft.{name}" for name in MEASURED} <= found | names


@pytest.mark.parametrize("servers", [3, 5])
def test_configurations_that_are_changed_in_haste_break_no_rule(servers: int) -> None:
    for seed in range(cases(50)):
        simulate(seed, Plan(servers=servers, spare=2, faults_s=15.0, writes_per_s=30.0, hastens=True))


def test_newer_real_servers_may_keep_themselves_from_electing() -> None:
    """By their rule that a stranger gets no pre-vote, though an uncommitted configuration made it one."""
    assert plan_of(73003614).newer == 2
    simulate(73003614)


def test_a_seed_replays() -> None:
    lines: list[list[str]] = [[], []]
    for each in lines:
        simulate(17, lines=each)
    assert lines[0] == lines[1] != []


# -- rules that are broken on purpose

Break = Callable[[pytest.MonkeyPatch], None]
BROKEN: dict[str, Break] = {}


def broken(rule: Break) -> Break:
    BROKEN[rule.__name__] = rule
    return rule


@broken
def a_majority_of_votes_is_off_by_one(patch: pytest.MonkeyPatch) -> None:
    def count(self: Any, server_id: str) -> None:
        if not self._is_over:
            self._votes.add(server_id)
            if len(self._votes) >= len(self._voters) // 2:
                self.stop()
                self._raft.lead()

    patch.setattr(election.Candidacy, "_count", count)
    patch.setattr(election.Survey, "has_majority", True)


@broken
def a_majority_of_logs_is_off_by_one(patch: pytest.MonkeyPatch) -> None:
    def advance(self: Any) -> None:
        raft = self._raft
        if self.is_over:
            return
        matches = sorted(self._match(server) for server in raft.configurations.latest.voters)
        index = matches[len(matches) // 2 if len(matches) % 2 == 0 else min(len(matches) // 2 + 1, len(matches) - 1)]
        if index > raft.commit_index and index >= self.first_index:
            raft.commit(index)

    patch.setattr(leadership.Leadership, "advance_commit", advance)


@broken
def entries_of_older_terms_are_committed_by_counting(patch: pytest.MonkeyPatch) -> None:
    advance = leadership.Leadership.advance_commit

    def any_term(self: Any) -> None:
        first, self.first_index = self.first_index, 0
        advance(self)
        self.first_index = first

    patch.setattr(leadership.Leadership, "advance_commit", any_term)


@broken
def the_vote_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    def vote(self: Any, candidate: str) -> None:
        self.voted_term, self.voted_for = self.term, candidate

    patch.setattr(machine.Raft, "vote", vote)


@broken
def the_term_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    def set_term(self: Any, term: int) -> None:
        self.term = self.durable_term = term

    patch.setattr(machine.Raft, "set_term", set_term)


@broken
def answers_do_not_wait_for_the_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(persistence.Persistence, "after", lambda self, action: action())


@broken
def two_votes_in_one_term(patch: pytest.MonkeyPatch) -> None:
    def vote(self: Any, candidate: str) -> None:
        self.voted_term, self.voted_for = self.term - 1, candidate
        self._store_hard_state()

    patch.setattr(machine.Raft, "vote", vote)


@broken
def a_candidate_with_an_older_log_gets_votes(patch: pytest.MonkeyPatch) -> None:
    receive = election.Elections.receive_vote_request

    def vote(self: Any, request: Any, respond: Any) -> None:
        receive(self, replace(request, last_log_term=1 << 30), respond)

    patch.setattr(election.Elections, "receive_vote_request", vote)
    patch.setattr(election.Survey, "has_majority", True)


@broken
def replication_outlives_its_office(patch: pytest.MonkeyPatch) -> None:
    """Trap 2: requests carry the current term, not the one that was won."""

    def term_now(self: Any) -> int:
        return int(self._raft.term)

    patch.setattr(leadership.Leadership, "term", property(term_now, lambda self, value: None), raising=False)
    patch.setattr(replication.Replication, "stop", lambda self: None)
    patch.setattr(replication.Heartbeat, "stop", lambda self: None)


@broken
def a_conflicting_tail_is_not_cut(patch: pytest.MonkeyPatch) -> None:
    def take(raft: Any, entries: list[Any]) -> bool:
        new = [entry for entry in entries if entry.index > raft.log.last_index]
        if new:
            raft.append(new)
        return True

    patch.setattr(appending, "_take", take)


@broken
def what_was_not_verified_is_committed(patch: pytest.MonkeyPatch) -> None:
    """As real followers do, while a leader names its whole commit index."""

    def commit(raft: Any, request: Any, count: int) -> None:
        raft.commit(max(min(request.leader_commit_index, raft.log.last_index), raft.commit_index))

    send = replication.Replication._send_entries

    def send_entries(self: Any, entries: list[Any]) -> None:
        call = self._raft.sender.call

        def with_commit(server: Any, request: Any, answered: Any) -> None:
            call(server, replace(request, leader_commit_index=self._raft.commit_index), answered)

        self._raft.sender.call = with_commit
        try:
            send(self, entries)
        finally:
            self._raft.sender.call = call

    init = replication.Replication.__init__

    def from_the_beginning(self: Any, raft: Any, office: Any, server: Any) -> None:
        init(self, raft, office, server)  # allowed, only slow; but a wrong tail then stays for some requests
        self.next = self._confirmed_next = raft.log.first_index

    patch.setattr(appending, "_commit", commit)
    patch.setattr(replication.Replication, "_send_entries", send_entries)
    patch.setattr(replication.Replication, "__init__", from_the_beginning)


@broken
def the_previous_entry_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    receive = appending.receive

    def trusting(raft: Any, request: Any, respond: Any) -> None:
        if not request.is_heartbeat and request.prev_log_entry <= raft.log.last_index:
            term = raft.log.term(request.prev_log_entry)
            if term is not None:
                request = replace(request, prev_log_term=term)
        receive(raft, request, respond)

    patch.setattr(machine.appending, "receive", trusting)


@broken
def several_changes_of_the_configuration_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Configurations, "is_stable", True)


@broken
def a_configuration_counts_only_when_it_is_committed(patch: pytest.MonkeyPatch) -> None:
    """Majorities of two disjoint sets then decide."""

    def voters(self: Any) -> Any:
        return self.committed

    latest = property(voters, lambda self, value: setattr(self, "_latest", value))
    patch.setattr(Configurations, "latest", latest, raising=False)

    def commit(self: Any, index: int) -> bool:
        if not self.committed_index < self.latest_index <= index:
            return False
        self.committed, self.committed_index = self._latest, self.latest_index
        return True

    patch.setattr(Configurations, "commit", commit)
    patch.setattr(Configurations, "is_stable", True)


@broken
def an_old_snapshot_is_installed(patch: pytest.MonkeyPatch) -> None:
    receive = snapshots.Snapshots.receive

    def going_back(self: Any, request: Any, body: Any, respond: Any) -> None:
        commit, self._raft.commit_index = self._raft.commit_index, 0
        receive(self, request, body, respond)
        self._raft.commit_index = commit

    patch.setattr(snapshots.Snapshots, "receive", going_back)


@broken
def a_snapshot_claims_one_entry_too_many(patch: pytest.MonkeyPatch) -> None:
    replaced = machine.Applying.replaced
    patch.setattr(machine.Applying, "replaced", lambda self, index: replaced(self, index + 1))


@broken
def consistent_reads_ask_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leadership.Leadership, "verify", lambda self, finished: finished(None))


@broken
def the_lease_of_reads_never_ends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leadership.Leadership, "has_lease", True)
    patch.setattr(leadership.Leadership, "_check_lease", lambda self: None)


@broken
def a_silent_leader_is_never_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Trap 3: then everybody is refused, for ever."""
    patch.setattr(machine.Raft, "known_leader", property(lambda self: self._leader))
    patch.setattr(machine.Raft, "set_leader", lambda self, address: setattr(self, "_leader", address or self._leader))


@broken
def entries_are_applied_before_they_are_committed(patch: pytest.MonkeyPatch) -> None:
    def commit(raft: Any, request: Any, count: int) -> None:
        raft.commit(raft.log.last_index)

    patch.setattr(appending, "_commit", commit)


@broken
def a_server_without_a_vote_counts_its_own(patch: pytest.MonkeyPatch) -> None:
    """Trap 4; real servers check nothing for us."""
    start = election.Candidacy.start

    def counting(self: Any) -> None:
        start(self)
        if not self._is_over:
            self._votes.add(self._raft.server_id)

    patch.setattr(election.Candidacy, "start", counting)
    patch.setattr(election.Elections, "_may_stand", lambda self, counting_own_vote=False: True)
    patch.setattr(election.Survey, "has_majority", True)


@broken
def a_snapshot_is_taken_of_what_is_not_committed(patch: pytest.MonkeyPatch) -> None:
    meta = snapshots.SnapshotMeta

    def newest(index: int, term: int, configuration: Any, configuration_index: int) -> Any:
        return meta(index + 1, term, configuration, configuration_index)

    patch.setattr(snapshots, "SnapshotMeta", newest)


@broken
def a_leader_counts_what_it_has_not_stored_itself(patch: pytest.MonkeyPatch) -> None:
    match = leadership.Leadership._match

    def own_log(self: Any, server: Any) -> int:
        return int(self._raft.log.last_index if server.id == self._raft.server_id else match(self, server))

    patch.setattr(leadership.Leadership, "_match", own_log)


@broken
def logs_of_servers_without_a_vote_count(patch: pytest.MonkeyPatch) -> None:
    def advance(self: Any) -> None:
        raft = self._raft
        if self.is_over:
            return
        matches = sorted(self._match(server) for server in raft.configurations.latest.servers)
        index = matches[(len(matches) - 1) // 2]
        if index > raft.commit_index and index >= self.first_index:
            raft.commit(index)

    patch.setattr(leadership.Leadership, "advance_commit", advance)


@broken
def a_new_leader_has_a_lease_before_its_first_entry_is_applied(patch: pytest.MonkeyPatch) -> None:
    """It does not know yet what its predecessor committed."""
    start = leadership.Leadership.start

    def ready(self: Any) -> None:
        self._is_ready = True
        start(self)

    patch.setattr(leadership.Leadership, "start", ready)


@broken
def the_configuration_of_the_log_is_not_loaded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(machine.Raft, "_load", lambda self, entry: self.log.append_stored(entry))


@broken
def a_configuration_that_was_cut_stays_in_force(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Configurations, "truncated", lambda self, index: None)


@broken
def a_new_leader_changes_the_configuration_before_an_entry_of_its_own_is_committed(patch: pytest.MonkeyPatch) -> None:
    """Two leaders may then each have a change that the other one lacks, and majorities that do not meet."""
    change = leadership.Leadership._next_change

    def at_once(self: Any) -> None:
        raft, commit = self._raft, self._raft.commit_index
        raft.commit_index = max(commit, self.first_index)
        try:
            change(self)
        finally:
            if raft.commit_index == max(commit, self.first_index):
                raft.commit_index = commit

    patch.setattr(leadership.Leadership, "_next_change", at_once)


#: Worlds in which a mistake shows soon.
STORMY = Plan(servers=3, spare=2, faults_s=15.0, writes_per_s=100.0)
#: The seed by which it showed when it was last looked for, where that is not the first one: tried first.
SHOWS_LATE = {
    "a_configuration_that_was_cut_stays_in_force": 12,
    "a_conflicting_tail_is_not_cut": 5,
    "a_new_leader_changes_the_configuration_before_an_entry_of_its_own_is_committed": 537,
    "a_new_leader_has_a_lease_before_its_first_entry_is_applied": 3,
    "a_server_without_a_vote_counts_its_own": 13,
    "a_silent_leader_is_never_forgotten": 5,
    "a_snapshot_claims_one_entry_too_many": 2,
    "an_old_snapshot_is_installed": 51,
    "consistent_reads_ask_nobody": 2,
    "entries_are_applied_before_they_are_committed": 5,
    "logs_of_servers_without_a_vote_count": 1,
    "replication_outlives_its_office": 1,
    "several_changes_of_the_configuration_at_once": 9,
    "the_configuration_of_the_log_is_not_loaded": 11,
    "the_lease_of_reads_never_ends": 1,
    "the_previous_entry_is_not_compared": 5,
    "what_was_not_verified_is_committed": 8,
}


#: Those that show in another one only.
HASTY = {
    "a_configuration_that_was_cut_stays_in_force": replace(STORMY, writes_per_s=30.0, hastens=True),
    "a_new_leader_changes_the_configuration_before_an_entry_of_its_own_is_committed": Plan(
        servers=4, spare=1, faults_s=20.0, writes_per_s=20.0, hastens=True
    ),
}


@pytest.mark.parametrize("rule", some([*BROKEN]))
def test_the_simulation_catches_a_broken_rule(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BROKEN[rule](monkeypatch)
    for seed in (SHOWS_LATE.get(rule, 0), *range(300)):
        try:
            simulate(seed, HASTY.get(rule, STORMY))
        except Violation:
            return
    pytest.fail(f"{rule} was not noticed")
