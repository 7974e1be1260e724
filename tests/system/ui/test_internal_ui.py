"""/v1/internal/ui/*: byte for byte what a real agent answers to the same registrations."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.pair import Agent, agents

pytestmark = pytest.mark.peers

PATHS = [
    "nodes",
    "nodes?pretty",
    "nodes?stale",
    "nodes?consistent",
    "nodes?dc=dc1",
    "nodes?dc=nowhere",
    'nodes?filter=Node=="db"',
    'nodes?filter="b"+in+Meta',
    "nodes?filter=nonsense",
    "nodes?index=1&wait=1s",
    "nodes?near=db",
    "nodes?node-meta=rack:1",
    "nodes?ns=x",
    "nodes/",
    "node/n1",
    "node/db",
    "node/db?pretty",
    "node/DB",
    "node/nobody",
    "node/",
    "node",
    "node/db/",
    "node/<b>%22%0a",
    "node/db?dc=nowhere",
    "node/db?index=x",
    "services",
    "services?pretty",
    "services?stale",
    "services?dc=nowhere",
    'services?filter=Service.Service=="web"',
    "services?filter=nonsense",
    "services?index=1",
    "services?ns=x",
    "services/",
    "gateway-services-nodes/tg",
    "gateway-services-nodes/ig",
    "gateway-services-nodes/ig?pretty",
    "gateway-services-nodes/nobody",
    "gateway-services-nodes/",
    "gateway-services-nodes",
    "gateway-services-nodes/ig?dc=nowhere",
    "gateway-intentions/ig",
    "service-topology/web",
    "metrics-proxy/x",
    "",
]


#: Characters that encoders of JSON write in different ways.
ODD = "".join(map(chr, range(0x20))) + '\x7f\\b\\\\f<b>&"/\u2028\u2029\u200b\ufeff ü 😀'
DEFINITION = {
    "HTTP": "http://x", "TLSSkipVerify": True, "Header": {"B": ["1", "2"], "A": [""]}, "Method": "POST", "Body": "b",
    "TCP": "x:1", "Interval": "10s", "OutputMaxSize": 5, "Timeout": "1m", "DeregisterCriticalServiceAfter": "90s",
    "ScriptArgs": ["a", "b"], "DockerContainerID": "d", "Shell": "s", "GRPC": "g", "GRPCUseTLS": True,
    "AliasNode": "n", "AliasService": "s", "TTL": "3s",
}  # fmt: skip


def check(check_id: str, status: str, **more: Any) -> dict[str, Any]:
    return {"CheckID": check_id, "Name": f"check {check_id}", "Status": status, "Output": ODD, **more}


def registrations() -> list[tuple[str, dict[str, Any]]]:
    """What is put, in order."""
    db = {"Node": "db", "Address": "10.0.0.5"}
    web = {"ID": "web-1", "Service": "web", "Port": 80, "Tags": ["v1", "a"], "Meta": {"external-source": "nomad"}}
    proxy = {
        "ID": "web-proxy",
        "Service": "web-sidecar-proxy",
        "Kind": "connect-proxy",
        "Port": 21000,
        "Proxy": {"DestinationServiceName": "web", "Upstreams": [{"DestinationName": "redis", "LocalBindPort": 99}]},
    }
    mesh = {"ID": "mg", "Service": "mg", "Kind": "mesh-gateway", "Port": 443}
    terminating = {"Kind": "terminating-gateway", "Name": "tg", "Services": [{"Name": "web"}, {"Name": "ghost"}]}
    ingress = {
        "Kind": "ingress-gateway",
        "Name": "ig",
        "Listeners": [
            {"Port": 8080, "Protocol": "tcp", "Services": [{"Name": "web"}]},
            {"Port": 8081, "Protocol": "tcp", "Services": [{"Name": "native"}]},
        ],
    }
    return [
        ("catalog/register", {**db, "NodeMeta": {"b": "1", "a": "<2>"}, "TaggedAddresses": {"lan": "10.0.0.5"}}),
        ("catalog/register", {**db, "Service": web, "Checks": [check("c1", "passing", ServiceID="web-1")]}),
        ("catalog/register", {**db, "Check": check("node", "warning", Notes="a note")}),
        ("catalog/register", {"Node": "n1b", "Address": "10.0.0.6", "Service": {**web, "Meta": None, "Tags": ["b"]},
                              "Checks": [check("c1", "critical", ServiceID="web-1")]}),
        ("catalog/register", {"Node": "empty", "Address": "10.0.0.7"}),
        ("catalog/register", {**db, "Service": {"Service": "plain"}}),
        ("catalog/register", {**db, "Service": {"Service": "native", "Connect": {"Native": True}, "Port": 5}}),
        ("catalog/register", {**db, "Service": {"Service": "weighed", "Weights": {"Passing": 3, "Warning": 2},
                                                "TaggedAddresses": {"wan": {"Address": "1.2.3.4", "Port": 7}},
                                                "EnableTagOverride": True, "Address": "::1", "Meta": {"k": "v"}}}),
        ("catalog/register", {**db, "Service": proxy}),
        ("catalog/register", {**db, "Service": mesh}),
        ("catalog/register", {**db, "Service": {"Service": "tg", "Kind": "terminating-gateway", "Port": 8443}}),
        ("catalog/register", {**db, "Service": {"Service": "ig", "Kind": "ingress-gateway", "Port": 8444}}),
        ("catalog/register", {**db, "Service": {"Service": "odd <&>\"", "Tags": [], "Meta": {}},
                              "Checks": [check("", "passing", Definition=DEFINITION)]}),
        ("catalog/register", {**db, "Check": check("odd", "passing", Definition={"TTL": "3s", "Timeout": "1ms"})}),
        ("catalog/register", {**db, "Check": check("one", "passing", Definition={"Interval": "1h0m0.5s"})}),
        ("catalog/register", {"Node": "n0", "Address": "10.0.0.8", "Service": {**proxy, "Proxy": {
            "DestinationServiceName": "api", "Config": {"b": 1, "a": [1.5, True, ODD], "c": {"x": {}}},
            "DestinationServiceID": "api-1", "LocalServiceAddress": "127.0.0.1", "LocalServicePort": 3}}}),
        ("catalog/register", {"Node": "n00", "Address": "10.0.0.9", "Service": proxy}),
        ("config", terminating),
        ("config", ingress),
    ]  # fmt: skip


def fill(pair: tuple[Agent, Agent]) -> None:
    """Register the same with both."""
    for path, body in registrations():
        answers = [agent.ask(f"/v1/{path}", "PUT", json.dumps(body).encode()) for agent in pair]
        assert answers[0].status == answers[1].status == 200, (path, body, answers)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, Agent]]:
    """A real agent and ours with the same in the catalog; Connect is on in the real one, or it has no gateways."""
    directory: Path = tmp_path_factory.mktemp("internal-ui")
    with agents(directory, real="127.38.0.1", ours="127.38.0.2") as found:
        fill(found)
        yield found


@pytest.mark.parametrize("path", PATHS)
def test_the_same_bytes(pair: tuple[Agent, Agent], path: str) -> None:
    real, ours = pair
    target = f"/v1/internal/ui/{path}"
    assert ours.ask(target).comparable(ours.address) == real.ask(target).comparable(real.address)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["nodes", "node/db", "services", "gateway-services-nodes/ig"])
def test_other_methods(pair: tuple[Agent, Agent], path: str, method: str) -> None:
    real, ours = pair
    target = f"/v1/internal/ui/{path}"
    assert ours.ask(target, method).comparable(ours.address) == real.ask(target, method).comparable(real.address)


MASTER = "11111111-2222-3333-4444-555555555500"
ACL = f'acl {{ enabled = true default_policy = "deny" tokens {{ master = "{MASTER}" agent = "{MASTER}" }} }}'
RULES = {
    "all": 'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }',
    "nodes": 'node_prefix "" { policy = "read" }',
    "services": 'service_prefix "" { policy = "read" }',
    "db": 'node "db" { policy = "read" } service_prefix "web" { policy = "read" }',
    "gateway": 'node_prefix "" { policy = "read" } service "ig" { policy = "read" } service "web" { policy = "deny" }',
    "nothing": 'key_prefix "" { policy = "read" }',
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, Agent]]:
    """The same with access control; the secrets of tokens are the names of their rules, as UUIDs."""
    directory: Path = tmp_path_factory.mktemp("internal-ui-acl")
    with agents(directory, "-hcl", ACL, real="127.38.0.8", ours="127.38.0.9", token=MASTER) as found:
        fill(found)
        for agent in found:
            for name, rules in RULES.items():
                policy = json.dumps({"Name": name, "Rules": rules}).encode()
                assert agent.ask("/v1/acl/policy", "PUT", policy).status == 200
                token = json.dumps({"SecretID": secret(name), "Policies": [{"Name": name}]}).encode()
                assert agent.ask("/v1/acl/token", "PUT", token).status == 200
        yield found


def secret(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


@pytest.mark.parametrize("name", [*RULES, "", "unknown"])
@pytest.mark.parametrize(
    "path", ["nodes", "node/db", "node/n1", "services", "gateway-services-nodes/ig", "gateway-services-nodes/tg"]
)
def test_the_same_is_left_out(guarded: tuple[Agent, Agent], path: str, name: str) -> None:
    token = secret(name) if name else "anonymous"
    answers = [
        agent.ask(f"/v1/internal/ui/{path}", X_Consul_Token=token).comparable(agent.address) for agent in guarded
    ]
    assert answers[1] == answers[0]
