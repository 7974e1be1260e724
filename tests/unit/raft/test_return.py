"""A server comes back: it hears its leader, and has its entries, as soon as it listens again."""

import pytest

from tests.unit.raft.cluster import Plan, WatchedRaft, World

#: Four heartbeats.
SOON_S = 0.6


@pytest.mark.parametrize("down_s", [1.0, 2.0, 5.0])
def test_a_follower_that_was_away_has_the_newest_entry_soon(down_s: float) -> None:
    """And not only when the pauses of a leader that could not reach it are over."""
    for seed in range(20):
        world = World(seed, Plan(servers=3, spare=0), WatchedRaft)
        world.disk_failing = 0.0
        while (leader := world.leader()) is None or leader.commit_index < 2:
            world.clock.advance(0.01)
        world.clock.advance(1.0)
        leader = world.leader()
        name = min(name for name in world.nodes if name != leader.server_id)
        world.crash(name, down_s)
        world.clock.advance(0.1)
        leader.propose(b"\x02new", lambda _result: None)
        world.clock.advance(down_s - 0.05)
        newest = leader.commit_index
        began_s = world.clock.seconds()
        while world.nodes[name].commit_index < newest:
            world.clock.advance(0.01)
            assert world.clock.seconds() - began_s < SOON_S, f"seed {seed}"
