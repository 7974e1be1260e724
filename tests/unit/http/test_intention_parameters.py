"""Parameters of `/v1/connect/intentions/check` and `match`: there once, and perhaps empty, as at a real 1.8.7."""

import pytest

from tests.harness.http import FakeAgent, HttpHarness

CHECK, MATCH = "/v1/connect/intentions/check", "/v1/connect/intentions/match"


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness(FakeAgent().start())


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (f"{CHECK}?source=&destination=db", 200, '{"Allowed":true}'),
        (f"{CHECK}?source=a&destination=", 200, '{"Allowed":true}'),
        (f"{CHECK}?source=a&source=b&destination=c", 500, "required query parameter 'source' not set"),
        (f"{CHECK}?destination=c", 500, "required query parameter 'source' not set"),
        (f"{CHECK}?source=a", 500, "required query parameter 'destination' not set"),
        (f"{MATCH}?by=source&name=", 200, '{"":null}'),
        (f"{MATCH}?by=source&name=a&name=", 200, '{"":null,"a":null}'),
        (f"{MATCH}?by=source&by=destination&name=a", 500, "required query parameter 'by' not set"),
        (f"{MATCH}?by=source", 500, "required query parameter 'name' not set"),
        (f"{MATCH}?by=&name=a", 500, "'by' parameter must be one of 'source' or 'destination'"),
    ],
)
def test_answers_are_consuls(harness: HttpHarness, path: str, status: int, body: str) -> None:
    answer = harness.ask(f"GET {path}")
    assert (answer.status, answer.body.decode()) == (status, body)


def test_a_proxy_whose_settings_hold_a_null_is_refused_by_the_agent(harness: HttpHarness) -> None:
    """A real agent closes the connection of whoever registers one."""
    config = '"Proxy": {"DestinationServiceName": "w", "Config": {"a": null}}'
    answer = harness.ask(
        "PUT /v1/agent/service/register", f'{{"Kind": "connect-proxy", "Name": "z", "Port": 5, {config}}}'
    )
    assert answer.status == 400
    assert b"Proxy.Config.a is null" in answer.body
