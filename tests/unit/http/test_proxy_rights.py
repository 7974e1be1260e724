"""Who may register proxies and write entries that lead elsewhere. Source: Consul 1.8.7 with access control."""

from typing import Any

import pytest

from tests.harness.guarded import MASTER, GuardedHarness

NODES = ' node_prefix "" { policy = "write" }'
PROXY: dict[str, Any] = {"Kind": "connect-proxy", "Port": 1, "Proxy": {"DestinationServiceName": "web"}}


@pytest.fixture
def api() -> GuardedHarness:
    return GuardedHarness()


def may(api: GuardedHarness, **services: str) -> str:
    return api.token(NODES + "".join(f' service "{name}" {{ policy = "{level}" }}' for name, level in services.items()))


def test_a_proxy_wants_the_right_to_the_service_that_it_stands_for(api: GuardedHarness) -> None:
    at_agent = ("PUT /v1/agent/service/register", PROXY | {"Name": "px"})
    in_catalog = ("PUT /v1/catalog/register", {"Node": "n", "Address": "1.1.1.1", "Service": PROXY | {"Service": "px"}})
    for request, body in (at_agent, in_catalog):
        for services in ({"px": "write"}, {"px": "write", "web": "read"}, {"web": "write"}):
            assert api.as_(may(api, **services), request, body).status == 403
        assert api.as_(may(api, px="write", web="write"), request, body).status == 200
    refused = api.as_(may(api, px="write"), *at_agent)
    assert refused.text == "Permission denied: Missing service:write on web"


def test_a_sidecar_wants_a_right_of_its_own_or_a_token_that_has_it(api: GuardedHarness) -> None:
    web = may(api, web="write")
    body: dict[str, Any] = {"Name": "web", "Port": 1, "Connect": {"SidecarService": {}}}
    refused = api.as_(web, "PUT /v1/agent/service/register", body)
    assert (refused.status, refused.text) == (403, "Permission denied: Missing service:write on web-sidecar-proxy")
    assert api.as_(MASTER, "GET /v1/agent/services").json == {}, "nothing was registered"
    body["Connect"]["SidecarService"] = {"Token": MASTER}
    assert api.as_(web, "PUT /v1/agent/service/register", body).status == 200
    assert sorted(api.as_(MASTER, "GET /v1/agent/services").json) == ["web", "web-sidecar-proxy"]
    body["Connect"]["SidecarService"] = {"Token": web}
    assert api.as_(MASTER, "PUT /v1/agent/service/register", body).status == 403


def test_an_entry_that_leads_elsewhere_wants_to_read_what_is_there(api: GuardedHarness) -> None:
    entry = {"Kind": "service-resolver", "Name": "web", "Redirect": {"Service": "db"}}
    assert api.as_(may(api, web="write"), "PUT /v1/config", entry).status == 403
    assert api.as_(may(api, web="write", db="read"), "PUT /v1/config", entry).status == 200
    assert api.as_(may(api, web="write"), "DELETE /v1/config/service-resolver/web").status == 200
