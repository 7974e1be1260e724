"""Nodes, services and checks in transactions: every answer here was given by a real agent to the same requests."""

import json
from typing import Any

import pytest

from tests.harness.http import FakeAgent, HttpHarness

STALE = "index is stale"
META = "Couldn't load metadata pair ('bad key', 'v'): Key contains invalid characters"


def node(verb: str, name: str = "", **fields: Any) -> dict[str, Any]:
    return {"Node": {"Verb": verb, "Node": {"Node": name, **fields}}}


def service(verb: str, on: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"Service": {"Verb": verb, "Node": on, "Service": {"ID": name, "Service": name, **fields}}}


def check(verb: str, on: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"Check": {"Verb": verb, "Check": {"Node": on, "CheckID": name, "Name": name, **fields}}}


def ask(harness: HttpHarness, *operations: dict[str, Any]) -> tuple[int, Any]:
    answer = harness.ask("PUT /v1/txn", json.dumps(operations).encode())
    return answer.status, json.loads(answer.text)


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness(FakeAgent().start())


def test_a_null_operation_is_refused_and_the_others_are_not_made(harness: HttpHarness) -> None:
    body = b'[{"Node":{"Verb":"set","Node":{"Node":"n","Address":"10.0.0.1"}}},null]'
    answer = harness.ask("PUT /v1/txn", body)
    assert (answer.status, answer.text) == (400, "Failed to parse body: operation 1 is null")
    assert harness.ask("GET /v1/catalog/node/n").text == "null"


@pytest.fixture
def filled(harness: HttpHarness) -> HttpHarness:
    """A node `n` with a service `s` and a check `c`."""
    made = [node("set", "n", Address="10.0.0.1"), service("set", "n", "s"), check("set", "n", "c", ServiceID="s")]
    assert ask(harness, *made)[0] == 200
    return harness


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (node("get", "x"), 'node "x" doesn\'t exist'),
        (node("set", Address="10.0.0.2"), "Must provide node"),
        (node("set", "m", ID="abc"), "Bad node ID: uuid string is wrong length"),
        (node("cas", "n", ModifyIndex=9999), f'failed to set node "n", {STALE}'),
        (node("cas", "x", ModifyIndex=5), f'failed to set node "x", {STALE}'),
        (node("delete-cas", "n", ModifyIndex=9999), f'failed to delete node "n", {STALE}'),
        (node("delete-cas", "n"), f'failed to delete node "n", {STALE}'),
        (node("delete-cas", "x", ModifyIndex=5), f'failed to delete node "x", {STALE}'),
        (node("delete-cas", "x"), f'failed to delete node "x", {STALE}'),
        (node("frob", "n"), 'unknown Node verb "frob"'),
        (service("get", "x", "s"), 'service "s" on node "x" doesn\'t exist'),
        (service("get", "n", "q"), 'service "q" on node "n" doesn\'t exist'),
        (service("set", "x", "s"), "Missing node registration"),
        (service("set", "n", "q", Service=""), "Must provide service name with ID"),
        (service("cas", "n", "s", ModifyIndex=9999), f'failed to set service "s" on node "n", {STALE}'),
        (service("cas", "n", "s"), f'failed to set service "s" on node "n", {STALE}'),
        (service("cas", "n", "q", ModifyIndex=4), f'failed to set service "q" on node "n", {STALE}'),
        (service("cas", "x", "q", ModifyIndex=4), f'failed to set service "q" on node "x", {STALE}'),
        (service("cas", "x", "q"), "Missing node registration"),
        (service("delete", "n", "q", Service=""), "Must provide service name with ID"),
        (service("delete-cas", "n", "s", ModifyIndex=9999), f'failed to delete service "s" on node "n", {STALE}'),
        (service("delete-cas", "n", "q", ModifyIndex=4), f'failed to delete service "q" on node "n", {STALE}'),
        (service("delete-cas", "n", "q"), f'failed to delete service "q" on node "n", {STALE}'),
        (service("frob", "n", "s"), 'unknown Service verb "frob"'),
        (
            service("set", "n", "m", Meta={"bad key": "v"}),
            f"Invalid Service Meta for node n and serviceID m: {META}",
        ),
        (check("get", "n", "q"), 'check "q" on node "n" doesn\'t exist'),
        (check("get", "x", "c"), 'check "c" on node "x" doesn\'t exist'),
        (check("set", "x", "c"), "Missing node registration"),
        (check("set", "n", "c", ServiceID="nope"), "Missing service registration"),
        (check("set", "n", ""), "failed inserting check: object missing primary index"),
        (check("cas", "n", "c", ModifyIndex=9999), f'failed to set check "c" on node "n", {STALE}'),
        (check("cas", "n", "c"), f'failed to set check "c" on node "n", {STALE}'),
        (check("cas", "n", "q", ModifyIndex=7), f'failed to set check "q" on node "n", {STALE}'),
        (check("delete-cas", "n", "c", ModifyIndex=9999), f'failed to delete check "c" on node "n", {STALE}'),
        (check("delete-cas", "n", "q", ModifyIndex=7), f'failed to delete check "q" on node "n", {STALE}'),
        (check("delete-cas", "n", "q"), f'failed to delete check "q" on node "n", {STALE}'),
        (check("frob", "n", "c"), 'unknown Check verb "frob"'),
        ({"Node": {}}, "Must provide node"),
        ({"Service": {}}, 'unknown Service verb ""'),
        ({"Check": {}}, 'unknown Check verb ""'),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_done(filled: HttpHarness, operation: dict[str, Any], text: str) -> None:
    before = filled.agent.server.store.index
    status, answer = ask(filled, {"KV": {"Verb": "set", "Key": "with-it", "Value": ""}}, operation)
    assert (status, answer["Results"], answer["Errors"]) == (409, None, [{"OpIndex": 1, "What": text}])
    assert filled.ask("GET /v1/kv/with-it").status == 404
    assert before <= filled.agent.server.store.index <= before + 1


@pytest.mark.parametrize(
    "operation",
    [
        node("delete", "x"),
        service("delete", "n", "q"),
        service("delete", "x", "q"),
        check("delete", "n", "q"),
        check("delete", "x", "q"),
        check("delete", "n", ""),
        node("delete", "n"),
    ],
)
def test_to_delete_what_is_not_there_is_no_mistake(filled: HttpHarness, operation: dict[str, Any]) -> None:
    assert ask(filled, operation) == (200, {"Results": [], "Errors": None})


def test_a_wrong_index_of_any_kind_stops_all(filled: HttpHarness) -> None:
    operations = (node("set", "m"), service("cas", "n", "s", ModifyIndex=9), check("get", "n", "zz"), node("frob", "n"))
    status, answer = ask(filled, *operations)
    assert (status, [error["OpIndex"] for error in answer["Errors"]]) == (409, [1, 2, 3])
    assert ask(filled, node("get", "m"))[0] == 409


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ({"Passing": 5, "Warning": 2}, {"Passing": 5, "Warning": 2}),
        ({"Passing": 0, "Warning": 70000}, {"Passing": 1, "Warning": 1}),
        ({"Passing": 5, "Warning": 70000}, {"Passing": 1, "Warning": 1}),
        ({"Passing": 5, "Warning": 0}, {"Passing": 5, "Warning": 0}),
        (None, {"Passing": 1, "Warning": 1}),
    ],
)
def test_a_service_keeps_what_a_real_agent_takes_over(filled: HttpHarness, given: Any, weights: dict[str, int]) -> None:
    more = {"Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "x"}, "Connect": {"Native": True}}
    tagged = {"TaggedAddresses": {"lan": {"Address": "1.2.3.4", "Port": 3}}, "EnableTagOverride": True}
    status, answer = ask(filled, service("set", "n", "w", Weights=given, Address="9.9.9.9", **more, **tagged))
    (result,) = answer["Results"]
    shown = result["Service"]
    assert (status, shown["Weights"], shown["Address"], shown["EnableTagOverride"]) == (200, weights, "9.9.9.9", True)
    assert (shown["Connect"], shown["Proxy"]) == ({}, {"MeshGateway": {}, "Expose": {}})
    assert "Kind" not in shown
    assert "TaggedAddresses" not in shown


def test_a_check_keeps_its_definition_and_no_type(filled: HttpHarness) -> None:
    definition = {"HTTP": "http://x", "Interval": "10s", "Timeout": "2s", "DeregisterCriticalServiceAfter": "1m"}
    _, answer = ask(filled, check("set", "n", "d", Type="tcp", ServiceName="zz", Definition=definition))
    shown = answer["Results"][0]["Check"]
    assert (shown["Type"], shown["Status"], shown["ServiceName"]) == ("", "critical", "zz")
    assert shown["Definition"] == {**definition, "DeregisterCriticalServiceAfter": "1m0s"}


def test_the_catalog_refuses_the_same_metadata(harness: HttpHarness) -> None:
    body = {"Node": "r", "Address": "1.1.1.1", "Service": {"Service": "m", "Meta": {"bad key": "v"}}}
    answer = harness.ask("PUT /v1/catalog/register", json.dumps(body).encode())
    text = f"failed inserting service: Invalid Service Meta for node r and serviceID m: {META}"
    assert (answer.status, answer.text) == (500, text)


def test_the_index_of_a_prefix_without_keys(harness: HttpHarness) -> None:
    """A prefix whose keys were deleted stands where they were deleted; one that never had any, where the table does."""

    def index(path: str) -> int:
        return int(harness.ask(f"GET /v1/kv/{path}").headers["x-consul-index"]) - base

    base = 0
    for key in ("p/a", "q/a"):
        harness.ask(f"PUT /v1/kv/{key}", b"v")
    base = index("p/a")
    harness.ask("DELETE /v1/kv/p/a")
    seen = [index(path) for path in ("p/a", "p?recurse", "p?keys", "q?recurse", "never", "never?recurse", "?recurse")]
    assert seen == [2, 2, 2, 1, 2, 2, 2]
    harness.ask("PUT /v1/kv/q/b", b"v")
    assert [index(path) for path in ("p/a", "p?recurse", "p?keys", "q?recurse", "q/a", "never")] == [3, 2, 2, 3, 1, 3]
    harness.ask("DELETE /v1/kv/zzz")
    harness.ask("DELETE /v1/kv/q?recurse")
    assert [index(path) for path in ("p/a", "p?recurse", "q?recurse", "q/a", "never?keys")] == [5, 2, 5, 5, 5]
