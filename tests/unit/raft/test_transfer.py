"""A leader hands over; where the first choice is gone it tells the next one."""

from typing import Any

import pytest

from consulpy.raft.interfaces import LeadershipLost
from consulpy.raft.messages import TimeoutNow
from tests.unit.raft.cluster import Plan, WatchedRaft, World


@pytest.mark.parametrize(("gone", "named"), [(1, False), (2, False), (1, True)])
def test_who_does_not_answer_is_passed_over(gone: int, named: bool) -> None:
    world = World(3, Plan(spare=0), WatchedRaft)
    while world.leader() is None or not world.leader().raft.leadership._is_ready:
        world.clock.advance(0.1)
    leader = world.leader()
    asked: list[str] = []
    call = leader.raft.sender.call

    def refusing(server: Any, request: Any, answered: Any) -> None:
        if isinstance(request, TimeoutNow):
            asked.append(server.id)
            if len(asked) <= gone:
                world.clock.callLater(0.01, answered, ConnectionError("EOF"))
                return
        call(server, request, answered)

    leader.raft.sender.call = refusing
    results: list[Any] = []
    target = next(name for name in world.nodes if name != leader.server_id) if named else ""
    leader.raft.leadership.transfer(results.append, target)
    world.clock.advance(0.5)
    if gone == 1 and not named:
        assert results == [None]
        assert world.leader().server_id == asked[1] != asked[0]
    else:
        assert str(results[0]) == f"leadership transfer to {asked[-1]}:8300: it did not take the request to stand: EOF"
        assert world.leader() is leader
        assert len(set(asked)) == len(asked) == gone


@pytest.mark.parametrize("others", [2, 0])
def test_a_write_whose_leader_cannot_store_it_is_answered_by_what_becomes_of_it(others: int) -> None:
    """It is stored by a majority without the leader, or nobody can say yet."""
    world = World(3, Plan(spare=0), WatchedRaft)
    while world.leader() is None or not world.leader().raft.leadership._is_ready:
        world.clock.advance(0.1)
    leader = world.leader()
    leader.storage._failing = 1.0
    if not others:
        world.network.partition({leader.address})
    results: list[Any] = []
    leader.propose(b"1", results.append)
    world.clock.advance(20)
    if others:
        assert not isinstance(results[0], Exception)
        assert world.leader() is not leader
        assert leader.applied_index == world.leader().applied_index > leader.storage.disk.last_index
    else:
        assert [type(result) for result in results] == [LeadershipLost]
