"""consulpy in dc1, a real Consul in dc2, their servers joined over the WAN: each reaches the other's catalog."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, hosts

pytestmark = [pytest.mark.peers]

BLOCK = "127.80.1"
SERVER, CLIENT, THEIRS = f"{BLOCK}.1", f"{BLOCK}.2", f"{BLOCK}.3"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Our server and client in dc1, `web` on the real server in dc2, `db` on our server."""
    with hosts(tmp_path_factory.mktemp("dcs"), None) as (running,):
        common = ["-hcl", "translate_wan_addrs = true", "-retry-interval", "1s"]
        ours = ["-datacenter", "dc1", "-bind", SERVER, "-client", SERVER, "-node", "ours", *common]
        running.start("ours", "consulpy", "agent", "-server", "-bootstrap-expect", "1", "-data-dir", "a", *ours)
        client = ["-datacenter", "dc1", "-bind", CLIENT, "-client", CLIENT, "-node", "client", *common]
        running.start("client", "consulpy", "agent", "-data-dir", "b", "-retry-join", SERVER, *client)
        theirs = ["-datacenter", "dc2", "-bind", THEIRS, "-client", THEIRS, "-node", "theirs", *common]
        running.start("theirs", "consul", "agent", "-dev", *theirs)
        for address in (SERVER, CLIENT, THEIRS):
            eventually(lambda address=address: ask(f"{address}:8500/v1/status/leader"), f"{address} has a leader")
        joined = running.run("consulpy", "join", f"-http-addr={SERVER}:8500", "-wan", THEIRS)
        assert joined.stdout == "Successfully joined cluster by contacting 1 nodes.\n"
        register(THEIRS, {"Name": "web", "Port": 80, "Address": "10.9.9.9", "TaggedAddresses": WAN})
        register(SERVER, {"Name": "db", "Port": 81})
        for address in (SERVER, CLIENT, THEIRS):
            eventually(lambda address=address: len(ask(f"{address}:8500/v1/catalog/datacenters")) == 2, "both known")
        eventually(lambda: ask(f"{THEIRS}:8500/v1/health/service/db?dc=dc1&passing"), "db is in the catalog")
        eventually(lambda: ask(f"{SERVER}:8500/v1/health/service/web?dc=dc2&passing"), "web is in the catalog")
        yield running


WAN = {tag: {"Address": "192.0.2.7", "Port": 8080} for tag in ("wan", "wan_ipv4")}


def register(address: str, service: dict[str, Any]) -> None:
    ask(f"{address}:8500/v1/agent/service/register", "PUT", json.dumps(service).encode())


def dig(host: Host, address: str, name: str, *more: str) -> list[str]:
    return host.output("dig", "+short", f"@{address}", "-p", "8600", name, *more).split()


@pytest.mark.parametrize("address", [SERVER, CLIENT])
def test_the_other_datacenter_is_read_through_ours(host: Host, address: str) -> None:
    (node,) = [each for each in ask(f"{address}:8500/v1/catalog/nodes?dc=dc2") if each["Node"] == "theirs"]
    assert node["Datacenter"] == "dc2"
    assert dig(host, address, "theirs.node.dc2.consul") == [THEIRS]
    with pytest.raises(ValueError, match=r"500.*No path to datacenter"):
        ask(f"{address}:8500/v1/catalog/nodes?dc=dc3")


def test_the_real_one_reads_ours(host: Host) -> None:
    (row,) = ask(f"{THEIRS}:8500/v1/health/service/db?dc=dc1&passing")
    assert (row["Node"]["Node"], row["Service"]["Port"]) == ("ours", 81)
    assert dig(host, THEIRS, "db.service.dc1.consul") == [SERVER]


def test_keys_are_written_both_ways(host: Host) -> None:
    assert ask(f"{CLIENT}:8500/v1/kv/ours?dc=dc2", "PUT", b"hello") is True
    assert ask(f"{THEIRS}:8500/v1/kv/ours?raw") == "hello"
    assert ask(f"{THEIRS}:8500/v1/kv/theirs?dc=dc1", "PUT", b"there") is True
    assert ask(f"{CLIENT}:8500/v1/kv/theirs?raw") == "there"


def test_a_query_without_instances_here_finds_those_there(host: Host) -> None:
    failover = {"NearestN": 1, "Datacenters": ["dc9", "dc2"]}
    query = {"Name": "q", "Service": {"Service": "web", "Failover": failover}}
    ask(f"{SERVER}:8500/v1/query", "POST", json.dumps(query).encode())
    for address in (SERVER, CLIENT):
        found = ask(f"{address}:8500/v1/query/q/execute")
        assert (found["Datacenter"], found["Failovers"], len(found["Nodes"])) == ("dc2", 1, 1)
    query = {"Name": "q", "Service": {"Service": "db", "Failover": {"Datacenters": ["dc1"]}}}
    ask(f"{THEIRS}:8500/v1/query", "POST", json.dumps(query).encode())
    found = ask(f"{THEIRS}:8500/v1/query/q/execute")
    assert (found["Datacenter"], found["Failovers"], len(found["Nodes"])) == ("dc1", 1, 1)


@pytest.mark.parametrize("address", [SERVER, CLIENT])
def test_addresses_of_another_datacenter_are_those_for_the_wan(host: Host, address: str) -> None:
    """`translate_wan_addrs`: `wan` of the tagged addresses, where there is one."""
    (row,) = ask(f"{address}:8500/v1/health/service/web?dc=dc2")
    assert (row["Service"]["Address"], row["Service"]["Port"]) == ("192.0.2.7", 8080)
    (row,) = ask(f"{address}:8500/v1/catalog/service/web?dc=dc2")
    assert (row["ServiceAddress"], row["ServicePort"]) == ("192.0.2.7", 8080)
    assert dig(host, address, "web.service.dc2.consul") == ["192.0.2.7"]
    assert dig(host, address, "web.service.dc2.consul", "SRV")[2] == "8080"
    (own,) = ask(f"{THEIRS}:8500/v1/health/service/web")
    assert (own["Service"]["Address"], own["Service"]["Port"]) == ("10.9.9.9", 80)
