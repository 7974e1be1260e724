"""Whole agents in `consulpy.testing.simulation`: catalog, quorum, checks, HTTP and DNS on virtual time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consulpy.testing.simulation import Simulation, SimulationFailed, at
from tests.harness.traces import traces_in_processes

SCRIPT = """
import json, sys
from consulpy.testing.simulation import Simulation, at
sim = Simulation(3, 2, seed=11, loss=0.05)
sim["n3"].request("PUT", "/v1/agent/service/register", json.dumps({"Name": "web", "Port": 80}))
sim.schedule(at(3).crash("n0"), at(10).partition({"n4"}), at(20).restart("n0"), at(40).heal(), at(45).leave("n3"))
sim.run(30)
sim["n4"].dns("web.service.consul", "SRV")
sim.run(30)
sim.trace(sys.argv[1])
"""


def register(sim: Simulation, node: str, **service: object) -> None:
    assert sim[node].request("PUT", "/v1/agent/service/register", json.dumps(service)).status == 200


def web(sim: Simulation, asked: str) -> list[str]:
    found = sim[asked].request("GET", "/v1/health/service/web?passing").json()
    return [each["Node"]["Node"] for each in found]


def leader(sim: Simulation, asked: str) -> str:
    address = str(sim[asked].request("GET", "/v1/status/leader").json())
    return next((name for name, node in sim.nodes.items() if address == f"{node.address}:8300"), "")


def test_a_settled_cluster_has_a_leader_a_catalog_and_answers_http_and_dns() -> None:
    sim = Simulation(1, 2, seed=1)
    assert sim.now == 0
    nodes = sim["n2"].request("GET", "/v1/catalog/nodes").json()
    assert [node["Node"] for node in nodes] == ["n0", "n1", "n2"]
    register(sim, "n1", Name="web", Port=80, Tags=["v1"])
    sim.run(1)
    assert web(sim, "n2") == ["n1"]
    assert sim["n2"].dns("web.service.consul", "SRV") == ["1 1 80 n1.node.dc1.consul."]
    assert sim["n0"].dns("v1.web.service.consul") == ["10.0.0.2"]
    assert sim["n0"].dns("nobody.node.consul") == []
    assert sim.now < 2


def test_a_key_is_written_through_a_client_and_read_everywhere() -> None:
    sim = Simulation(3, 1, seed=2)
    assert sim["n3"].request("PUT", "/v1/kv/a", b"one").json() is True
    assert [sim[name].request("GET", "/v1/kv/a?raw").body for name in sim.nodes] == [b"one"] * 4
    assert sim["n3"].request("PUT", "/v1/agent/service/register", {"Name": "web"}).status == 200
    assert sim["n3"].request("GET", "/v1/agent/service/web").json()["Service"] == "web"


def test_the_others_elect_a_leader_when_it_crashes_and_it_comes_back_with_its_log() -> None:
    sim = Simulation(3, 0, seed=3)
    sim["n0"].request("PUT", "/v1/kv/a", b"one")
    first = leader(sim, "n0")
    others = [name for name in sim.nodes if name != first]
    sim.schedule(at(5).crash(first), at(40).restart(first))
    sim.run(30)
    second = leader(sim, others[0])
    assert second in others
    assert sim[others[0]].request("PUT", "/v1/kv/a", b"two").json() is True
    sim.run(40)
    assert leader(sim, first) == second
    assert sim[first].request("GET", "/v1/kv/a?raw").body == b"two"
    changes = [json.loads(line) for line in sim.lines if '"leader"' in line]
    assert {change["leader"] for change in changes} >= {"", second}


def test_a_crashed_client_is_critical_and_has_its_services_again_after_a_restart() -> None:
    sim = Simulation(1, 2, seed=4)
    register(sim, "n1", Name="web", Port=80)
    sim.schedule(at(5).crash("n1"), at(60).restart("n1"))
    sim.run(4)
    assert web(sim, "n2") == ["n1"]
    sim.run(40)
    assert web(sim, "n2") == []
    assert sim.why("n1", asked="n2")["verdict"]["cause"] == "process-gone"
    sim.run(60)
    assert web(sim, "n2") == ["n1"]


def test_a_node_that_leaves_is_out_of_the_catalog() -> None:
    sim = Simulation(1, 2, seed=5)
    sim.schedule(at(1).leave("n1"))
    sim.run(30)
    assert sim.members("n0")["n1"] == "left"
    assert [node["Node"] for node in sim["n2"].request("GET", "/v1/catalog/nodes").json()] == ["n0", "n2"]
    assert not sim["n1"].is_running


def test_checks_run_out_in_virtual_time() -> None:
    sim = Simulation(1, 1, seed=6)
    register(sim, "n1", Name="web", Port=80, Check={"TTL": "10m", "Status": "passing"})
    sim.run(590)
    assert web(sim, "n0") == ["n1"]
    sim.run(20)
    assert web(sim, "n0") == []


def test_a_check_by_tcp_follows_the_simulated_network() -> None:
    sim = Simulation(1, 2, seed=7)
    check = {"TCP": f"{sim['n2'].address}:8500", "Interval": "5s", "Timeout": "2s"}
    register(sim, "n1", Name="web", Port=80, Check=check)
    sim.run(15)
    assert web(sim, "n0") == ["n1"]
    sim.schedule(at(20).drop("n1", to="n2", udp=False))
    sim.run(30)
    assert web(sim, "n0") == []


def test_a_partition_of_a_quorum_has_one_leader_at_most_and_a_minority_accepts_no_write() -> None:
    sim = Simulation(3, 0, seed=8)
    old = leader(sim, "n0")
    sim.schedule(at(1).partition({old}), at(60).heal())
    sim.check(lambda sim: sum(node.is_running and node.agent.server.is_leader for node in sim.nodes.values()) <= 2)
    sim.run(40)
    others = [name for name in sim.nodes if name != old]
    new = leader(sim, others[0])
    assert new in others
    assert sim[others[0]].request("PUT", "/v1/kv/a", b"x").status == 200
    assert sim[old].request("PUT", "/v1/kv/a", b"y").status == 500
    sim.run(60)
    assert leader(sim, old) == leader(sim, others[0])
    assert sim[old].request("GET", "/v1/kv/a?raw").body == b"x"


def test_nodes_that_are_alone_join_and_elect() -> None:
    sim = Simulation(3, 2, seed=9, joined=False)
    assert sim.members("n4") == {"n4": "alive"}
    sim.run(40)
    assert set(sim.members("n4").values()) == {"alive"}
    assert len(sim["n4"].request("GET", "/v1/catalog/nodes").json()) == 5


@pytest.mark.long
def test_the_trace_is_the_same_in_every_process_and_is_played_again(tmp_path: Path) -> None:
    traces = traces_in_processes(SCRIPT, tmp_path)
    assert traces[0] == traces[1]
    for part in (b'"event":"leader"', b'"member failed"', b'"action":"dns"', b'"member left"'):
        assert part in traces[0]
    again = Simulation.replay(tmp_path / "0")
    assert again.members("n0") == {"n0": "alive", "n1": "alive", "n2": "alive", "n3": "left", "n4": "alive"}


def test_a_condition_on_the_catalog_is_reduced_to_the_fault_that_breaks_it() -> None:
    sim = Simulation(1, 2, seed=10)
    register(sim, "n1", Name="web", Port=80)
    sim.schedule(at(2).skew("n0", 60), at(3).crash("n1"), at(4).skew("n2", 60))

    def is_there(sim: Simulation) -> bool:
        store = sim.nodes["n0"].agent.server.store  # type: ignore[attr-defined]
        checks = {check.check_id: check for check in store.catalog.node_checks(None, "n1")[1]}
        return "serfHealth" not in checks or checks["serfHealth"].status == "passing"

    sim.check(is_there)
    with pytest.raises(SimulationFailed) as error:
        sim.run(60)
    assert [fault.kind for fault in error.value.schedule] == ["skew", "crash"]


def test_wall_clocks_that_are_set_move_no_timer() -> None:
    plain, skewed = Simulation(1, 2, seed=12), Simulation(1, 2, seed=12)
    skewed.schedule(at(1).skew("n0", 86_400), at(2).skew("n2", -86_400))
    for sim in (plain, skewed):
        sim.schedule(at(3).crash("n1"))
        sim.run(60)
    assert [line for line in skewed.lines if '"skew"' not in line] == plain.lines


def test_simulated_agents_open_no_socket_and_start_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import threading

    def refuse(*_arguments: object, **_named: object) -> None:
        raise AssertionError("a simulation needs the outside")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    sim = Simulation(3, 1, seed=13)
    register(sim, "n3", Name="web", Port=80)
    sim.schedule(at(2).crash("n0"), at(5).restart("n0"))
    sim.run(30)
    assert web(sim, "n1") == ["n3"]


def test_a_simulation_leaves_no_file_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    script = (
        "import os; os.access = lambda *_: False\n"  # no memory file system: the logs go where TMPDIR says
        "from pathlib import Path\n"
        "from consulpy.testing.simulation import Simulation\n"
        f"Simulation(1, 1, seed=1, layers='gossip'); assert not list(Path({str(tmp_path)!r}).iterdir())\n"
        f"sim = Simulation(1, 1, seed=1); assert list(Path({str(tmp_path)!r}).iterdir())\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=120)
    assert list(tmp_path.iterdir()) == []
