"""A restored snapshot whose leader is lost at any step: it is everywhere in the end, or nowhere."""

from typing import Any

import pytest

from consulpy.raft import unconfirmed
from consulpy.raft.messages import AppendEntriesReply, InstallSnapshot, RequestVote
from consulpy.raft.storage import HardState, SnapshotMeta
from tests.harness.effort import cases
from tests.unit.raft.cluster import Plan, WatchedRaft, World, simulate
from tests.unit.raft.own_server import OwnServer
from tests.unit.raft.simulated import Disk

#: Seeds of one test.
CHUNK = 20


def plan(seed: int) -> Plan:
    return Plan(servers=3 if seed % 3 else 5, spare=seed % 2, restores=True, faults_s=10.0)


@pytest.mark.parametrize("first", range(0, 40, CHUNK))
def test_restores_under_faults(first: int) -> None:
    for seed in range(first, first + cases(CHUNK)):
        simulate(seed, plan(seed))


def restoring(seed: int, gap: int, cut: bool) -> tuple[World, Any]:
    """A quorum of three with some writes, whose leader begins to restore; `cut`: it reaches nobody from then on."""
    world = World(seed, Plan(spare=0), WatchedRaft)
    world.clock.advance(4.0)
    while world.leader() is None:
        world.clock.advance(0.1)
    leader = world.leader()
    for _ in range(20):
        world._write(leader, world.clock.seconds())
        world.clock.advance(0.01)
    world.clock.advance(0.5)
    save = leader.storage.save_snapshot

    def save_snapshot(*arguments: Any) -> None:
        if cut:
            world.network.partition({leader.address})
        save(*arguments)

    leader.storage.save_snapshot = save_snapshot
    world.restore(leader, gap)
    return world, leader


@pytest.mark.parametrize("gap", [0, 500], ids=["next index", "a later index"])
@pytest.mark.parametrize("cut", [False, True], ids=["connected", "cut off"])
def test_the_leader_dies_at_each_step(cut: bool, gap: int) -> None:
    kept = set()
    for step in range(0, 40, 3):
        world, leader = restoring(step % 5, gap, cut)
        world.clock.advance(0.002 * step)
        world.crash(leader.server_id, 6.0)
        world.clock.advance(3.0)
        for _ in range(20):  # those that are left go on
            world.clock.advance(0.1)
            if world.leader() is not None:
                world._write(world.leader(), world.clock.seconds())
        world.clock.advance(2.0)
        world.recover()
        states = {(node.machine.index, node.machine.hash) for node in world.nodes.values()}
        assert len(states) == 1, "all servers have the same state"
        kept.add(any(state in world.checker.hashes.items() for state in world.checker.restores))
    assert False in kept, "some were lost before anybody else had them"
    assert cut or True in kept, "some were there"


def test_who_comes_back_with_an_unconfirmed_restore_takes_the_log_of_the_others() -> None:
    world, leader = restoring(1, 500, cut=True)
    name = leader.server_id
    while not leader.raft.unconfirmed.is_in_force:
        world.clock.advance(0.001)
    assert not leader.raft.leadership.has_lease, "what may be undone is not read"
    world.crash(name, 8.0)
    world.clock.advance(6.0)
    for _ in range(10):
        world._write(world.leader(), world.clock.seconds())
        world.clock.advance(0.1)
    world.recover()
    again = world.nodes[name]
    assert again.applied_index < leader.raft.log.snapshot_index
    assert again.raft.unconfirmed.position == (0, 0)
    assert again.disk.unconfirmed == (0, 0) or again.raft.persistence.is_idle


def test_who_gave_up_a_restore_votes_as_if_it_still_had_what_it_acknowledged() -> None:
    world, leader = restoring(2, 500, cut=True)
    name = leader.server_id
    while not leader.raft.unconfirmed.is_in_force:
        world.clock.advance(0.001)
    own_term, own_index = leader.raft.unconfirmed.position
    world.crash(name, 8.0)
    world.clock.advance(7.9)
    world.network.heal()
    other = world.leader()
    while world.nodes[name] is leader or world.nodes[name].raft.log.snapshot_index:
        world.clock.advance(0.001)
    again = world.nodes[name].raft
    assert again.unconfirmed.is_missing
    assert not again.elections._may_stand()
    again.follow(again.term + 1)
    granted: list[bool] = []
    for index, term in ((own_index - 1, own_term), (1, other.term)):
        request = RequestVote(
            term=again.term, candidate="x:8300", last_log_index=index, last_log_term=term, leadership_transfer=True
        )
        again.handle(request, lambda reply, error: granted.append(reply.granted))
        world.clock.advance(0.5)
        assert again.unconfirmed.is_missing == (again.log.last_term <= own_term)
    assert granted == [False, True]


def test_servers_that_were_recovered_apart_agree() -> None:
    """Both have got a `peers.json`: the one whose log is newer leads, the longer one gives way."""
    world = World(4, Plan(servers=2, spare=0), WatchedRaft)
    world.clock.advance(3.0)
    configuration = world.nodes["a"].latest
    for name, index, term in (("a", 105, 9), ("b", 140, 8)):
        world.nodes[name].clock.is_dead = True
        meta = SnapshotMeta(index, term, configuration, 1)
        state = ("restored", term)
        world.disks[name] = Disk(HardState(9, 0, ""), meta, state, unconfirmed=(index, term))
        world.checker.restores.add((index, hash(state)))
    world.checker.committed.clear()
    for name in "ab":
        world.boot(name)
    world.recover()
    assert world.nodes["a"].machine.hash == world.nodes["b"].machine.hash
    assert world.nodes["b"].applied_index < 140


def test_the_simulation_catches_a_restore_that_never_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unconfirmed.Unconfirmed, "gives_way", lambda self, index, term: False)
    with pytest.raises(AssertionError):
        test_who_comes_back_with_an_unconfirmed_restore_takes_the_log_of_the_others()


def test_a_follower_that_cannot_go_on_from_a_snapshot_gets_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real server whose log has the entry after a restored snapshot, and not the one at it, refuses for ever."""
    world = World(6, Plan(spare=0), WatchedRaft)
    world.clock.advance(4.0)
    leader = world.leader()
    name = next(each for each in world.nodes if each != leader.server_id)
    world.crash(name, 4.0)
    installed: list[int] = []
    receive = OwnServer.receive

    def refusing(self: OwnServer, request: Any, body: Any, respond: Any) -> None:
        if self.server_id == name and isinstance(request, InstallSnapshot):
            installed.append(request.last_log_index)
        elif self.server_id == name and [getattr(request, "prev_log_entry", 0)] == installed[:1]:
            respond(AppendEntriesReply(last_log=installed[0] + 1, no_retry_backoff=True, term=self.term), "")
            return
        receive(self, request, body, respond)

    monkeypatch.setattr(OwnServer, "receive", refusing)
    for _ in range(300):
        world._write(world.leader(), world.clock.seconds())
        world.clock.advance(0.01)
    world.clock.advance(6.0)
    for _ in range(5):  # too few for another snapshot
        world._write(world.leader(), world.clock.seconds())
        world.clock.advance(0.01)
    world.clock.advance(6.0)
    assert world.nodes[name].applied_index == world.leader().applied_index
    assert 2 <= len(installed) < 10
