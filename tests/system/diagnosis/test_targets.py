"""`doctor -target`: what a join to an address would find (CODES.md), with a real Consul agent or one of ours there.

Asked is consulpy's server `a`, alone in dc1; the other host `t` has what each test puts there.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.lan import Machine, cluster, lan
from tests.peers.programs import eventually

pytestmark = [pytest.mark.peers, pytest.mark.netns]

KEY, OTHER_KEY = "pUqJrVyVRj5jsiYEkM/tFQ==", "cg8StVXbQJ0gPvMd9o7yrg=="
PROGRAMS = ("consul", "consulpy")
Machines = dict[str, Machine]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with lan(tmp_path_factory.mktemp("lan"), "a", "t", "k") as made:
        cluster({"a": made["a"]}, {"a": "consulpy"})
        made["k"].start_agent("consulpy", "k", server=True, bootstrap_expect=1, encrypt=KEY)
        eventually(lambda: made["k"].members() == {"k": 1}, "the one with a key runs")
        yield made


@pytest.fixture(autouse=True)
def _empty(machines: Machines) -> Iterator[None]:
    yield
    machines["t"].filter()
    machines["t"].stop_agent()
    assert machines["a"].members() == {"a": 1}, "nobody has joined"


def start(machine: Machine, program: str, node: str = "t", **config: Any) -> None:
    machine.start_agent(program, node, **config)
    eventually(lambda: node in machine.members(), "the target runs")


def causes(machines: Machines, target: str, asked: str = "a") -> list[tuple[str, str]]:
    """Cause and text of what is not fine about a join."""
    found = machines[asked].doctor("-target", target)
    return [(each["cause"], each["text"]) for each in found if each["status"] != "pass"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_agent_that_can_be_joined_is_fine(machines: Machines, program: str) -> None:
    start(machines["t"], program)
    assert causes(machines, machines["t"].address) == []


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("config", "cause", "part"),
    [
        ({"datacenter": "dc2"}, "wrong-datacenter", "dc2"),
        ({"server": True, "bootstrap_expect": 1}, "two-bootstrapped", "lead alone"),
        ({"advertise_addr": "10.79.0.99"}, "wrong-advertise", "10.79.0.99"),
        ({"encrypt": KEY}, "encryption-mismatch", "encrypts"),
    ],
    ids=["datacenter", "bootstrapped", "advertise", "encrypted"],
)
def test_another_kind_of_cluster_is_named(
    machines: Machines, program: str, config: dict[str, Any], cause: str, part: str
) -> None:
    start(machines["t"], program, **config)
    ((found, text),) = causes(machines, machines["t"].address)
    assert found == cause
    assert part in text


@pytest.mark.parametrize("program", PROGRAMS)
def test_our_own_name_and_node_id_are_taken_there(machines: Machines, program: str) -> None:
    start(machines["t"], program, node="a")
    assert [cause for cause, _ in causes(machines, machines["t"].address)] == ["name-conflict"]
    machines["t"].stop_agent()
    own = machines["a"].api("/v1/agent/self")["Config"]["NodeID"]
    start(machines["t"], program, node_id=own)
    assert [cause for cause, _ in causes(machines, machines["t"].address)] == ["node-id-conflict"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_keys_that_do_not_fit_and_a_side_without(machines: Machines, program: str) -> None:
    """Asked is the agent with a key."""
    start(machines["t"], program, encrypt=OTHER_KEY)
    assert [cause for cause, _ in causes(machines, machines["t"].address, "k")] == ["key-mismatch"]
    machines["t"].stop_agent()
    start(machines["t"], program)
    assert [cause for cause, _ in causes(machines, machines["t"].address, "k")] == ["encryption-mismatch"]
    machines["t"].stop_agent()
    start(machines["t"], program, encrypt=KEY)
    assert causes(machines, machines["t"].address, "k") == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_other_ports_of_an_agent_are_named(machines: Machines, program: str) -> None:
    start(machines["t"], program, server=True, bootstrap_expect=1, datacenter="dc1", client_addr="0.0.0.0")
    at = machines["t"].address
    for port in (8300, 8500, 8600):
        ((cause, text),) = causes(machines, f"{at}:{port}")
        assert cause == "not-gossip", (port, text)
        assert "8301" in machines["a"].doctor("-target", f"{at}:{port}")[0]["fix"]
    assert [cause for cause, _ in causes(machines, f"{at}:8302")] == ["wan-port"]


def test_plain_serf_is_no_consul(machines: Machines) -> None:
    machine = machines["t"]
    machine.agent = machine.start("serf", "serf", "agent", "-node=s", f"-bind={machine.address}:8301")
    eventually(lambda: "s" in machine.output("serf", "members"), "Serf runs")
    assert [cause for cause, _ in causes(machines, machine.address)] == ["not-consul"]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("rules", "cause"),
    [
        (("input meta l4proto udp drop", "output meta l4proto udp drop"), "udp-blocked"),
        (("input tcp dport 8301 drop",), "tcp-blocked"),
        (("input tcp dport 8301 reject with tcp reset",), "tcp-blocked"),
        (("input drop",), "unreachable"),
    ],
    ids=["udp", "tcp-dropped", "tcp-refused", "all"],
)
def test_the_way_to_a_target_is_named(machines: Machines, program: str, rules: tuple[str, ...], cause: str) -> None:
    start(machines["t"], program)
    machines["t"].filter(*rules)
    assert [cause for cause, _ in causes(machines, machines["t"].address)] == [cause]


def test_where_nothing_is(machines: Machines) -> None:
    at = machines["t"].address
    for target, cause in (
        (at, "nothing-listens"),
        ("2001:db8::1", "no-route"),
        ("192.0.2.1", "no-route"),
        ("10.79.0.77", "unreachable"),
        ("no-such-host.invalid", "name-unresolved"),
    ):
        found = causes(machines, target)
        assert [each for each, _ in found] == [cause], (target, found)
