"""Durations that int64 nanoseconds do not hold are refused wherever a body has one; Go makes negative ones of them."""

import pytest

from tests.harness.http import HttpHarness

CHECK = '{"Name": "c", "Definition": {"Timeout": %s}}'
BODIES = {
    "PUT /v1/session/create": '{"LockDelay": %s}',
    "PUT /v1/operator/autopilot/configuration": '{"ServerStabilizationTime": %s}',
    "PUT /v1/agent/check/register": '{"Name": "x", "TTL": %s}',
    "PUT /v1/agent/service/register": '{"Name": "x", "Check": {"HTTP": "http://a", "Interval": %s}}',
    "PUT /v1/catalog/register": '{"Node": "z", "Address": "1.1.1.1", "Check": ' + CHECK + "}",
    "PUT /v1/config": '{"Kind": "service-resolver", "Name": "a", "ConnectTimeout": %s}',
}


@pytest.fixture(scope="module")
def harness() -> HttpHarness:
    harness = HttpHarness(connections_per_client=0)
    harness.agent.clock.pump([0.5] * 20)
    return harness


@pytest.mark.parametrize("request_line", BODIES)
@pytest.mark.parametrize(
    "number", ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e30", "-1e300"]
)
def test_it_is_refused(harness: HttpHarness, request_line: str, number: str, faults: list[str]) -> None:
    answer = harness.ask(request_line, BODIES[request_line] % number)
    assert (answer.status, "does not fit into 64 bits" in answer.text) == (400, True), answer.text
    assert faults == []


@pytest.mark.parametrize("request_line", BODIES)
def test_the_longest_one_is_taken(harness: HttpHarness, request_line: str) -> None:
    assert harness.ask(request_line, BODIES[request_line] % "9223372036854775807").status == 200
