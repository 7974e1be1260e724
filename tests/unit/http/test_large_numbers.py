"""Numbers that 64 bits do not hold: durations are refused (Go makes negative ones of them), floats are taken."""

import json
from urllib.parse import quote

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


@pytest.mark.parametrize("number", ["18446744073709551616", "-" + "9" * 30, "1"])
def test_a_whole_number_is_taken_for_a_coordinate(harness: HttpHarness, number: str, faults: list[str]) -> None:
    """It is written with those of other nodes: one that the wire does not hold would lose them all."""
    vec = f"[{number}, 0, 0, 0, 0, 0, 0, 0]"
    coord = f'{{"Vec": {vec}, "Error": 1, "Adjustment": 0, "Height": 1}}'
    answer = harness.ask("PUT /v1/coordinate/update", f'{{"Node": "agent-one", "Coord": {coord}}}')
    assert answer.status == 200, answer.text
    harness.agent.clock.pump([1.0] * 10)
    assert harness.ask("GET /v1/coordinate/node/agent-one").json[0]["Coord"]["Vec"][0] == float(number)
    assert faults == []


@pytest.mark.parametrize("request_line", BODIES)
def test_the_longest_one_is_taken(harness: HttpHarness, request_line: str) -> None:
    assert harness.ask(request_line, BODIES[request_line] % "9223372036854775807").status == 200


PROXY = (
    '{"Name": "p", "Kind": "connect-proxy", "Port": 1, "Proxy": {"DestinationServiceName": "d", "Config": {"a": %s}}}'
)


@pytest.mark.parametrize(
    ("number", "kept"), [("1" + 25 * "0", 1e25), ("-18446744073709551616", -(2**64)), ("1e17", 1e17)]
)
def test_settings_without_a_type_may_be_large(
    harness: HttpHarness, number: str, kept: float, faults: list[str]
) -> None:
    """They are a float64 each: one that the wire does not hold would keep the service from the catalog for ever."""
    assert harness.ask("PUT /v1/agent/service/register", PROXY % number).status == 200
    harness.agent.clock.pump([1.0] * 10)
    answers = harness.ask("GET /v1/agent/service/p").json, harness.ask("GET /v1/catalog/service/p").json[0]
    assert answers[0]["Proxy"]["Config"] == {"a": kept}
    assert answers[1]["ServiceProxy"]["Config"] == {"a": kept}
    assert faults == []


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "1" + "0" * 50, "[1, {}]", "-1"])
def test_a_number_in_a_proxys_config_is_a_float_if_it_must(
    harness: HttpHarness, number: str, faults: list[str]
) -> None:
    proxy = f'{{"DestinationServiceName": "a", "Config": {{"a": {number}}}}}'
    service = f'{{"Service": "p", "Kind": "connect-proxy", "Port": 1, "Proxy": {proxy}}}'
    answer = harness.ask("PUT /v1/catalog/register", f'{{"Node": "z", "Address": "1.1.1.1", "Service": {service}}}')
    assert (answer.status, answer.text) == (200, "true")
    found = harness.ask("GET /v1/catalog/node-services/z").json["Services"][0]["Proxy"]["Config"]["a"]
    assert found == (json.loads(number) if "[" in number else float(number))
    assert faults == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("18446744073709551616", "value out of range"),
        ("9" * 30 + ".5", "value out of range"),
        ("9" * 30 + "x", "value out of range"),
        ("1.5", "invalid syntax"),
        ("1_0", "invalid syntax"),
        ("x", "invalid syntax"),
        ("\u0663", "invalid syntax"),
    ],
)
def test_a_parameter_is_read_from_its_first_digit_on(harness: HttpHarness, text: str, fault: str) -> None:
    """As Go: what follows digits that are too many is not read."""
    for name in ("flags", "cas"):
        answer = harness.ask(f"PUT /v1/kv/a?{name}={quote(text)}", "x")
        assert (answer.status, answer.text) == (500, f'strconv.ParseUint: parsing "{text}": {fault}')


def test_leading_zeros_do_not_count(harness: HttpHarness) -> None:
    assert harness.ask(f"PUT /v1/kv/zeros?flags={'0' * 5000}7", "x").status == 200
    assert harness.ask("GET /v1/kv/zeros").json[0]["Flags"] == 7


@pytest.mark.parametrize("number", ["1e3", "1E3", "80.0", "80.50", "-1.0", "1e+2", "2E-2", "123456789012345678901.0"])
def test_a_number_of_the_wrong_kind_is_named_as_it_was_written(harness: HttpHarness, number: str) -> None:
    """Recorded: Go repeats the literal."""
    body = f'{{"Node": "z", "Address": "1.1.1.1", "Service": {{"Service": "p", "Port": {number}}}}}'
    answer = harness.ask("PUT /v1/catalog/register", body)
    said = f"json: cannot unmarshal number {number} into Go struct field NodeService.Service.Port of type int"
    assert (answer.status, answer.text) == (400, f"Request decode failed: {said}")
