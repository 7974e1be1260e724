"""`consulpy.testing.simulation`: schedules of faults, traces that are played again, conditions that are shrunk."""

import json
from pathlib import Path

import pytest

from consulpy.errors import ConfigError
from consulpy.testing.simulation import Fault, Simulation, SimulationFailed, TraceError, at
from tests.harness.traces import traces_in_processes

SCRIPT = """
import sys
from consulpy.testing.simulation import Simulation, at
sim = Simulation(1, 7, seed="s", layers="gossip", loss=0.1)
sim.schedule(at(3).crash("n2"), at(20).restart("n2"), at(30).partition({"n1", "n5"}), at(60).heal(), at(70).leave("n4"))
sim.run(80)
sim.why("n4", asked="n3")
sim.trace(sys.argv[1])
"""


def gossip(nodes: int = 8, seed: int = 5, **settings: object) -> Simulation:
    return Simulation(1, nodes - 1, seed=seed, layers="gossip", **settings)  # type: ignore[arg-type]


def test_a_settled_cluster_is_there_at_0() -> None:
    sim = gossip()
    assert sim.now == 0
    assert sim.members("n3") == dict.fromkeys((f"n{number}" for number in range(8)), "alive")


def test_nodes_that_are_alone_join() -> None:
    sim = gossip(joined=False)
    assert sim.members("n3") == {"n3": "alive"}
    sim.run(5)
    assert sim.members("n3") == dict.fromkeys((f"n{number}" for number in range(8)), "alive")


def test_a_crash_a_leave_and_a_restart_are_seen_by_the_others() -> None:
    sim = gossip()
    sim.schedule(at(1).crash("n2"), at(2).leave("n3"), at(60).restart("n2"), at(61).restart("n3"))
    sim.run(40)
    assert [sim.members("n0")[name] for name in ("n2", "n3", "n4")] == ["failed", "left", "alive"]
    with pytest.raises(ValueError, match="n2 does not run"):
        sim.members("n2")
    sim.run(40)
    assert set(sim.members("n2").values()) == {"alive"}
    assert sim.members("n0") == sim.members("n2")


def test_partitions_add_up_and_heal() -> None:
    sim = gossip()
    sim.schedule(at(1).partition({"n1", "n2"}), at(2).partition({"n2", "n3"}), at(100).heal())
    sim.run(99)
    sides = [{name for name, state in sim.members(asked).items() if state == "alive"} for asked in ("n1", "n2", "n3")]
    assert sides == [{"n1"}, {"n2"}, {"n3"}]
    sim.run(100)
    assert set(sim.members("n3").values()) == {"alive"}


@pytest.mark.parametrize(("udp", "cause"), [(True, "udp-blocked"), (False, "tcp-blocked"), (None, "path-blocked")])
def test_a_drop_is_one_way_and_of_its_kind(udp: bool | None, cause: str) -> None:
    sim = gossip()
    sim.schedule(at(1).drop("n1", to="n0", udp=udp))
    if udp is None:
        sim.schedule(at(1).drop("n0", to="n1"))
    sim.run(30)
    assert sim.why("n1", asked="n0")["verdict"]["cause"] == cause
    assert sim.why("n2", asked="n0")["verdict"]["cause"] == "healthy"


def test_a_slow_node_answers_late_until_it_is_healed() -> None:
    sim = gossip()
    sim.schedule(at(1).slow("n1", by=0.8), at(60).heal())
    sim.run(30)
    assert sim.why("n1", asked="n0")["verdict"]["cause"] == "slow-node"
    sim.run(150)
    assert sim.why("n1", asked="n0")["verdict"]["cause"] == "healthy"


def test_a_wall_clock_that_is_set_changes_nothing() -> None:
    plain, skewed = gossip(), gossip()
    skewed.schedule(at(1).skew("n1", 3600), at(2).skew("n2", -10_000))
    for sim in (plain, skewed):
        sim.schedule(at(3).crash("n4"))
        sim.run(60)
    faults = [line for line in skewed.lines if '"skew"' in line]
    assert len(faults) == 2
    assert [line for line in skewed.lines if line not in faults] == plain.lines
    assert skewed.node("n1").clock.wall_s() - plain.node("n1").clock.wall_s() == 3600


@pytest.mark.parametrize(
    "fault",
    [
        at(1).crash("n8"), at(1).partition({"n1", "web"}), at(1).drop("n1", to="n9"), at(1).restart(""),
    ],
)  # fmt: skip
def test_a_name_that_is_no_node_is_refused_at_once(fault: Fault) -> None:
    with pytest.raises(ValueError, match="there is no node"):
        gossip().schedule(fault)


def test_other_mistakes_are_refused() -> None:
    sim = gossip()
    sim.run(5)
    for wrong in (at(4).heal(), "crash n1"):
        with pytest.raises(ValueError, match=r"is over|makes faults"):
            sim.schedule(wrong)  # type: ignore[arg-type]
    for time in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="in seconds"):
            at(time).heal()
    with pytest.raises(ValueError, match="there is no node 'n99'"):
        sim.members("n99")
    with pytest.raises(ValueError, match="gossip alone"):
        sim["n1"].request("GET", "/v1/agent/self")
    with pytest.raises(ConfigError, match="sets node_name itself"):
        gossip(config={"node_name": "web"})
    with pytest.raises(ConfigError, match="gossip_lan"):
        gossip(config={"gossip_lan": {"probe_interval": "soon"}})
    with pytest.raises(ConfigError, match=r"^config: invalid config key datacentre"):
        gossip(config={"datacentre": "dc2"})
    with pytest.raises(ConfigError, match="mapping of Consul's keys"):
        gossip(config=["datacenter"])
    for share in (5, "5%"):
        with pytest.raises(ValueError, match="between 0 and 1"):
            gossip(loss=share)
    for delay in ("1ms", (2, 1), (0, "1")):
        with pytest.raises(ValueError, match="a delay is"):
            gossip(delay=delay)
    for wrong in (None, "condition"):
        with pytest.raises(ValueError, match="called"):
            sim.check(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="called"):
            at(9).call(wrong)  # type: ignore[arg-type]
    for path in ("v1/kv/a", ""):
        with pytest.raises(ValueError, match="path: expected"):
            sim["n1"].request("GET", path)


def test_gossip_settings_are_consuls_keys() -> None:
    quick = {"gossip_lan": {"probe_interval": "100ms", "probe_timeout": "50ms", "suspicion_mult": 2}}
    found = []
    for config in ({}, quick):
        sim = gossip(config=config)
        sim.schedule(at(1).crash("n4"))
        sim.run(40)
        times = [json.loads(line)["time"] for line in sim.lines if '"member failed"' in line]
        assert len(times) == 7
        found.append(max(times) - 1)
    assert found[1] < found[0] / 4


# -- traces


def test_the_trace_is_the_same_in_every_process(tmp_path: Path) -> None:
    traces = traces_in_processes(SCRIPT, tmp_path)
    assert traces[0] == traces[1]
    assert b"member failed" in traces[0]
    assert str(tmp_path).encode() not in traces[0]


def test_a_trace_is_played_again(tmp_path: Path) -> None:
    sim = gossip(loss=0.05)
    sim.trace(tmp_path / "trace")
    sim.schedule(at(3).crash("n2"), at(30).call(lambda sim: sim.why("n2", asked="n1")), at(40).restart("n2"))
    sim.run(20)
    assert sim.why("n2")["verdict"]["cause"] == "process-gone"
    sim.run(60)
    again = Simulation.replay(tmp_path / "trace")
    assert again.lines == sim.lines
    assert again.now == pytest.approx(sim.now, abs=1e-6)
    assert again.members("n2") == sim.members("n2")
    again.trace(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "trace").read_bytes()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: b"", "no trace"),
        (lambda data: b"\x7fELF\x00\xff\n", "no trace"),
        (lambda data: b'{"time": 1}\n', "no trace"),
        (lambda data: data[: len(data) // 2], "is cut"),
        (lambda data: data[:-1], "is cut"),
        (lambda data: data[: data.rstrip(b"\n").rfind(b"\n") + 1], "is cut"),
        (lambda data: data.replace(b'"n2"', b'"n3"', 1), "was changed"),
        (lambda data: data.replace(b'{"trace":1', b'{"trace":2'), "version 2"),
        (lambda data: data.replace(b'"consulpy":"', b'"consulpy":"9'), "by consulpy 9"),
    ],
)
def test_a_file_that_is_no_whole_trace_is_one_line(tmp_path: Path, change: object, text: str) -> None:
    sim = gossip(4)
    sim.schedule(at(1).crash("n2"))
    sim.run(20)
    path = tmp_path / "trace"
    sim.trace(path)
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(TraceError, match=text) as error:
        Simulation.replay(path)
    assert "\n" not in str(error.value)


def test_a_trace_that_happens_otherwise_now_is_one_line(tmp_path: Path) -> None:
    """As after a change of consulpy that kept its version; here the settings are not those of the lines."""
    from consulpy.testing.simulation.trace import text_of

    sim = gossip(4)
    sim.schedule(at(1).crash("n2"))
    sim.run(20)
    header = {**sim.settings, "seed": 6, "schedule": [at(1).crash("n2").to_json()]}
    (tmp_path / "trace").write_text(text_of(header, sim.lines, sim.now))
    with pytest.raises(TraceError, match="happens otherwise now"):
        Simulation.replay(tmp_path / "trace")
    with pytest.raises(TraceError, match="No such file"):
        Simulation.replay(tmp_path / "missing")


# -- conditions


def nobody_failed(sim: Simulation) -> None:
    for name, node in sim.nodes.items():
        if node.is_running:
            assert "failed" not in sim.members(name).values(), f"{name} takes somebody for failed"


def test_a_condition_that_fails_tells_seed_time_and_the_shortest_schedule() -> None:
    sim = gossip(seed=9)
    sim.schedule(at(1).skew("n1", 5), at(2).crash("n3"), at(3).skew("n2", 5), at(4).drop("n1", to="n2"), at(50).heal())
    sim.check(nobody_failed)
    with pytest.raises(SimulationFailed, match="takes somebody for failed") as error:
        sim.run(100)
    failed = error.value
    assert failed.seed == 9
    assert [str(fault) for fault in failed.schedule] == ["at(1).skew('n1', 5)", "at(2).crash('n3')"]
    assert 5 < failed.time < 40
    for part in ("seed 9", f"{failed.time:.6f} s", "at(2).crash('n3')", "nobody_failed"):
        assert part in str(failed)
    again = gossip(seed=9)
    again.schedule(*failed.schedule)
    again.check(nobody_failed)
    with pytest.raises(SimulationFailed) as second:
        again.run(100)
    assert second.value.time == failed.time


def test_a_condition_may_return_whether_it_holds_and_may_depend_on_calls() -> None:
    seen: list[float] = []
    sim = gossip()
    sim.schedule(at(2).call(lambda sim: seen.append(sim.now)), at(3).crash("n1"))
    sim.check(lambda sim: sim.members("n0")["n1"] == "alive" or not seen)
    with pytest.raises(SimulationFailed, match="it is False"):
        sim.run(60)
    assert seen[0] == 2


def test_a_condition_that_holds_is_looked_at_and_nothing_is_raised() -> None:
    looks: list[float] = []
    sim = gossip()
    sim.schedule(at(2).partition({"n1"}))
    sim.check(lambda sim: looks.append(sim.now))
    sim.run(30)
    assert len(looks) > 10
    assert looks == sorted(looks)
