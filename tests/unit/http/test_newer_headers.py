"""Headers of Consul 1.9 to 1.11, for every client with a `User-Agent`; one without gets exactly those of 1.8.7.

The Go client reads them into `QueryMeta` (DefaultACLPolicy, QueryBackend, ResultsFilteredByACLs).
"""

import pytest

from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import FakeAgent, HttpHarness, Response

POLICY, BACKEND = "x-consul-default-acl-policy", "x-consul-query-backend"
FILTERED = "x-consul-results-filtered-by-acls"
GO = "Go-http-client/1.1"


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness(FakeAgent().start())


@pytest.fixture
def guarded() -> GuardedHarness:
    harness = GuardedHarness()
    for name in ("web", "db"):
        body = {"Node": f"n-{name}", "Address": "127.0.0.9", "Service": {"Service": name}}
        assert harness.as_(MASTER, "PUT /v1/catalog/register", body).status == 200
        assert harness.as_(MASTER, f"PUT /v1/kv/{name}", "1").status == 200
        assert harness.as_(MASTER, "PUT /v1/agent/service/register", {"Name": name}).status == 200
    return harness


def ask(harness: GuardedHarness, request: str, token: str) -> Response:
    return harness.ask(request, User_Agent=GO, **({"X_Consul_Token": token} if token else {}))


def test_a_read_names_default_policy_and_backend(harness: HttpHarness) -> None:
    found = harness.ask("GET /v1/catalog/nodes", User_Agent=GO).headers
    assert (found[POLICY], found[BACKEND], FILTERED in found) == ("allow", "blocking-query", False)
    for request in ("GET /v1/health/service/x", "GET /v1/kv/x", "GET /v1/query", "GET /v1/config/service-defaults"):
        assert harness.ask(request, User_Agent=GO).headers[BACKEND] == "blocking-query", request


def test_a_node_without_coordinates_is_followed_by_its_index(harness: HttpHarness) -> None:
    """py-consul's tests, which ran against Consul 1.22: it raises for a 404 without the header."""
    found = harness.ask("GET /v1/coordinate/node/nobody", User_Agent=GO)
    assert (found.status, "x-consul-index" in found.headers) == (404, True)
    assert "x-consul-index" not in harness.ask("GET /v1/coordinate/node/nobody").headers


def test_every_response_of_the_api_names_the_default_policy(guarded: GuardedHarness) -> None:
    for request in ("GET /v1/agent/self", "PUT /v1/kv/a", "GET /v1/nowhere-in-kv", "DELETE /v1/agent/self"):
        found = ask(guarded, request, "")
        assert found.headers.get(POLICY) == (None if "nowhere" in request else "deny"), request


def test_without_user_agent_the_headers_are_those_of_1_8_7(guarded: GuardedHarness) -> None:
    token = guarded.token('service "web" { policy = "read" }')
    found = guarded.as_(token, "GET /v1/catalog/services").headers
    assert not {POLICY, BACKEND, FILTERED} & found.keys()


@pytest.mark.parametrize(
    "path",
    [
        "catalog/services",
        "catalog/service/db",
        "catalog/nodes",
        "catalog/node/n-db",
        "catalog/node-services/n-db",
        "health/service/db",
        "kv/?recurse",
        "kv/?keys",
        "internal/ui/nodes",
        "agent/services",
    ],
)
def test_a_token_learns_that_something_was_removed(guarded: GuardedHarness, path: str) -> None:
    rules = 'service "web" { policy = "read" } node "n-web" { policy = "read" } key "web" { policy = "list" }'
    token = guarded.token(rules)
    assert ask(guarded, f"GET /v1/{path}", token).headers.get(FILTERED) == "true"
    assert FILTERED not in ask(guarded, f"GET /v1/{path}", MASTER).headers
    assert FILTERED not in ask(guarded, f"GET /v1/{path}", "").headers


def test_nothing_is_said_where_all_may_be_seen(guarded: GuardedHarness) -> None:
    token = guarded.token('service "web" { policy = "read" } node "n-web" { policy = "read" }')
    for path in ("health/service/web", "catalog/node/n-web", "health/node/n-web"):
        assert FILTERED not in ask(guarded, f"GET /v1/{path}", token).headers, path


def test_cached_responses_have_the_same_headers(guarded: GuardedHarness) -> None:
    token = guarded.token('service "web" { policy = "read" }')
    found = [ask(guarded, "GET /v1/catalog/services", token).headers for _ in range(4)]
    assert all(each[FILTERED] == "true" and each[POLICY] == "deny" for each in found)
    first = {name: value for name, value in found[0].items() if name != "date"}
    assert all({**each, "date": ""} == {**first, "date": ""} for each in found)
