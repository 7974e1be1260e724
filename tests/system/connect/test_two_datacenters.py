"""A primary and a secondary datacenter of both programs: entries and intentions are the primary's, and copied."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, hosts

pytestmark = [pytest.mark.peers]

PRIMARY, SECONDARY = "127.86.8.1", "127.86.8.2"
PAIRS = [("consulpy", "consul"), ("consul", "consulpy"), ("consulpy", "consulpy")]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: "-".join(pair))
def datacenters(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with hosts(tmp_path_factory.mktemp("dcs"), None) as (host,):
        for program, address, name in zip(request.param, (PRIMARY, SECONDARY), ("dc1", "dc2"), strict=True):
            config = {
                "datacenter": name,
                "primary_datacenter": "dc1",
                "node_name": name,
                "bind_addr": address,
                "client_addr": address,
                "data_dir": f"data-{name}",
                "server": True,
                "bootstrap_expect": 1,
                "retry_join_wan": [PRIMARY],
                "performance": {"raft_multiplier": 1},
                "connect": {"enabled": True},
            }
            (host.directory / f"{name}.json").write_text(json.dumps(config))
            host.start(name, program, "agent", "-config-file", f"{name}.json")
        eventually(lambda: ask(f"{SECONDARY}:8500/v1/catalog/nodes?dc=dc1"), "the primary through the secondary")
        eventually(lambda: ask(f"{SECONDARY}:8500/v1/connect/ca/roots")["Roots"], "a CA in the secondary")
        yield host


def send(address: str, method: str, path: str, body: Any = None) -> Any:
    return ask(f"{address}:8500{path}", method, json.dumps(body).encode() if body is not None else None)


def test_entries_are_written_in_the_primary_and_copied(datacenters: Host) -> None:
    proxies = {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http", "a": {"b": 1.5}}}
    splitter = {"Kind": "service-splitter", "Name": "a", "Splits": [{"Weight": 100, "Service": "b"}]}
    for entry in (proxies, splitter):
        eventually(lambda entry=entry: send(SECONDARY, "PUT", "/v1/config", entry) is True, "a write at the secondary")
    assert send(PRIMARY, "GET", "/v1/config/service-splitter/a")["Splits"] == splitter["Splits"]
    chain = eventually(lambda: send(SECONDARY, "GET", "/v1/discovery-chain/a")["Chain"], "a chain in the secondary")
    eventually(
        lambda: send(SECONDARY, "GET", "/v1/discovery-chain/a")["Chain"]["StartNode"] == "splitter:a.default", "copied"
    )
    assert chain["Datacenter"] == "dc2"
    assert send(SECONDARY, "GET", "/v1/config/proxy-defaults/global")["Config"] == proxies["Config"]
    for kind, name in (("service-splitter", "a"), ("proxy-defaults", "global")):
        send(SECONDARY, "DELETE", f"/v1/config/{kind}/{name}")
    eventually(lambda: send(SECONDARY, "GET", "/v1/config/service-splitter") == [], "the deletion is copied")


def test_intentions_are_written_in_the_primary_and_copied(datacenters: Host) -> None:
    body = {"SourceName": "a", "DestinationName": "b", "Action": "deny", "Meta": {"x": "y"}}
    intention = eventually(lambda: send(SECONDARY, "POST", "/v1/connect/intentions", body)["ID"], "a write")
    path = f"/v1/connect/intentions/{intention}"
    there = send(PRIMARY, "GET", path)
    here = eventually(lambda: send(SECONDARY, "GET", path), "a copy")
    same = ("SourceName", "DestinationName", "Action", "Meta", "Precedence", "CreatedAt", "Hash")
    assert [here[each] for each in same] == [there[each] for each in same]
    send(SECONDARY, "PUT", path, body | {"Action": "allow"})
    eventually(lambda: send(SECONDARY, "GET", path)["Action"] == "allow", "the change is copied")
    send(SECONDARY, "DELETE", path)
    eventually(lambda: send(SECONDARY, "GET", "/v1/connect/intentions") == [], "the deletion is copied")
