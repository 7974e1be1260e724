"""consulpy, real Consul and real Serf agents in one pool: each is content with the others."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Host, Program, ask, eventually, hosts, logged_warnings, members

pytestmark = pytest.mark.peers

OURS, CLIENT, SERF = "127.40.0.1", "127.40.0.2", "127.40.0.3"
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


def ours(host: Host, node: str, address: str, *flags: str) -> Program:
    """A consulpy agent with every address its own."""
    data = str(host.directory / node)
    command = ["consulpy", "agent", "-node", node, "-bind", address, "-client", address, "-data-dir", data]
    return host.start(node, *command, *flags)


def consul(host: Host, node: str, address: str, *flags: str) -> Program:
    """A real Consul agent."""
    data = str(host.directory / node)
    command = ["consul", "agent", "-node", node, "-bind", address, "-client", address, "-data-dir", data]
    return host.start(node, *command, *flags)


def serf(host: Host, node: str, address: str, *flags: str) -> Program:
    """A real Serf agent in a Consul LAN pool."""
    command = ["serf", "agent", "-node", node, "-bind", f"{address}:8301", "-rpc-addr", f"{address}:7373"]
    return host.start(node, *command, *flags)


def serf_members(host: Host, address: str) -> dict[str, str]:
    listed = json.loads(host.output("serf", "members", f"-rpc-addr={address}:7373", "-format=json"))
    return {member["name"]: member["status"] for member in listed["members"]}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_each_side_lists_all_and_sees_left_and_failed(host: Host, encrypted: bool) -> None:
    """A consulpy server, a real Consul client, a real Serf agent: join, leave, kill, seen from every side."""
    key = ["-encrypt", KEY] if encrypted else []
    server = ours(host, "ours", OURS, "-server", "-bootstrap-expect", "1", *key)
    eventually(lambda: ask(f"{OURS}:8500/v1/status/leader") == f"{OURS}:8300", "our server leads")
    client = consul(host, "theirs", CLIENT, "-retry-join", OURS, *key)
    third = serf(host, "serf", SERF, "-join", f"{OURS}:8301", *(["-encrypt", KEY] if encrypted else []))
    everybody = {"ours": "alive", "theirs": "alive", "serf": "alive"}

    eventually(lambda: members(f"{OURS}:8500") == everybody, "we list all as alive")
    eventually(lambda: members(f"{CLIENT}:8500") == everybody, "the real Consul lists all as alive")
    eventually(lambda: serf_members(host, SERF) == everybody, "the real Serf lists all as alive")
    eventually(
        lambda: [node["Node"] for node in ask(f"{CLIENT}:8500/v1/catalog/nodes")] == ["ours", "theirs"],
        "the real client reads our catalog through port 8300; a plain Serf agent is no node",
    )
    eventually(lambda: "Synced node info" in client.output, "the real client's anti-entropy is content")

    client.interrupt()
    eventually(lambda: members(f"{OURS}:8500")["theirs"] == "left", "we see the leave")
    eventually(lambda: serf_members(host, SERF)["theirs"] == "left", "so does Serf")
    third.kill()
    eventually(lambda: members(f"{OURS}:8500")["serf"] == "failed", "we see the failure")

    consul(host, "theirs", CLIENT, "-retry-join", OURS, *key)
    eventually(lambda: members(f"{OURS}:8500")["theirs"] == "alive", "who left may come back")
    server.kill()
    eventually(lambda: members(f"{CLIENT}:8500")["ours"] == "failed", "the real Consul sees that we were killed")
    ours(host, "ours", OURS, "-server", "-bootstrap-expect", "1", *key)
    eventually(lambda: members(f"{CLIENT}:8500")["ours"] == "alive", "and that we are back, from our snapshot file")


def test_our_leave_is_a_leave_for_real_peers(host: Host) -> None:
    """A consulpy client that is interrupted is `left` on the real server and gone from its catalog."""
    consul(host, "theirs", CLIENT, "-server", "-bootstrap-expect", "1")
    client = ours(host, "ours", OURS, "-retry-join", CLIENT)
    eventually(
        lambda: {node["Node"] for node in ask(f"{CLIENT}:8500/v1/catalog/nodes")} == {"theirs", "ours"},
        "the real server has us in its catalog",
    )
    eventually(
        lambda: {node["Node"] for node in ask(f"{OURS}:8500/v1/catalog/nodes")} == {"theirs", "ours"},
        "and we read it over its port 8300",
    )
    assert client.interrupt() == 0
    eventually(lambda: members(f"{CLIENT}:8500")["ours"] == "left", "left, not failed")
    assert {node["Node"] for node in ask(f"{CLIENT}:8500/v1/catalog/nodes")} == {"theirs"}


def test_events_pass_both_ways(host: Host) -> None:
    """A user event fired on either side is listed on the other, with payload."""
    ours(host, "ours", OURS, "-server", "-bootstrap-expect", "1")
    eventually(lambda: ask(f"{OURS}:8500/v1/status/leader") == f"{OURS}:8300", "our server leads")
    consul(host, "theirs", CLIENT, "-retry-join", OURS)
    eventually(lambda: members(f"{CLIENT}:8500") == {"ours": "alive", "theirs": "alive"}, "joined")
    eventually(lambda: ask(f"{CLIENT}:8500/v1/status/leader") == f"{OURS}:8300", "the real client found our server")

    for fired_on, heard_on in ((OURS, CLIENT), (CLIENT, OURS)):
        name = f"deploy-{fired_on.rpartition('.')[2]}"
        ask(f"{fired_on}:8500/v1/event/fire/{name}", "PUT", b"now")
        heard = eventually(
            lambda heard_on=heard_on, name=name: ask(f"{heard_on}:8500/v1/event/list?name={name}"), f"{name} is heard"
        )
        assert heard[0]["Payload"] == "bm93"


def test_the_real_command_line_works_on_our_port(host: Host) -> None:
    """`consul members`, `join`, `info` and `rtt` pointed at consulpy print what they print of real Consul."""
    ours(host, "ours", OURS, "-server", "-bootstrap-expect", "1")
    eventually(lambda: ask(f"{OURS}:8500/v1/status/leader") == f"{OURS}:8300", "our server leads")
    consul(host, "theirs", CLIENT)
    eventually(lambda: members(f"{CLIENT}:8500") == {"theirs": "alive"}, "the real client is up")
    at = f"-http-addr={OURS}:8500"

    assert host.output("consul", "join", at, CLIENT) == "Successfully joined cluster by contacting 1 nodes.\n"
    eventually(lambda: members(f"{OURS}:8500") == {"ours": "alive", "theirs": "alive"}, "joined")
    detailed = host.output("consul", "members", at, "-detailed")
    assert "role=consul" in detailed
    assert "bootstrap=1" in detailed
    assert "leader = true" in host.output("consul", "info", at)
    eventually(
        lambda: "Estimated ours <-> theirs rtt" in host.output("consul", "rtt", at, "ours", "theirs"),
        "coordinates arrive",
    )
    table = host.output("consul", "members", at)
    assert host.output("consulpy", "members", at) == table, "ours prints the same table"


def test_our_server_keeps_real_clients_quiet(host: Host) -> None:
    """A real client agent has no recurring warning in its log when its server is consulpy."""
    ours(host, "ours", OURS, "-server", "-bootstrap-expect", "1")
    eventually(lambda: ask(f"{OURS}:8500/v1/status/leader") == f"{OURS}:8300", "our server leads")
    client = consul(host, "theirs", CLIENT, "-retry-join", OURS)
    eventually(lambda: "Synced node info" in client.output, "synced")
    mark = len(client.output)
    time.sleep(5)
    assert logged_warnings(client.output[mark:]) == []
