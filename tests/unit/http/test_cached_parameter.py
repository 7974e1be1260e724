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
