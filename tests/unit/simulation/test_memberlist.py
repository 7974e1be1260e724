"""Whole pools of memberlists on a simulated network. CONSULPY_SEED chooses the run; a failure tells its seed."""

import os

import pytest

from consulpy.memberlist.member import State
from consulpy.memberlist.messages import Alive, Dead, Suspect
from consulpy.memberlist.suspicion import suspicion_timeout_s
from consulpy.testing.simulation.cluster import Cluster
from consulpy.testing.simulation.network import Conditions
from tests.harness.effort import cases

SEED = int(os.environ.get("CONSULPY_SEED", "20261123"))


@pytest.fixture(autouse=True)
def _tell_the_seed() -> None:
    print(f"CONSULPY_SEED={SEED}")  # pytest shows it when a test fails


def everybody_thinks(cluster: Cluster, name: str, *states: State | None) -> bool:
    return all(node.sees(name) in states for node in cluster.nodes if node.memberlist.running and node.name != name)


def test_nodes_that_join_the_same_one_find_each_other() -> None:
    cluster = Cluster(cases(200), SEED, compression=False)
    cluster.join_all()
    assert cluster.clock.advance_until(cluster.has_converged, 60)
    cluster.run(5)
    assert cluster.has_converged()


@pytest.mark.parametrize("size", [5, 60])
def test_a_dead_member_is_found_in_time(size: int) -> None:
    cluster = Cluster(size, SEED, settled=True)
    cluster.run(5)
    victim = cluster.nodes[2]
    victim.host.crash()
    died_s = cluster.clock.seconds()
    least_s = suspicion_timeout_s(4, size, 1.0)
    found = lambda: everybody_thinks(cluster, victim.name, State.DEAD)  # noqa: E731
    # The last prober's turn comes within two rounds of its list; then the suspicion, unconfirmed, and the gossip.
    assert cluster.clock.advance_until(found, 2 * size + 6 * least_s + 5)
    took_s = cluster.clock.seconds() - died_s
    assert took_s > least_s, "it had its time to refute"
    if size == 60:
        assert took_s < 1 + 1 + 6 * least_s + 3, "among many somebody probes it within a second or two"
    assert cluster.has_converged(node for node in cluster.nodes if node is not victim)


def test_no_false_failure_with_5_percent_loss_in_ten_minutes() -> None:
    cluster = Cluster(30, SEED, Conditions(loss=0.05), settled=True)
    cluster.run(600)
    assert cluster.has_converged()
    failures = [event for node in cluster.nodes for event in node.delegate.events if event[0] == "leave"]
    assert failures == []
    assert cluster.network.lost > 1000


@pytest.mark.parametrize("steps", [[2**32 - 1], [2**31 - 1, 2**32 - 1], [2**31, 2**32 - 1], [2**31 + 1, 5, 2**32 - 1]])
@pytest.mark.parametrize("kind", [Suspect, Dead, Alive])
def test_no_forged_incarnation_makes_a_member_fail(steps: list[int], kind: type[Suspect | Dead | Alive]) -> None:
    """One UDP packet at 2^32-1 makes a member of real memberlist dead for as long as anybody remembers it."""
    cluster = Cluster(5, SEED, settled=True)
    cluster.run(5)
    for incarnation in steps:
        config = cluster.nodes[2].memberlist.config
        forged = Alive(incarnation, "n2", *config.advertise, b"x", config.vsn) if kind is Alive else None
        packet = (forged or kind(incarnation, "n2", "n4")).encode()
        for node in cluster.nodes:
            node.memberlist.packet_received(packet, ("10.6.6.6", 7946))
        cluster.run(60)
        assert cluster.has_converged(), f"after {incarnation}"
        assert {node.memberlist.members.by_name["n2"].meta for node in cluster.nodes} == {b""}
    cluster.nodes[2].memberlist.update_meta()
    cluster.nodes[2].host.crash()
    found = lambda: everybody_thinks(cluster, "n2", State.DEAD)  # noqa: E731
    assert cluster.clock.advance_until(found, 60), "its real failure is found as ever"


def test_duplicates_and_delays_change_nothing() -> None:
    conditions = Conditions(delay_least_s=0.01, delay_most_s=0.2, duplication=0.3)
    cluster = Cluster(30, SEED, conditions)
    cluster.join_all()
    assert cluster.clock.advance_until(cluster.has_converged, 60)
    cluster.nodes[1].delegate.meta = b"new"
    cluster.nodes[1].memberlist.update_meta()
    cluster.run(60)
    assert cluster.has_converged()
    told = [event for node in cluster.nodes for event in node.delegate.events if event == ("update", "n1")]
    assert len(told) == 30, "each is told once, n1 itself too"


def test_a_partition_heals() -> None:
    cluster = Cluster(20, SEED, settled=True)
    cluster.run(3)
    left, right = cluster.nodes[:8], cluster.nodes[8:]
    cluster.network.partition([node.address[0] for node in left])
    apart = lambda: cluster.has_converged(left) and cluster.has_converged(right)  # noqa: E731
    assert cluster.clock.advance_until(apart, 120)
    cluster.network.heal()
    # Within the time that the dead are still gossiped to, they hear of it and refute.
    assert cluster.clock.advance_until(cluster.has_converged, 60)


def test_a_member_that_was_cut_off_refutes_its_death() -> None:
    cluster = Cluster(10, SEED, settled=True)
    lonely = cluster.nodes[3]
    cluster.network.partition([lonely.address[0]])
    assert cluster.clock.advance_until(lambda: everybody_thinks(cluster, "n3", State.DEAD), 60)
    cluster.network.heal()
    assert cluster.clock.advance_until(cluster.has_converged, 60)
    assert lonely.memberlist.local.incarnation > 1


def test_a_member_restarts_at_another_address_after_it_left() -> None:
    cluster = Cluster(10, SEED, settled=True)
    old = cluster.nodes[4]
    old.memberlist.leave(5, lambda: None)
    cluster.run(3)
    old.host.crash()
    assert everybody_thinks(cluster, "n4", State.LEFT)
    cluster.nodes.remove(old)
    new = cluster.add("n4", ("10.0.9.9", 7946))
    results = new.join(cluster.nodes[0])
    assert cluster.clock.advance_until(cluster.has_converged, 20)
    assert results == [(1, [])]
    assert {node.memberlist.members.by_name["n4"].address for node in cluster.nodes} == {"10.0.9.9"}


def test_a_dead_member_restarts_at_another_address_after_the_reclaim_time() -> None:
    cluster = Cluster(10, SEED, settled=True, dead_node_reclaim_time_s=5.0, gossip_to_the_dead_time_s=1000.0)
    old = cluster.nodes[4]
    old.host.crash()
    assert cluster.clock.advance_until(lambda: everybody_thinks(cluster, "n4", State.DEAD), 60)
    cluster.run(6)
    cluster.nodes.remove(old)
    new = cluster.add("n4", ("10.0.9.9", 7946))
    new.join(cluster.nodes[0])
    assert cluster.clock.advance_until(cluster.has_converged, 30)


def test_a_member_restarts_at_its_old_address_at_once() -> None:
    cluster = Cluster(10, SEED, settled=True)
    old = cluster.nodes[4]
    address = old.address
    old.host.crash()
    cluster.nodes.remove(old)
    new = cluster.add("n4", address)
    new.delegate.meta = b"new"
    new.memberlist.update_meta()
    new.join(cluster.nodes[0])
    cluster.run(10)
    assert cluster.has_converged()
    assert {node.memberlist.members.by_name["n4"].meta for node in cluster.nodes} == {b"new"}


def test_clocks_that_differ_and_are_set_change_nothing() -> None:
    """Nothing that goes over the wire is a time, and no timer follows a wall clock."""
    size, hour_s = 30, 3600
    plain, skewed = Cluster(size, SEED, settled=True), Cluster(size, SEED, settled=True, skew=1000 * hour_s)
    seen = []
    for cluster in (plain, skewed):
        for node, by_s in zip(cluster.nodes, (hour_s, -hour_s) * size, strict=False):
            cluster.run(1)
            before_s = node.clock.wall_s()
            node.clock.jump(by_s)
            assert node.clock.wall_s() == before_s + by_s
        assert cluster.has_converged()
        victim = cluster.nodes[2]
        victim.host.crash()
        died_s = cluster.clock.seconds()
        assert cluster.clock.advance_until(lambda: everybody_thinks(cluster, victim.name, State.DEAD), 60)  # noqa: B023
        seen.append((cluster.clock.seconds() - died_s, [sorted(node.delegate.events) for node in cluster.nodes]))
    assert len({round(node.clock.wall_s()) for node in skewed.nodes}) > size // 2
    assert seen[0][0] == pytest.approx(seen[1][0], abs=3)
    assert seen[0][1] == seen[1][1]


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> tuple[int, int, list[list[str]]]:
        cluster = Cluster(12, seed, Conditions(loss=0.1, duplication=0.1))
        cluster.join_all()
        cluster.run(30)
        return (
            cluster.network.sent,
            cluster.clock.calls,
            [[m.name for m in n.memberlist.members] for n in cluster.nodes],
        )

    assert run(SEED) == run(SEED)
    assert run(SEED) != run(SEED + 1)


def test_settled_nodes_stay_so() -> None:
    """How fast this is: benchmarks/simulator.py."""
    cluster = Cluster(cases(1000), SEED, settled=True)
    cluster.run(5)
    assert cluster.has_converged()
    assert max(node.memberlist.health_score for node in cluster.nodes) == 0
