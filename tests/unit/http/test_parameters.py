"""Parameters that don't parse, combinations that can't be and paths without their last part: as real Consul answers.

parameters.json was recorded from real Consul 1.8.7 (record_parameters.py); what we answer otherwise, and why, is below.
"""

import json
import re
from itertools import groupby
from typing import Any

import pytest

from tests.harness.http import HttpHarness
from tests.unit.http.record_parameters import QUERIES, RECORDED

ANSWERS: dict[str, list[str]] = json.loads(RECORDED.read_text())


def endpoint(request: str) -> str:
    return " ".join(request.split()[:2]).partition("?")[0]


REQUESTS = sorted((endpoint(request), request, answer) for answer, requests in ANSWERS.items() for request in requests)
BY_ENDPOINT = {path: [each[1:] for each in found] for path, found in groupby(REQUESTS, key=lambda each: each[0])}


#: Where we know better, or the stand-in has something else to say: how requests begin.
ELSEWHERE = {
    "the mesh is another datacenter's too": ("/v1/agent/connect/ca/leaf/w?dc=", "/v1/discovery-chain/w?dc="),
    "namespaces are refused first": (
        "/v1/agent/health/service/id/?ns", "/v1/agent/health/service/name/?ns", "/v1/connect/ca/roots?ns",
        "/v1/discovery-chain/?ns", "/v1/kv/?ns",
    ),
    "the stand-in has a keyring": tuple(f"/v1/operator/keyring?{query}" for query in QUERIES if "relay" not in query),
}  # fmt: skip
SKIPPED = tuple(f"GET {target}" for targets in ELSEWHERE.values() for target in targets)


def expected(request: str, answer: str) -> str:
    if request.startswith("GET /v1/catalog/datacenters?"):
        return answer.removesuffix('["dc1"]')  # Consul goes on after its error
    if re.match(r"GET /v1/(query|connect/intentions)[^?]*\?ns=[^&]", request):  # never an answer about something else
        return '400 Bad request: Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature'
    return answer


@pytest.mark.parametrize("path", BY_ENDPOINT)
def test_an_endpoint_refuses_what_consul_refuses_in_its_words(path: str) -> None:
    harness = HttpHarness()
    differences: list[Any] = []
    for request, answer in BY_ENDPOINT[path]:
        if request.startswith(SKIPPED):
            continue
        method, target, body = [*request.split(" ", 2), ""][:3]
        given = harness.ask(f"{method} {target}", body)
        if f"{given.status} {given.text}" != expected(request, answer):
            differences.append((request, answer, f"{given.status} {given.text}"))
    assert not differences


def test_every_family_of_endpoints_was_asked() -> None:
    assert len(BY_ENDPOINT) > 90
    assert sum(map(len, BY_ENDPOINT.values())) > 2500


def test_null_is_zero_where_a_body_is_the_whole_setting() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/operator/autopilot/configuration", {"CleanupDeadServers": None, "LastContactThreshold": None})
    shown = harness.ask("GET /v1/operator/autopilot/configuration").json
    assert (shown["CleanupDeadServers"], shown["LastContactThreshold"], shown["MaxTrailingLogs"]) == (False, "0s", 0)


def test_all_keys_under_a_prefix_are_never_shown_raw() -> None:
    harness = HttpHarness()
    for key in "ab":
        harness.tell(f"PUT /v1/kv/r/{key}", key)
    assert [row["Key"] for row in harness.ask("GET /v1/kv/r?raw&recurse").json] == ["r/a", "r/b"]


def test_without_a_kind_all_config_entries_are_listed() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/config", {"Kind": "service-defaults", "Name": "w"})
    harness.tell("PUT /v1/config", {"Kind": "proxy-defaults", "Name": "global"})
    assert [entry["Kind"] for entry in harness.ask("GET /v1/config/").json] == ["proxy-defaults", "service-defaults"]
    assert harness.ask("DELETE /v1/config/service-defaults/").json == {}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"Kind": "service-resolver", "Name": "w", "Redirect": {}}, "Redirect is empty"),
        ({"Kind": "service-resolver", "Name": "w", "ConnectTimeout": -1}, "Bad ConnectTimeout '-1ns', must be >= 0"),
        (
            {"Kind": "service-resolver", "Name": "w", "Failover": {"*": {"Datacenters": []}}},
            'Bad Failover["*"] one of Service, ServiceSubset, Namespace, or Datacenters is required',
        ),
        (
            {"Kind": "service-resolver", "Name": "w", "Failover": {"*": {"Datacenters": [""]}}},
            'Bad Failover["*"].Datacenters: found empty datacenter',
        ),
        (
            {"Kind": "ingress-gateway", "Name": "w", "Listeners": [{"Port": 0}]},
            "No service declared for listener with port 0",
        ),
        ({"Kind": "terminating-gateway", "Name": "w", "Services": [{"SNI": ""}]}, "Service name cannot be blank."),
        ({"Kind": "service-splitter", "Name": "w", "Splits": [{"Weight": 5}]},
         "the sum of all split weights must be 100, not 5.000000"),
    ],
)  # fmt: skip
def test_entries_that_mean_nothing_are_refused(body: dict[str, Any], text: str) -> None:
    answer = HttpHarness().ask("PUT /v1/config", body)
    assert (answer.status, answer.text) == (500, text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x", "UUID must be 36 characters"),
        ("z" * 36, "Invalid UUID: encoding/hex: invalid byte: U+007A 'z'"),
        ("0" * 31 + "-----", 'UUID should have maximum of 4 "-"; got 5'),
        ("0" * 35 + "-", "Input (without hyphens) must be even length"),
        ("0" * 34 + "%C3%A9", "Invalid UUID: encoding/hex: invalid byte: U+00C3 'Ã'"),
    ],
)
def test_what_is_no_id_is_refused_as_the_index_of_ids_does(text: str, fault: str) -> None:
    harness = HttpHarness()
    for path, what in (("session/info", "session"), ("query", "prepared query"), ("connect/intentions", "intention")):
        answer = harness.ask(f"GET /v1/{path}/{text}")
        assert answer.text.endswith(f"failed {what} lookup: index error: {fault}")
    body = {"Name": "q", "Service": {"Service": "s"}, "Session": "x"}
    answer = harness.ask("POST /v1/query", body)
    assert (answer.status, answer.text) == (500, "invalid session: index error: UUID must be 36 characters")


def test_pretty_answers_have_the_numbers_of_plain_ones() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/catalog/register", {"Node": "n", "Address": "10.0.0.1"})
    coord = {"Vec": [0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-5}
    harness.tell("PUT /v1/coordinate/update", {"Node": "n", "Coord": coord})
    harness.agent.clock.advance(10)
    assert '"Height": 0.00001\n' in harness.ask("GET /v1/coordinate/nodes?pretty").text


def test_the_web_page_sees_null_where_there_are_no_tags() -> None:
    harness = HttpHarness()
    check = {"Name": "c", "Status": "passing"}
    harness.tell("PUT /v1/catalog/register", {"Node": "n", "Address": "a", "Service": {"Service": "s"}, "Check": check})
    node = harness.ask("GET /v1/internal/ui/node/n").json
    assert (node["Services"][0]["Tags"], node["Checks"][0]["ServiceTags"]) == (None, None)
