"""The leader's program ends: all others learn of it in the same moment, and one of them leads soon."""

import pytest

from tests.unit.raft.cluster import Plan, WatchedRaft, World
from tests.unit.raft.simulated import Weather

#: The heartbeat timeout is 1 s here.
SOON_S = 0.5


@pytest.mark.parametrize("servers", [3, 5])
@pytest.mark.parametrize("first", [0, 25])
def test_a_killed_leader_is_replaced_before_any_timeout(servers: int, first: int) -> None:
    for seed in range(first, first + 25):
        world = World(seed, Plan(servers=servers, spare=0), WatchedRaft)
        world.disk_failing = 0.0
        while (leader := world.leader()) is None or leader.commit_index < 2:
            world.clock.advance(0.01)
        world.clock.advance(1.0)
        leader = world.leader()
        world.crash(leader.server_id, 60.0)
        began_s = world.clock.seconds()
        while world.leader() is None:
            world.clock.advance(0.005)
            assert world.clock.seconds() - began_s < SOON_S, f"seed {seed}"


@pytest.mark.parametrize("first", [0, 25])
def test_the_others_ask_again_where_the_first_answers_fail(first: int) -> None:
    """On a busy machine an answer takes longer than a survey: waiting for the timers then would take much longer."""
    for seed in range(first, first + 25):
        world = World(seed, Plan(servers=3, spare=0), WatchedRaft)
        world.disk_failing = 0.0
        while (leader := world.leader()) is None or leader.commit_index < 2:
            world.clock.advance(0.01)
        world.clock.advance(1.0)
        leader = world.leader()
        followers = {node.address for node in world.nodes.values() if node is not leader}
        world.crash(leader.server_id, 60.0)
        world.network.partition({min(followers)})
        began_s = world.clock.seconds()
        world.clock.callLater(0.2, world.network.heal)
        while world.leader() is None:
            world.clock.advance(0.005)
            assert world.clock.seconds() - began_s < 2 * SOON_S, f"seed {seed}"


def test_a_split_vote_is_over_soon_where_answers_take_long() -> None:
    """The next rounds of two candidates are further apart than a round takes."""
    times = []
    for seed in range(60):
        world = World(seed, Plan(servers=3, spare=0), WatchedRaft)
        if world.disk_failing:
            continue
        while (leader := world.leader()) is None or leader.commit_index < 2:
            world.clock.advance(0.01)
        world.clock.advance(1.0)
        world.network.weather = Weather(0.1)
        world.clock.advance(0.5)
        leader = world.leader()
        if leader is not None:
            world.crash(leader.server_id, 60.0)
            began_s = world.clock.seconds()
            while world.leader() is None:
                world.clock.advance(0.005)
            times.append(world.clock.seconds() - began_s)
    assert len(times) > 20
    assert sorted(times)[len(times) * 9 // 10] < 1.0


def test_a_real_server_with_a_newer_log_is_told_to_stand() -> None:
    """It does not notice that the leader is dead, and nobody else can win: its timer takes 1 to 3 s."""
    tried = 0
    for seed in range(60):
        world = World(seed, Plan(servers=3, spare=0, real=1), WatchedRaft)
        world.disk_failing = 0.0
        while (leader := world.leader()) is None or leader.commit_index < 2:
            world.clock.advance(0.01)
        world.clock.advance(1.0)
        leader = world.leader()
        if leader is None or leader.is_real:
            continue
        tried += 1
        real = next(node for node in world.nodes.values() if node.is_real)
        lags = next(node for node in world.nodes.values() if node not in (leader, real))
        world.network.partition({lags.address})
        world.network._cut.discard(frozenset((lags.address, real.address)))
        acked: list[object] = []
        leader.propose(b"which the real one has", acked.append)
        world.clock.advance(0.15)
        assert acked == [real.last_index]
        world.network.heal()
        world.crash(leader.server_id, 60.0)
        began_s = world.clock.seconds()
        while world.leader() is None:
            world.clock.advance(0.005)
            assert world.clock.seconds() - began_s < SOON_S, f"seed {seed}"
        assert world.leader() is real
    assert tried > 10
