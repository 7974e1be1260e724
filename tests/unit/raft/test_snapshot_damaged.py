"""A leader whose stored snapshot cannot be read makes another one, which servers that lag are sent."""

from typing import Any

from tests.unit.raft.cluster import Plan, WatchedRaft, World


def test_a_follower_that_lags_gets_a_new_snapshot_where_the_stored_one_cannot_be_read() -> None:
    world = World(2, Plan(spare=0), WatchedRaft)  # whose disks do not fail
    while world.leader() is None or not world.leader().raft.leadership._is_ready:
        world.clock.advance(0.1)
    world.clock.advance(1.0)
    leader = world.leader()
    lags = next(node for node in world.nodes.values() if node is not leader)
    world.crash(lags.server_id, 6.0)
    for _ in range(150):
        leader.propose(b"x", lambda _: None)
        world.clock.advance(0.02)
    world.clock.advance(3.0)
    assert leader.disk.snapshot is not None
    damaged, opened = leader.disk.snapshot.index, leader.storage.open_snapshot
    assert damaged > lags.last_index

    def open_snapshot(done: Any) -> None:
        if leader.disk.snapshot.index == damaged:
            world.clock.callLater(0.001, done, OSError("database disk image is malformed"))
        else:
            opened(done)

    leader.storage.open_snapshot = open_snapshot
    for _ in range(10):
        world.clock.advance(1.0)
        leader.propose(b"y", lambda _: None)
    world.clock.advance(1.0)
    assert world.leader() is leader
    assert world.nodes[lags.server_id].applied_index == leader.applied_index
