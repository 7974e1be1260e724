"""`doctor` about servers and leaders, joins that fail, ports that are taken and data directories (CODES.md)."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.lan import Machine, alive, cluster, lan
from tests.peers.programs import eventually

pytestmark = [pytest.mark.peers, pytest.mark.netns]

Machines = dict[str, Machine]
SERVERS = ("consul", "consulpy")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with lan(tmp_path, "s", "c") as made:
        yield made


def names(machine: Machine, status: str = "fail") -> list[str]:
    return sorted({each["cause"] for each in machine.doctor() if each["status"] == status})


def finding(machine: Machine, cause: str) -> dict[str, Any]:
    return next(each for each in machine.doctor() if each["cause"] == cause)


@pytest.mark.parametrize("program", SERVERS)
def test_a_servers_rpc_port_that_does_not_open_is_named(machines: Machines, program: str) -> None:
    cluster(machines, {"s": program, "c": "consulpy"})
    eventually(lambda: names(machines["c"]) == [], "all is well")
    for rule, part in (
        ("input tcp dport 8300 drop", "open"),
        ("input tcp dport 8300 reject with tcp reset", "refuse"),
    ):
        machines["s"].filter(rule)
        eventually(lambda: names(machines["c"]) == ["rpc-unreachable"], rule)
        found = finding(machines["c"], "rpc-unreachable")
        assert f"{machines['s'].address}:8300" in found["text"]
        assert part in found["text"]
        machines["s"].filter()
    eventually(lambda: names(machines["c"]) == [], "all is well again")


@pytest.mark.parametrize("program", SERVERS)
def test_a_client_without_servers(machines: Machines, program: str) -> None:
    machines["s"].start_agent(program, "s")
    machines["c"].start_agent("consulpy", "c", retry_join=[machines["s"].address], retry_interval="1s")
    eventually(lambda: alive(machines["c"]) == {"s", "c"}, "two clients are a cluster")
    assert names(machines["c"]) == ["no-servers"]


@pytest.mark.parametrize("program", SERVERS)
def test_servers_without_a_leader(machines: Machines, program: str) -> None:
    machines["s"].start_agent(program, "s", server=True, bootstrap_expect=3)
    machines["c"].start_agent("consulpy", "c", retry_join=[machines["s"].address], retry_interval="1s")
    eventually(lambda: alive(machines["c"]) == {"s", "c"}, "they are a cluster")
    eventually(lambda: names(machines["c"]) == ["no-leader"], "there is no leader")
    assert "3" in finding(machines["c"], "no-leader")["text"]


def test_joins_that_fail_say_why(machines: Machines) -> None:
    machines["c"].start_agent("consulpy", "c", retry_join=[machines["s"].address, "no-such-host.invalid"])
    assert machines["c"].agent is not None
    eventually(lambda: "join-failing" in names(machines["c"]), "the join fails")
    assert set(names(machines["c"])) <= {"join-failing", "nothing-listens", "name-unresolved", "no-servers"}
    assert "nothing-listens" in machines["c"].agent.output


def test_nobody_listens_and_a_port_is_held_by_another_program(machines: Machines) -> None:
    machines["s"].start("holder", "python3", "-m", "http.server", "8500", "--bind", "10.79.0.1")
    eventually(lambda: machines["s"].run("ss", "-ltn").stdout.count(":8500"), "it listens")
    found = {each["cause"]: each for each in machines["s"].doctor()}
    assert found["agent-down"]["status"] == "fail"
    assert "8500" in found["port-taken"]["text"]
    assert {cause for cause, each in found.items() if each["status"] == "fail"} <= {"agent-down", "port-taken"}


def test_a_host_with_public_addresses_alone(machines: Machines) -> None:
    subprocess.run(["ip", "-n", machines["s"].namespace, "addr", "flush", "dev", "eth0"], check=True)
    subprocess.run(["ip", "-n", machines["s"].namespace, "addr", "add", "192.0.2.7/24", "dev", "eth0"], check=True)
    found = {each["cause"] for each in machines["s"].doctor()}
    assert {"agent-down", "no-private-address"} <= found
    assert "port-taken" not in found


def test_a_stuck_agent_is_frozen_and_a_running_one_is_not(machines: Machines) -> None:
    cluster({"s": machines["s"]}, {"s": "consulpy"})
    machines["s"].signal(signal.SIGSTOP)
    assert names(machines["s"]) == ["agent-frozen"]
    machines["s"].signal(signal.SIGCONT)
    eventually(lambda: names(machines["s"]) == [], "it answers again")


def test_a_full_disk_is_named(machines: Machines) -> None:
    """A file system of 2 MiB, which is filled up."""
    data = machines["s"].directory / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(data)], check=True)
    try:
        cluster({"s": machines["s"]}, {"s": "consulpy"})
        with pytest.raises(OSError, match="No space"):
            (data / "filler").write_bytes(bytes(8 << 20))
        assert "disk-full" in names(machines["s"])
        (data / "filler").unlink()
        eventually(lambda: "disk-full" not in names(machines["s"]), "there is room again")
    finally:
        machines["s"].close()
        subprocess.run(["umount", "-l", str(data)], check=True)
