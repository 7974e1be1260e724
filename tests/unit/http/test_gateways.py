"""What stands behind gateways: the answers of a real agent to the same registrations and config entries."""

import json
from typing import Any

import pytest

from tests.harness.http import FakeAgent, HttpHarness

TERMINATING = {
    "Kind": "terminating-gateway",
    "Name": "tg",
    "Services": [{"Name": "redis", "SNI": "x"}, {"Name": "*", "CAFile": "/ca"}, {"Name": "ghost"}],
}
INGRESS = {
    "Kind": "ingress-gateway",
    "Name": "ig",
    "Listeners": [
        {"Port": 8080, "Protocol": "tcp", "Services": [{"Name": "redis"}]},
        {"Port": 8081, "Protocol": "tcp", "Services": [{"Name": "redis"}]},
    ],
}
HOSTS = {
    "Kind": "ingress-gateway",
    "Name": "iw",
    "Listeners": [
        {"Port": 8082, "Protocol": "http", "Services": [{"Name": "redis", "Hosts": ["a.b"]}, {"Name": "*"}]},
        {"Port": 8083, "Protocol": "http", "Services": [{"Name": "redis", "Hosts": ["*"]}]},
    ],
}
PROXY = {"Kind": "connect-proxy", "Service": "redis-proxy", "Port": 1, "Proxy": {"DestinationServiceName": "redis"}}


def put(door: HttpHarness, path: str, body: Any) -> None:
    assert door.ask(f"PUT /v1/{path}", json.dumps(body).encode()).status == 200


def register(door: HttpHarness, **service: Any) -> None:
    put(door, "catalog/register", {"Node": "g", "Address": "1.1.1.1", "Service": service})


def ask(door: HttpHarness, path: str) -> Any:
    answer = door.ask(f"GET /v1/{path}")
    assert answer.status == 200
    return json.loads(answer.text)


def behind(door: HttpHarness, gateway: str) -> Any:
    found = ask(door, f"catalog/gateway-services/{gateway}")
    indexes = [(each.pop("CreateIndex"), each.pop("ModifyIndex")) for each in found or ()]
    assert all(created == modified > 0 for created, modified in indexes)
    return found


def summary(name: str, nodes: list[str] | None, addresses: list[str] = [], **more: Any) -> dict[str, Any]:  # noqa: B006
    counts = {"ChecksPassing": 0, "ChecksWarning": 0, "ChecksCritical": 0, "InstanceCount": len(nodes or ())}
    config = {"Addresses": addresses} if addresses else {}
    return {
        "Name": name,
        "Tags": None,
        "Nodes": nodes,
        **counts,
        "ExternalSources": None,
        "GatewayConfig": config,
    } | more


@pytest.fixture
def door() -> HttpHarness:
    door = HttpHarness(FakeAgent().start())
    register(door, Service="redis", Port=6379)
    register(door, Service="tg", Kind="terminating-gateway", Port=8443)
    register(door, **PROXY)
    return door


def test_a_gateway_without_entry_has_nothing_behind_it(door: HttpHarness) -> None:
    assert ask(door, "catalog/gateway-services/nope") is None
    assert ask(door, "internal/ui/gateway-services-nodes/nope") == []
    nameless = door.ask("GET /v1/internal/ui/gateway-services-nodes/")
    assert (nameless.status, nameless.text) == (400, "Missing gateway name")


def test_a_terminating_gateway_leads_to_what_it_names_and_to_all_else(door: HttpHarness) -> None:
    put(door, "config", TERMINATING)
    register(door, Service="late")
    common = {"Gateway": {"Name": "tg"}, "GatewayKind": "terminating-gateway"}
    assert behind(door, "tg") == [
        {**common, "Service": {"Name": "ghost"}},
        {**common, "Service": {"Name": "late"}, "CAFile": "/ca", "FromWildcard": True},
        {**common, "Service": {"Name": "redis"}, "SNI": "x"},
    ]
    shown = [summary("ghost", None), summary("late", ["g"]), summary("redis", ["g"])]
    assert ask(door, "internal/ui/gateway-services-nodes/tg") == shown
    put(door, "catalog/deregister", {"Node": "g", "ServiceID": "late"})
    assert [each["Service"]["Name"] for each in behind(door, "tg")] == ["ghost", "redis"]
    assert door.ask("DELETE /v1/config/terminating-gateway/tg").status == 200
    assert behind(door, "tg") is None


def test_an_ingress_gateway_exposes_services_at_its_ports(door: HttpHarness) -> None:
    put(door, "config", INGRESS)
    common = {"Gateway": {"Name": "ig"}, "Service": {"Name": "redis"}, "GatewayKind": "ingress-gateway"}
    assert behind(door, "ig") == [{**common, "Port": port, "Protocol": "tcp"} for port in (8080, 8081)]
    addresses = ["redis.ingress.dc1.consul.:8080", "redis.ingress.dc1.consul.:8081"]
    assert ask(door, "internal/ui/gateway-services-nodes/ig") == [summary("redis", ["g", "g"], addresses)]


def test_hosts_stand_for_the_name_of_a_service(door: HttpHarness) -> None:
    put(door, "config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}})
    put(door, "config", HOSTS)
    found = [(each["Port"], each["Hosts"], each.get("FromWildcard")) for each in behind(door, "iw")]
    assert found == [(8082, ["a.b"], None), (8083, ["*"], None)]
    (shown,) = ask(door, "internal/ui/gateway-services-nodes/iw")
    assert shown["GatewayConfig"] == {"Addresses": ["a.b:8082", "*:8083"]}


def test_the_index_rises_with_every_change_and_never_goes_back(door: HttpHarness) -> None:
    """Ours: a real agent's stands still at some of these changes."""
    seen = []

    def look() -> None:
        for path in ("catalog/gateway-services/tg", "internal/ui/gateway-services-nodes/tg"):
            seen.append((path, int(door.ask(f"GET /v1/{path}").headers["x-consul-index"])))

    look()
    put(door, "config", TERMINATING)
    look()
    register(door, Service="late")
    look()
    put(door, "catalog/deregister", {"Node": "g", "ServiceID": "late"})
    look()
    put(door, "catalog/deregister", {"Node": "g", "ServiceID": "redis"})
    look()
    door.ask("DELETE /v1/config/terminating-gateway/tg")
    look()
    for path in ("catalog/gateway-services/tg", "internal/ui/gateway-services-nodes/tg"):
        indexes = [index for name, index in seen if name == path]
        assert indexes == sorted(set(indexes))


def test_ingress_gateways_of_a_service_are_found(door: HttpHarness) -> None:
    put(door, "config", INGRESS)
    assert ask(door, "health/ingress/redis") == []
    register(door, Service="ig", Kind="ingress-gateway", Port=8080)
    (row,) = ask(door, "health/ingress/redis")
    assert (row["Service"]["Service"], row["Service"]["Kind"]) == ("ig", "ingress-gateway")
    assert ask(door, "health/ingress/other") == []
