"""The "Consul Cluster" page, literally, on two hosts: two network namespaces with the page's addresses."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Host, eventually, hosts

pytestmark = pytest.mark.netns

ONE, TWO = "172.20.20.10", "172.20.20.11"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def two_hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Two namespaces joined by a cable, with the addresses of the page; gone afterwards."""
    names = [f"consulpy-{os.getpid()}-{number}" for number in (1, 2)]
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "eth0", "netns", names[0], "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for name, address in zip(names, (ONE, TWO), strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        with hosts(tmp_path, *names) as (one, two):
            yield one, two
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


#: The two ways to start the same agent: as a Twisted user and as a Consul user would.
STARTS = {
    "twistd": ["twistd", "-n", "consulpy", "--server", "--bootstrap-expect", "1"],
    "consulpy agent": ["consulpy", "agent", "-server", "-bootstrap-expect=1"],
}


def start(host: Host, way: str, node: str, bind: str, *more: str, server: bool = False) -> object:
    command = STARTS[way] if server else [word for word in STARTS[way] if "server" not in word and "expect" not in word]
    if not server and way == "twistd":
        command = command[:3]
    data = str(host.directory / "data")
    return host.start(node, *command, "--data-dir", data, "--node", node, "--bind", bind, *more)


def lines(host: Host, *command: str) -> list[list[str]]:
    """The table that a command prints, as words, without its heading."""
    return [line.split() for line in host.output(*command).splitlines()[1:]]


def statuses(host: Host) -> dict[str, str]:
    return {row[0]: row[2] for row in lines(host, "consulpy", "members")}


def dig(host: Host, name: str, kind: str = "A") -> list[str]:
    return host.output("dig", "+short", "+tries=1", "+time=2", "@127.0.0.1", "-p", "8600", name, kind).split()


def status_line(host: Host, name: str) -> str:
    answer = host.output("dig", "+tries=1", "+time=2", "@127.0.0.1", "-p", "8600", name)
    return next(line for line in answer.splitlines() if "status:" in line)


@pytest.mark.parametrize("way", STARTS)
@pytest.mark.long
def test_the_consul_cluster_page(two_hosts: tuple[Host, Host], way: str) -> None:
    """Every line of the walkthrough in README.md; `consulpy agent` passes it in docs/test_readme.py too."""
    one, two = two_hosts
    start(one, way, "agent-one", ONE, server=True)
    second = start(two, way, "agent-two", TWO)

    eventually(lambda: statuses(one) == {"agent-one": "alive"}, "host 1 lists itself")
    eventually(lambda: statuses(two) == {"agent-two": "alive"}, "host 2 lists itself")
    node_id = (two.directory / "data" / "node-id").read_text()

    joined = eventually(lambda: one.output("consulpy", "join", TWO), "agent-one joins agent-two")
    assert joined == "Successfully joined cluster by contacting 1 nodes.\n"
    for host in (one, two):
        eventually(lambda host=host: statuses(host) == {"agent-one": "alive", "agent-two": "alive"}, "both list both")

    detailed = {row[0]: row for row in lines(one, "consulpy", "members", "-detailed")}
    assert detailed["agent-one"][1:3] == [f"{ONE}:8301", "alive"]
    tags = dict(tag.split("=", 1) for tag in detailed["agent-one"][3].split(","))
    assert tags["role"] == "consul"
    assert tags["bootstrap"] == "1"
    assert (tags["dc"], tags["port"], tags["vsn"], tags["vsn_min"], tags["vsn_max"]) == ("dc1", "8300", "2", "2", "3")
    assert "role=node" in detailed["agent-two"][3]

    eventually(lambda: dig(one, "agent-two.node.consul") == [TWO], "DNS on host 1 finds agent-two")
    assert dig(one, "agent-two.node.dc1.consul") == [TWO]
    assert dig(one, "agent-two.dc1.node.consul") == [TWO], "the page's own spelling"
    assert "NXDOMAIN" in status_line(one, "agent-two.node.dc2.consul")
    eventually(lambda: dig(two, "agent-one.node.consul") == [ONE], "a client agent's DNS asks its server")

    def catalog(host: Host) -> dict[str, str]:
        nodes = json.loads(host.output("curl", "-s", "localhost:8500/v1/catalog/nodes"))
        return {node["Node"]: node["Address"] for node in nodes}

    assert catalog(one) == {"agent-one": ONE, "agent-two": TWO}
    assert catalog(two) == {"agent-one": ONE, "agent-two": TWO}
    listed = json.loads(one.output("curl", "-s", "localhost:8500/v1/agent/members"))
    assert {member["Name"] for member in listed} == {"agent-one", "agent-two"}

    second.interrupt()
    eventually(lambda: statuses(one)["agent-two"] == "left", "Ctrl-C is a graceful leave")
    eventually(lambda: "agent-two" not in catalog(one), "who left is not in the catalog")

    second = start(two, way, "agent-two", TWO, "--join", ONE)
    eventually(lambda: statuses(one)["agent-two"] == "alive", "--join joins as part of starting")
    assert (two.directory / "data" / "node-id").read_text() == node_id, "the node id is kept"
    eventually(lambda: dig(one, "agent-two.node.consul") == [TWO], "and it is in the catalog again")

    second.kill()
    eventually(lambda: statuses(one)["agent-two"] == "failed", "kill -9 is a failure")
    second = start(two, way, "agent-two", TWO)
    eventually(lambda: statuses(one)["agent-two"] == "alive", "it finds its way back by itself")


def test_a_taken_name_is_refused(two_hosts: tuple[Host, Host]) -> None:
    """Another node id under a name that is taken: `join` says so, naming both addresses and ids."""
    one, two = two_hosts
    start(one, "consulpy agent", "agent-one", ONE, server=True)
    start(two, "consulpy agent", "agent-one", TWO)
    eventually(lambda: statuses(two) == {"agent-one": "alive"}, "host 2 is up")
    eventually(lambda: statuses(one) == {"agent-one": "alive"}, "host 1 is up")
    ids = [(host.directory / "data" / "node-id").read_text().strip() for host in (one, two)]

    refused = two.run("consulpy", "join", ONE, check=False)

    assert refused.returncode == 1
    said = refused.stdout + refused.stderr
    for word in (ONE, TWO, *ids):
        assert word in said


def test_twistd_daemonises(two_hosts: tuple[Host, Host]) -> None:
    """Without -n twistd leaves a pid file and a log, as its users expect, and SIGTERM ends it."""
    one, _ = two_hosts
    command = ["twistd", "consulpy", "--server", "--bootstrap-expect", "1", "--bind", ONE, "--data-dir", "data"]
    one.run(*command, "--node", "agent-one")
    eventually(lambda: statuses(one) == {"agent-one": "alive"}, "the daemon answers")
    pid_file = one.directory / "twistd.pid"
    os.kill(int(pid_file.read_text()), 15)
    eventually(lambda: not pid_file.exists(), "the daemon ends and takes its pid file away")
    assert (one.directory / "twistd.log").stat().st_size > 0
