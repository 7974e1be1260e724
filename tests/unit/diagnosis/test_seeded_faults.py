"""Seeded faults of a simulated cluster: at least 95 of 100 are named by `why`, and no member that is fine is blamed."""

from collections.abc import Callable
from random import Random

import pytest

from consulpy.memberlist.member import JoinTarget
from consulpy.testing.simulation import Fault, Simulation, at
from tests.harness.effort import cases

CASES = cases(100)
WRONG_MOST = CASES * 5 // 100

#: What happens to `victim` as `asked` sees it, the codes that name it.
KINDS: dict[str, tuple[Callable[[str, str], list[Fault]], set[str]]] = {
    "nothing": (lambda _victim, _asked: [], {"healthy"}),
    "crash": (lambda victim, _asked: [at(5).crash(victim)], {"process-gone"}),
    "back": (lambda victim, _asked: [at(5).crash(victim), at(30).restart(victim)], {"healthy"}),
    "leave": (lambda victim, _asked: [at(5).leave(victim)], {"left"}),
    "away": (lambda victim, _asked: [at(5).partition({victim})], {"unreachable"}),
    "slow": (lambda victim, _asked: [at(5).slow(victim, by=0.8)], {"slow-node"}),
    "self": (lambda _victim, asked: [at(5).slow(asked, by=0.7)], {"self-slow"}),
    "clock": (lambda victim, _asked: [at(5).skew(victim, 4000)], {"healthy"}),
    "udp": (
        lambda victim, asked: [at(5).drop(victim, to=asked, udp=True), at(5).drop(asked, to=victim, udp=True)],
        {"udp-blocked"},
    ),
    # the second where nothing of theirs was heard yet
    "one way": (lambda victim, asked: [at(5).drop(asked, to=victim, udp=True)], {"udp-one-way", "udp-blocked"}),
    "tcp": (lambda victim, asked: [at(5).drop(victim, to=asked, udp=False)], {"tcp-blocked"}),
    "path": (lambda victim, asked: [at(5).drop(victim, to=asked), at(5).drop(asked, to=victim)], {"path-blocked"}),
    "healed": (lambda victim, _asked: [at(5).partition({victim}), at(40).heal()], {"healthy"}),
}


def test_95_in_100_seeded_faults_are_named_and_nobody_else_is_blamed() -> None:
    wrong, blamed = [], []
    for seed in range(CASES):
        rng = Random(seed)
        kind = rng.choice(sorted(KINDS))
        nodes = rng.choice((4, 5, 8, 12))
        sim = Simulation(1, nodes - 1, seed=seed, loss=rng.choice((0.0, 0.0, 0.01)), layers="gossip")
        victim, asked, bystander = rng.sample(sorted(sim.nodes), 3)
        make, causes = KINDS[kind]
        sim.schedule(*make(victim, asked))
        over_s = 110.0 if kind in ("back", "healed") else 12.0
        sim.run(over_s + rng.uniform(0, 60))
        verdict = sim.why(victim, asked=asked)["verdict"]
        if verdict["cause"] not in causes:
            wrong.append((seed, kind, verdict))
        if kind != "self":
            other = sim.why(bystander, asked=asked)["verdict"]
            if other["cause"] not in ("healthy", "unknown"):
                blamed.append((seed, kind, other))
    assert len(wrong) <= WRONG_MOST, wrong
    assert blamed == []


@pytest.mark.parametrize("over_s", [36, 60])
def test_a_leave_that_an_agent_missed_is_not_called_a_force_leave(over_s: float) -> None:
    """It was cut off, and took the member for failed. For half a minute others can tell that it left by itself."""
    sim = Simulation(1, 4, seed=4, layers="gossip", config={"gossip_lan": {"suspicion_mult": 1}})
    sim.schedule(at(1).partition({"n0"}), at(20).leave("n3"), at(over_s).heal())
    sim.schedule(at(over_s + 0.1).call(lambda it: it.nodes["n0"].serf.join([target(it)], True, lambda *_: None)))
    sim.run(over_s - 1)
    assert sim.members("n0")["n3"] == "failed"
    sim.run(40)
    assert sim.members("n0")["n3"] == "left"
    found = sim.why("n3", asked="n0")
    assert found["verdict"]["cause"] == ("left" if over_s < 50 else "unknown"), found
    assert [event["What"] for event in found["Events"]].count("left") == (over_s < 50)


def target(sim: Simulation) -> JoinTarget:
    return JoinTarget((sim.nodes["n1"].address, 8301))
