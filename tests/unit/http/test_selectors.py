"""Parameters and headers of newer versions that select something are honoured or refused, on every endpoint."""

import pytest

from consulpy.http.api import routes
from consulpy.http.api.routing import ROUTES
from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import HttpHarness

routes.load_all()

REFUSED = [
    ("namespace=team", "Namespaces are a Consul Enterprise feature"),
    ("partition=default", "Partitions are a Consul Enterprise feature"),
    ("ap=x", "Partitions are a Consul Enterprise feature"),
    ("peer=west", "cluster peering came with Consul 1.13"),
    ("partition=team", "Partitions are a Consul Enterprise feature"),
    ("authmethod-ns=team", "Namespaces are a Consul Enterprise feature"),
    ("sg=x", "Sameness groups are a Consul Enterprise feature"),
    ("sameness-group=x", "Sameness groups are a Consul Enterprise feature"),
    ("dc=dc1&datacenter=dc2", '"dc" names another one'),
]
REQUESTS = [f"{method} {path}" for path, handlers in sorted(ROUTES.items()) for method in handlers]


@pytest.mark.parametrize(("parameter", "why"), REFUSED)
def test_no_endpoint_skips_a_selector(parameter: str, why: str) -> None:
    harness = HttpHarness()
    for request in REQUESTS:
        if parameter.endswith("=default") and "/v1/connect/intentions" in request:
            continue  # taken there, by newer versions too
        answer = harness.ask(f"{request}?{parameter}")
        assert (answer.status, why in answer.text) == (400, True), request


@pytest.mark.parametrize("header", ["X_Consul_Namespace", "X_Consul_Partition"])
def test_no_endpoint_skips_a_header(header: str) -> None:
    harness = HttpHarness()
    for request in REQUESTS:
        answer = harness.ask(request, **{header: "team"})
        assert (answer.status, "Consul Enterprise feature" in answer.text) == (400, True), request


#: In no namespace, in Consul Enterprise neither; Go's client adds its namespace to each request.
WITHOUT_NAMESPACE = (
    "/v1/acl/bootstrap", "/v1/acl/create", "/v1/acl/destroy", "/v1/acl/logout", "/v1/acl/replication", "/v1/acl/rules",
    "/v1/acl/templated", "/v1/acl/update", "/v1/agent/", "/v1/catalog/datacenters", "/v1/catalog/nodes",
    "/v1/connect/ca/configuration", "/v1/coordinate", "/v1/event", "/v1/internal", "/v1/operator", "/v1/snapshot",
    "/v1/status", "/debug", "/v1/reset",
)  # fmt: skip
OF_AGENT = ("/v1/agent/service", "/v1/agent/check")


def test_a_namespace_is_skipped_only_where_nothing_is_in_one() -> None:
    """Real 1.8.7 says so at the same routes, but skips it at intentions, queries and transactions."""
    harness = GuardedHarness()
    for request in REQUESTS:
        path = request.partition(" ")[2]
        if path.startswith(WITHOUT_NAMESPACE) and not path.startswith(OF_AGENT):
            continue
        answer = harness.as_(MASTER, f"{request}?ns=team")
        own = path.startswith("/v1/agent/")  # what is unknown may be said first
        assert "Namespaces are a Consul Enterprise feature" in answer.text or (own and answer.status >= 400), request


def test_what_asks_for_nothing_is_taken() -> None:
    harness = HttpHarness()
    assert harness.ask("GET /v1/catalog/nodes?namespace=&partition=&peer=&datacenter=").status == 200


def test_the_long_name_of_a_datacenter_is_its_name() -> None:
    harness = HttpHarness()
    assert harness.ask("GET /v1/catalog/nodes?datacenter=dc1").status == 200
    assert harness.ask("GET /v1/catalog/nodes?datacenter=dc2").text == harness.ask("GET /v1/catalog/nodes?dc=dc2").text
    assert harness.ask("PUT /v1/kv/a?datacenter=dc2", "1").text == "No path to datacenter"


@pytest.mark.parametrize("request_line", ["PUT /v1/catalog/register", "PUT /v1/catalog/deregister"])
def test_the_body_of_a_catalog_write_names_its_datacenter(request_line: str) -> None:
    """`?dc=` says nothing there, as in Consul 1.8.7."""
    harness, body = HttpHarness(), {"Node": "n", "Address": "10.0.0.1"}
    assert harness.ask(f"{request_line}?dc=dc2", body).text == "true"
    assert harness.ask(f"{request_line}?dc=dc1", {**body, "Datacenter": "dc2"}).text == "No path to datacenter"


def test_config_entries_are_written_in_the_primary_datacenter_whichever_is_named() -> None:
    harness = HttpHarness()
    assert harness.ask("PUT /v1/config?dc=dc2", {"Kind": "service-defaults", "Name": "web"}).text == "true"
    assert harness.ask("GET /v1/config/service-defaults/web").status == 200
    assert harness.ask("DELETE /v1/config/service-defaults/web?dc=DC1").status == 200
    assert harness.ask("GET /v1/config/service-defaults/web").status == 404
