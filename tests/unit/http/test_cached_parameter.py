"""`?cached` in the HTTP API: which paths understand it, and what the headers say."""

import pytest

from consulpy.rpc.cache.authorized_cache import DATACENTERS_S
from tests.harness.http import HttpHarness


@pytest.mark.parametrize(
    "path", ["catalog/services", "catalog/service/x", "catalog/connect/x", "health/service/x", "health/connect/x"]
)
def test_who_understands_cached(path: str) -> None:
    harness = HttpHarness()
    assert harness.ask(f"GET /v1/{path}?cached").headers["x-cache"] == "MISS"
    harness.agent.clock.advance(0)
    headers = harness.ask(f"GET /v1/{path}?cached").headers
    assert (headers["x-cache"], headers["age"]) == ("HIT", "0")


@pytest.mark.parametrize("path", ["catalog/nodes", "catalog/node/x", "health/checks/x", "health/state/any"])
def test_who_does_not(path: str) -> None:
    assert "x-cache" not in HttpHarness().ask(f"GET /v1/{path}?cached").headers


def test_datacenters_are_kept_a_minute() -> None:
    harness = HttpHarness()
    assert harness.ask("GET /v1/catalog/datacenters?cached").headers["x-cache"] == "MISS"
    harness.agent.clock.advance(3)
    assert harness.ask("GET /v1/catalog/datacenters?cached").headers["age"] == "3"
    harness.agent.clock.advance(DATACENTERS_S)
    assert harness.ask("GET /v1/catalog/datacenters?cached").headers["x-cache"] == "MISS"


@pytest.mark.parametrize("name", ["nobody", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"])
def test_an_unknown_query_is_an_error_of_the_cache(name: str) -> None:
    """Recorded: the cache's errors are 500, with the headers of an empty reply."""
    answer = HttpHarness().ask(f"GET /v1/query/{name}/execute?cached")
    assert (answer.status, answer.text) == (500, "Query not found")
    assert (answer.headers["x-consul-index"], answer.headers["x-consul-knownleader"]) == ("1", "false")
    for target in ("execute", "explain?cached"):
        assert HttpHarness().ask(f"GET /v1/query/{name}/{target}").status == 404


def test_a_client_may_want_fresh_datacenters() -> None:
    harness = HttpHarness()
    assert harness.ask("GET /v1/catalog/datacenters?cached").headers["x-cache"] == "MISS"
    fresh = harness.ask("GET /v1/catalog/datacenters?cached", Cache_Control="must-revalidate")
    assert fresh.headers["x-cache"] == "MISS"
    wrong = harness.ask("GET /v1/catalog/datacenters?cached", Cache_Control="max-age=x")
    assert (wrong.status, wrong.text) == (400, "Invalid Cache-Control header.")
