"""Every endpoint that takes JSON answers hostile JSON with 400 and a sentence, writes nothing and logs no failure."""

import json

import pytest

from consulpy.http.api import routes
from consulpy.http.api.routing import ROUTES
from tests.harness.http import HttpHarness
from tests.unit.codec.test_strict_json import HOSTILE, MANY

routes.load_all()

#: Endpoints whose body is bytes, or that have none.
BYTES = ("/v1/kv/", "/v1/event/fire/", "/v1/snapshot")
ROUTES_WITH_BODIES = sorted(
    (method, path) for path, methods in ROUTES.items() for method in methods
    if method in ("PUT", "POST") and not path.startswith(BYTES)
)  # fmt: skip
FIELDS = ("", "ID", "Name", "Node", "Key", "Kind", "Check", "Service", "Meta", "TTL", "Status", "Config", "Rules")


@pytest.mark.parametrize(("method", "path"), ROUTES_WITH_BODIES)
def test_hostile_json(method: str, path: str, faults: list[str]) -> None:
    harness = HttpHarness()
    for kind, text in HOSTILE.items():
        for field in FIELDS:
            body = f'{{"{field}":{text}}}' if field else text
            answer = harness.ask(f"{method} {path}{'x' if path.endswith('/') else ''}", body)
            assert answer.status != 500 or (answer.body and "internal error" not in answer.text), (path, field, kind)
            assert len(answer.body) < 1000
    assert faults == []


@pytest.mark.parametrize(
    "request_line",
    [
        "PUT /v1/agent/service/register",
        "PUT /v1/agent/check/register",
        "PUT /v1/catalog/register",
        "PUT /v1/session/create",
        "PUT /v1/txn",
        "POST /v1/query",
        "PUT /v1/config",
    ],
)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_json_is_400(request_line: str, kind: str) -> None:
    answer = HttpHarness().ask(request_line, f'{{"Name":{HOSTILE[kind]}}}')
    assert answer.status == 400, answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "request_line",
    [
        f"PUT /v1/config?cas={MANY}",
        f"PUT /v1/operator/autopilot/configuration?cas={MANY}",
        f"PUT /v1/kv/a?cas={MANY}",
        f"PUT /v1/kv/a?flags={MANY}",
        f"GET /v1/catalog/nodes?index={MANY}",
        f"GET /v1/catalog/nodes?wait={MANY}s",
        f"GET /v1/catalog/nodes?wait=1.{MANY}s",
        f"GET /v1/query/x/execute?limit={MANY}",
        f"GET /v1/operator/keyring?relay-factor={MANY}",
        f"DELETE /v1/kv/a?cas={MANY}",
    ],
)
def test_parameters_of_many_digits(request_line: str, faults: list[str]) -> None:
    harness = HttpHarness()
    asking = harness.begin(request_line, '{"Kind":"service-defaults","Name":"x"}' if "config?" in request_line else "")
    if asking.answer is None:
        harness.agent.clock.advance(1000.0)
    assert asking.answer is not None
    assert "internal error" not in asking.answer.text
    assert faults == []


@pytest.mark.parametrize("field", ["Interval", "TTL", "Timeout", "DeregisterCriticalServiceAfter"])
def test_durations_of_many_digits(field: str, faults: list[str]) -> None:
    for text in (f"{MANY}s", f"1.{MANY}s", f"-{MANY}h"):
        answer = HttpHarness().ask("PUT /v1/agent/check/register", f'{{"Name":"a","TTL":"1m","{field}":"{text}"}}')
        assert answer.status in (200, 400)
    answer = HttpHarness().ask("PUT /v1/session/create", f'{{"TTL":"{MANY}s"}}')
    assert answer.status in (400, 500)
    assert "internal error" not in answer.text
    assert faults == []


def test_a_session_with_many_or_long_unknown_names_is_made() -> None:
    """Consul takes them; each was compared with all known names, seconds for a body of 200 KB."""
    harness = HttpHarness()
    body = {f"k{number}": 1 for number in range(20_000)} | {"k" * 2_000_000: 1}
    assert harness.ask("PUT /v1/session/create", json.dumps(body).encode()).status == 200
    assert harness.ask("PUT /v1/session/create", b'{"Lockdely": "15s"}').status == 400
