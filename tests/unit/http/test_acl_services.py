"""Gateways of a service that may not be read, and queries with a token of their own. Source: a real server."""

import pytest

from tests.harness.guarded import MASTER, GuardedHarness

NOWHERE = "cf000000-0000-0000-0000-00000000dead"
ALL = 'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }'


@pytest.fixture(scope="module")
def harness() -> GuardedHarness:
    harness = GuardedHarness()
    for service in (
        {"Service": "web", "Port": 80},
        {"Service": "gw", "Kind": "ingress-gateway", "Port": 81},
        {"Service": "px", "Kind": "connect-proxy", "Port": 82, "Proxy": {"DestinationServiceName": "web"}},
    ):
        row = {"Node": "n2", "Address": "10.0.0.2", "Service": service}
        assert harness.as_(MASTER, "PUT /v1/catalog/register", row).status == 200
    entry = {"Kind": "ingress-gateway", "Name": "gw", "Listeners": [
        {"Port": 80, "Protocol": "tcp", "Services": [{"Name": "web"}]}]}  # fmt: skip
    assert harness.as_(MASTER, "PUT /v1/config", entry).status == 200
    return harness


@pytest.mark.parametrize("path", ["health/ingress/web", "health/connect/web", "catalog/connect/web"])
def test_nobody_sees_gateways_and_proxies_of_a_service_that_may_not_be_read(harness: GuardedHarness, path: str) -> None:
    """Whatever they may know of the gateway itself."""
    assert len(harness.as_(harness.token(ALL), f"GET /v1/{path}").json) == 1
    denied = harness.token(f'{ALL} service "web" {{ policy = "deny" }}')
    answer = harness.as_(denied, f"GET /v1/{path}")
    assert (answer.status, answer.json) == (200, [])


def test_a_query_with_a_token_of_its_own_does_not_ask_for_the_callers(harness: GuardedHarness) -> None:
    own = harness.token(f'{ALL} query_prefix "" {{ policy = "write" }}')
    for name, secret in (("own", own), ("none", ""), ("gone", NOWHERE)):
        query = {"Name": name, "Token": secret, "Service": {"Service": "web"}}
        assert harness.as_(MASTER, "POST /v1/query", query).status == 200
    for caller in (NOWHERE, "", "allow", own):
        answer = harness.as_(caller, "GET /v1/query/own/execute")
        assert [row["Service"]["Service"] for row in answer.json["Nodes"]] == ["web"]
    assert harness.as_("", "GET /v1/query/none/execute").json["Nodes"] == []
    assert harness.as_(NOWHERE, "GET /v1/query/none/execute").text == "ACL not found"
    for caller in (NOWHERE, "", MASTER):
        answer = harness.as_(caller, "GET /v1/query/gone/execute")
        assert (answer.status, answer.text) == (403, "ACL not found")
    assert harness.as_(NOWHERE, "GET /v1/query/own/explain").text == "ACL not found"
