"""The whole state goes from consulpy to a real Consul and back by snapshot, by either command line."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, hosts

pytestmark = pytest.mark.peers

OURS, THEIRS = "127.52.3.1", "127.52.3.2"
#: What is compared: nodes of agents are not, their leaders bring them in line at once.
KEPT = (
    "/v1/config/service-defaults",
    "/v1/config/proxy-defaults",
    "/v1/config/service-resolver",
    "/v1/config/service-splitter",
    "/v1/config/ingress-gateway",
    "/v1/connect/intentions",
    "/v1/query",
    "/v1/health/service/redis",
    "/v1/operator/autopilot/configuration",
    "/v1/kv/?recurse",
    "/v1/session/list",
)
WRITES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PUT", "/v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http", "Meta": {"a": "b"}}),
    ("PUT", "/v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"a": {"b": [1, "x", True]}}}),
    (
        "PUT",
        "/v1/config",
        {
            "Kind": "service-resolver",
            "Name": "web",
            "DefaultSubset": "v1",
            "ConnectTimeout": "15s",
            "Subsets": {"v1": {"Filter": "Service.Meta.version == 1"}},
        },
    ),
    ("PUT", "/v1/config", {"Kind": "service-splitter", "Name": "web", "Splits": [{"Weight": 100, "Service": "web"}]}),
    (
        "PUT",
        "/v1/config",
        {
            "Kind": "ingress-gateway",
            "Name": "gate",
            "Listeners": [{"Port": 8080, "Protocol": "http", "Services": [{"Name": "web", "Hosts": ["web.example"]}]}],
        },
    ),
    ("POST", "/v1/connect/intentions", {"SourceName": "a", "DestinationName": "*", "Action": "deny"}),
    ("POST", "/v1/query", {"Name": "q", "Service": {"Service": "redis", "Tags": ["x", "!y"]}, "DNS": {"TTL": "5s"}}),
    (
        "POST",
        "/v1/query",
        {
            "Name": "geo-",
            "Template": {"Type": "name_prefix_match", "Regexp": "^geo-(.*)$"},
            "Service": {"Service": "${match(1)}"},
        },
    ),
    (
        "PUT",
        "/v1/catalog/register",
        {
            "Node": "ext",
            "Address": "10.1.2.3",
            "NodeMeta": {"os": "bsd"},
            "Service": {"Service": "redis", "Tags": ["x"], "Port": 6379, "Meta": {"v": "1"}},
            "Check": {"CheckID": "alive", "Name": "alive", "Status": "warning", "ServiceID": "redis"},
        },
    ),
    ("PUT", "/v1/operator/autopilot/configuration", {"CleanupDeadServers": False, "LastContactThreshold": "300ms"}),
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


def kept(address: str) -> dict[str, Any]:
    return {path: ask(f"{address}:8500{path}") for path in KEPT}


def exported(host: Host, address: str) -> str:
    """What the official command line exports."""
    return host.output("consul", "kv", "export", f"-http-addr={address}:8500", "")


def is_ready(address: str) -> Any:
    return ask(f"{address}:8500/v1/status/leader") and ask(f"{address}:8500/v1/catalog/nodes")


@pytest.mark.parametrize(("source", "target"), [(OURS, THEIRS), (THEIRS, OURS)], ids=["to-real", "from-real"])
def test_everything_arrives(host: Host, source: str, target: str) -> None:
    for name, program, address in (("ours", "consulpy", OURS), ("theirs", "consul", THEIRS)):
        flags = ["-server", "-bootstrap-expect", "1", "-data-dir", str(host.directory / name)]
        host.start(name, program, "agent", "-node", name, "-bind", address, "-client", address, *flags)
    for address in (OURS, THEIRS):
        eventually(partial(is_ready, address), f"the server at {address} leads")
    for method, path, body in WRITES:
        ask(f"{source}:8500{path}", method, json.dumps(body).encode())
    session = ask(f"{source}:8500/v1/session/create", "PUT", b'{"Name": "s", "TTL": "600s"}')["ID"]
    for path in ("a/b?flags=7", f"lock?acquire={session}", "gone"):
        assert ask(f"{source}:8500/v1/kv/{path}", "PUT", b"hello") is True
    ask(f"{source}:8500/v1/kv/gone", "DELETE")
    wanted = kept(source)
    assert all(wanted.values())
    keys = exported(host, source)
    assert [entry["key"] for entry in json.loads(keys)] == ["a/b", "lock"]
    file = str(host.directory / "backup.snap")
    host.output("consul", "snapshot", "save", f"-http-addr={source}:8500", file)
    assert (
        host.output("consul", "snapshot", "inspect", file).split()
        == host.output("consulpy", "snapshot", "inspect", file).split()
    )
    host.output("consulpy", "snapshot", "restore", f"-http-addr={target}:8500", file)
    assert kept(target) == wanted
    assert exported(host, target) == keys
    explained = ask(f"{target}:8500/v1/query/geo-redis/explain")
    assert explained["Query"]["Service"]["Service"] == "redis"


def test_what_a_snapshot_says_of_the_server_s_own_services_is_repaired_at_once(host: Host) -> None:
    """A service that came after the snapshot is not missing until the next full sync, which may be two minutes away."""
    flags = ["-server", "-bootstrap-expect", "1", "-data-dir", str(host.directory / "ours")]
    host.start("ours", "consulpy", "agent", "-node", "ours", "-bind", OURS, "-client", OURS, *flags)
    eventually(partial(is_ready, OURS), "the server leads")

    def own() -> set[str]:
        return set(ask(f"{OURS}:8500/v1/catalog/node/ours")["Services"]) - {"consul"}

    ask(f"{OURS}:8500/v1/agent/service/register", "PUT", b'{"Name": "before"}')
    eventually(lambda: own() == {"before"}, "the catalog has the first service")
    file = str(host.directory / "backup.snap")
    host.output("consul", "snapshot", "save", f"-http-addr={OURS}:8500", file)
    ask(f"{OURS}:8500/v1/agent/service/deregister/before", "PUT")
    ask(f"{OURS}:8500/v1/agent/service/register", "PUT", b'{"Name": "after"}')
    eventually(lambda: own() == {"after"}, "the catalog has the second service")

    host.output("consul", "snapshot", "restore", f"-http-addr={OURS}:8500", file)

    eventually(lambda: own() == {"after"}, "the catalog has what is registered now", 30)
