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


def put(harness: HttpHarness, path: str, body: Any) -> None:
    assert harness.ask(f"PUT /v1/{path}", json.dumps(body).encode()).status == 200


def register(harness: HttpHarness, **service: Any) -> None:
    put(harness, "catalog/register", {"Node": "g", "Address": "1.1.1.1", "Service": service})


def ask(harness: HttpHarness, path: str) -> Any:
    answer = harness.ask(f"GET /v1/{path}")
    assert answer.status == 200
    return json.loads(answer.text)


def behind(harness: HttpHarness, gateway: str) -> Any:
    found = ask(harness, f"catalog/gateway-services/{gateway}")
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
def harness() -> HttpHarness:
    harness = HttpHarness(FakeAgent().start())
    register(harness, Service="redis", Port=6379)
    register(harness, Service="tg", Kind="terminating-gateway", Port=8443)
    register(harness, **PROXY)
    return harness


def test_the_summary_of_a_proxy_says_for_which_services(harness: HttpHarness) -> None:
    for name in ("api", "redis"):
        register(harness, **{**PROXY, "ID": f"{name}-proxy", "Proxy": {"DestinationServiceName": name}})
    (shown,) = (each for each in ask(harness, "internal/ui/services") if each["Name"] == "redis-proxy")
    assert list(shown)[:5] == ["Kind", "Name", "Tags", "Nodes", "InstanceCount"]
    assert list(shown)[5] == "ProxyFor"
    assert sorted(shown["ProxyFor"]) == ["api", "redis"]


def test_a_gateway_without_entry_has_nothing_behind_it(harness: HttpHarness) -> None:
    assert ask(harness, "catalog/gateway-services/nope") is None
    assert ask(harness, "internal/ui/gateway-services-nodes/nope") == []
    nameless = harness.ask("GET /v1/internal/ui/gateway-services-nodes/")
    assert (nameless.status, nameless.text) == (400, "Missing gateway name")


def test_a_terminating_gateway_leads_to_what_it_names_and_to_all_else(harness: HttpHarness) -> None:
    put(harness, "config", TERMINATING)
    register(harness, Service="late")
    common = {"Gateway": {"Name": "tg"}, "GatewayKind": "terminating-gateway"}
    assert behind(harness, "tg") == [
        {**common, "Service": {"Name": "ghost"}},
        {**common, "Service": {"Name": "late"}, "CAFile": "/ca", "FromWildcard": True},
        {**common, "Service": {"Name": "redis"}, "SNI": "x"},
    ]
    shown = [summary("ghost", None), summary("late", ["g"]), summary("redis", ["g"])]
    assert ask(harness, "internal/ui/gateway-services-nodes/tg") == shown
    put(harness, "catalog/deregister", {"Node": "g", "ServiceID": "late"})
    assert [each["Service"]["Name"] for each in behind(harness, "tg")] == ["ghost", "redis"]
    assert harness.ask("DELETE /v1/config/terminating-gateway/tg").status == 200
    assert behind(harness, "tg") is None


def test_an_ingress_gateway_exposes_services_at_its_ports(harness: HttpHarness) -> None:
    put(harness, "config", INGRESS)
    common = {"Gateway": {"Name": "ig"}, "Service": {"Name": "redis"}, "GatewayKind": "ingress-gateway"}
    assert behind(harness, "ig") == [{**common, "Port": port, "Protocol": "tcp"} for port in (8080, 8081)]
    addresses = ["redis.ingress.dc1.consul.:8080", "redis.ingress.dc1.consul.:8081"]
    assert ask(harness, "internal/ui/gateway-services-nodes/ig") == [summary("redis", ["g", "g"], addresses)]


def test_hosts_stand_for_the_name_of_a_service(harness: HttpHarness) -> None:
    put(harness, "config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}})
    put(harness, "config", HOSTS)
    found = [(each["Port"], each["Hosts"], each.get("FromWildcard")) for each in behind(harness, "iw")]
    assert found == [(8082, ["a.b"], None), (8083, ["*"], None)]
    (shown,) = ask(harness, "internal/ui/gateway-services-nodes/iw")
    assert shown["GatewayConfig"] == {"Addresses": ["a.b:8082", "*:8083"]}


def test_every_service_is_every_one_of_the_listeners_protocol(harness: HttpHarness) -> None:
    """Seen at a real agent: the list leaves the others out, the gateways of a service do not."""
    put(harness, "config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}})
    put(harness, "config", {"Kind": "service-defaults", "Name": "plain", "Protocol": "tcp"})
    put(harness, "config", HOSTS)
    register(harness, Service="iw", Kind="ingress-gateway", Port=8082)
    for name in ("plain", "web"):
        register(harness, Service=name)

    def names() -> list[str]:
        return [each["Service"]["Name"] for each in behind(harness, "iw") if each.get("FromWildcard")]

    assert names() == ["web"]
    assert [each["Name"] for each in ask(harness, "internal/ui/gateway-services-nodes/iw")] == ["redis", "web"]
    assert len(ask(harness, "health/ingress/plain")) == 1
    put(harness, "config", {"Kind": "service-defaults", "Name": "plain", "Protocol": "http"})
    assert names() == ["plain", "web"]


def test_the_index_rises_with_every_change_and_never_goes_back(harness: HttpHarness) -> None:
    """Ours: a real agent's stands still at some of these changes."""
    seen = []

    def look() -> None:
        for path in ("catalog/gateway-services/tg", "internal/ui/gateway-services-nodes/tg"):
            seen.append((path, int(harness.ask(f"GET /v1/{path}").headers["x-consul-index"])))

    look()
    put(harness, "config", TERMINATING)
    look()
    register(harness, Service="late")
    look()
    put(harness, "catalog/deregister", {"Node": "g", "ServiceID": "late"})
    look()
    put(harness, "catalog/deregister", {"Node": "g", "ServiceID": "redis"})
    look()
    harness.ask("DELETE /v1/config/terminating-gateway/tg")
    look()
    for path in ("catalog/gateway-services/tg", "internal/ui/gateway-services-nodes/tg"):
        indexes = [index for name, index in seen if name == path]
        assert indexes == sorted(set(indexes))


def test_ingress_gateways_of_a_service_are_found(harness: HttpHarness) -> None:
    put(harness, "config", INGRESS)
    assert ask(harness, "health/ingress/redis") == []
    register(harness, Service="ig", Kind="ingress-gateway", Port=8080)
    (row,) = ask(harness, "health/ingress/redis")
    assert (row["Service"]["Service"], row["Service"]["Kind"]) == ("ig", "ingress-gateway")
    assert ask(harness, "health/ingress/other") == []
