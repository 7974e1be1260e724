"""`?cached` at the door: which paths understand it, and what the headers say."""

import pytest

from consulpy.rpc.cache.authorized_cache import DATACENTERS_S
from tests.harness.http import HttpHarness


@pytest.mark.parametrize(
    "path", ["catalog/services", "catalog/service/x", "catalog/connect/x", "health/service/x", "health/connect/x"]
)
def test_who_understands_cached(path: str) -> None:
    door = HttpHarness()
    assert door.ask(f"GET /v1/{path}?cached").headers["x-cache"] == "MISS"
    door.agent.clock.advance(0)
    headers = door.ask(f"GET /v1/{path}?cached").headers
    assert (headers["x-cache"], headers["age"]) == ("HIT", "0")


@pytest.mark.parametrize("path", ["catalog/nodes", "catalog/node/x", "health/checks/x", "health/state/any"])
def test_who_does_not(path: str) -> None:
    assert "x-cache" not in HttpHarness().ask(f"GET /v1/{path}?cached").headers


def test_datacenters_are_kept_a_minute() -> None:
    door = HttpHarness()
    assert door.ask("GET /v1/catalog/datacenters?cached").headers["x-cache"] == "MISS"
    door.agent.clock.advance(3)
    assert door.ask("GET /v1/catalog/datacenters?cached").headers["age"] == "3"
    door.agent.clock.advance(DATACENTERS_S)
    assert door.ask("GET /v1/catalog/datacenters?cached").headers["x-cache"] == "MISS"
