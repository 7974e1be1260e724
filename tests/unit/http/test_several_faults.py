"""Requests with two faults: the one that real Consul finds first is named, in its words. Recorded from Consul 1.8.7."""

import json
from typing import Any

import pytest

from tests.harness.http import HttpHarness
from tests.unit.http.record_several_faults import RECORDED

ANSWERS: list[list[Any]] = json.loads(RECORDED.read_text())
ENDPOINTS = sorted({(method, target.partition("?")[0]) for method, target, *_ in ANSWERS})


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_the_first_fault_is_named(method: str, path: str) -> None:
    harness = HttpHarness(connections_per_client=0)
    harness.agent.clock.pump([0.5] * 20)
    for asked, target, body, status, text in ANSWERS:
        if (asked, target.partition("?")[0]) == (method, path):
            given = body if isinstance(body, str) else json.dumps(body)
            answer = harness.ask(f"{method} {target}", given)
            assert (answer.status, answer.text) == (status, text), (target, body)


def test_a_template_without_a_name_is_the_only_one() -> None:
    harness = HttpHarness()
    template = {"Template": {"Type": "name_prefix_match"}, "Service": {"Service": "a"}}
    harness.tell("POST /v1/query", json.dumps(template))
    for other in (template, {**template, "Template": {"Type": "x"}}):
        answer = harness.ask("POST /v1/query", json.dumps(other))
        assert (answer.status, answer.text) == (500, "a query template with an empty name already exists")


@pytest.mark.parametrize(
    ("value", "replaces"),
    [("", True), ("=", True), ("=true", True), ("=1", False), ("=T", False), ("=x", False), ("=false", False)],
)
def test_checks_are_replaced_by_true_only(value: str, replaces: bool) -> None:
    harness = HttpHarness()
    for name, query in (("one", ""), ("two", f"?replace-existing-checks{value}")):
        body = {"Name": "s", "Check": {"CheckID": name, "TTL": "1h"}}
        harness.tell(f"PUT /v1/agent/service/register{query}", json.dumps(body))
    found = sorted(harness.ask("GET /v1/agent/checks").json)
    assert found == (["two"] if replaces else ["one", "two"])


@pytest.mark.parametrize("empty", ["[]", "null"])
def test_the_older_spelling_of_checks_replaces_only_what_is_there(empty: str) -> None:
    harness = HttpHarness()
    harness.agent.clock.pump([0.5] * 20)
    answer = harness.ask("PUT /v1/session/create", f'{{"Checks": ["zz"], "NodeChecks": {empty}}}')
    assert answer.status == 200, answer.text
    shown = harness.ask(f"GET /v1/session/info/{answer.json['ID']}").json[0]
    assert shown["NodeChecks"] == json.loads(empty)


def test_a_transactions_service_needs_a_name() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/catalog/register", '{"Node": "n1", "Address": "1.1.1.1"}')
    operation = {"Service": {"Verb": "set", "Node": "n1", "Service": {}}}
    answer = harness.ask("PUT /v1/txn", json.dumps([operation]))
    assert (answer.status, answer.json["Errors"][0]["What"]) == (
        409,
        "failed inserting service: object missing primary index",
    )


def test_a_node_without_services_has_none() -> None:
    """Null, which clients tell from an empty list; a filter makes a list."""
    harness = HttpHarness()
    harness.tell("PUT /v1/catalog/register", '{"Node": "n1", "Address": "1.1.1.1"}')
    assert harness.ask("GET /v1/catalog/node-services/n1").json["Services"] is None
    assert harness.ask("GET /v1/catalog/node-services/n1?filter=Service==x").json["Services"] == []


@pytest.mark.parametrize("target", ["execute", "explain"])
def test_errors_of_a_query_have_the_headers_of_an_empty_reply(target: str) -> None:
    harness = HttpHarness()
    failed = harness.ask(f"GET /v1/query/x/{target}?dc=dc9")
    assert (failed.status, failed.headers["x-consul-knownleader"]) == (500, "false")
    assert "x-consul-knownleader" not in harness.ask(f"GET /v1/query/x/{target}").headers


@pytest.mark.parametrize(("removes", "tags"), [(True, []), (False, None)])
def test_a_template_that_removes_empty_tags_has_a_list(removes: bool, tags: list[str] | None) -> None:
    harness = HttpHarness()
    template = {"Type": "name_prefix_match", "RemoveEmptyTags": removes}
    harness.tell("POST /v1/query", json.dumps({"Name": "t-", "Template": template, "Service": {"Service": "a"}}))
    assert harness.ask("GET /v1/query/t-x/explain").json["Query"]["Service"]["Tags"] == tags
