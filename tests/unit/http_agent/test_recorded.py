"""The agent's own endpoints answer as a real agent did: the recorded cases of tests/conformance, step by step.

Steps that ask the catalog are left out (they belong to the whole agent), as are cases that wait for a real check.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from consulpy.checks.runner import Runner
from consulpy.errors import RPCError
from consulpy.http.api.routes import agent_check, agent_health, agent_service
from consulpy.http.api.routing import ROUTES, Query, Request, Response
from consulpy.local import api
from consulpy.local.access import AgentAccess
from consulpy.local.state import LocalState
from consulpy.local.tokens import AgentTokens
from consulpy.structs.node import Node
from tests.fakes.local import Fraction

CONFORMANCE = Path(__file__).parents[2] / "conformance"
ANYTHING = "<...>"
assert all((agent_check, agent_health, agent_service)), "importing them fills the table of routes"


class NoAliases:
    node_name = "agent-one"


class Agent:
    """An agent behind its routes, without a network."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.access = AgentAccess(AgentTokens(), "agent-one")
        node = Node(node="agent-one", address="127.0.0.1", datacenter="dc1")
        self.local = LocalState(node, self.clock, Fraction())
        self.local.starter = Runner(self.clock, Fraction(), NoAliases())  # type: ignore[arg-type]

    def ask(self, step: dict[str, Any]) -> dict[str, Any]:
        """Status, JSON or text, and our own headers, in the form of the recordings."""
        method, _, url = step["do"].partition(" ")
        parts = urlsplit(url)
        body = step.get("body", "")
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        path, tail = routed(parts.path)
        request = Request(method, parts.path, tail, Query(parts.query), lambda _: "", data, "127.0.0.1")
        try:
            if path == "/v1/agent/maintenance":  # another file's route
                answer: Any = api.node_maintenance(self.local, request.query.first())
            else:
                answer = ROUTES[path][method](self, request)  # type: ignore[arg-type]
            if not isinstance(answer, Response | api.Answer):
                got: list[Any] = []
                waiting = answer if isinstance(answer, Deferred) else Deferred.fromCoroutine(answer)
                waiting.addBoth(got.append)
                answer = got[0]
                if isinstance(answer, Failure):
                    answer.raiseException()
        except RPCError as error:
            return {"status": error.http_status, "text": str(error)}
        return shown(answer)


def routed(path: str) -> tuple[str, str]:
    """(route, rest of the path)."""
    if path in ROUTES or path == "/v1/agent/maintenance":
        return path, ""
    found = max((each for each in ROUTES if each.endswith("/") and path.startswith(each)), key=len)
    return found, unquote(path[len(found) :])


def shown(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"status": answer.status}
    if answer.text is not None or answer.body is None:
        found["text"] = answer.text or ""
    else:
        found["json"] = answer.body
    if "X-Consul-Reason" in answer.headers:
        found["reason"] = answer.headers["X-Consul-Reason"]
    return found


def recorded(golden: dict[str, Any]) -> dict[str, Any]:
    found = {key: golden[key] for key in ("status", "json", "text") if key in golden}
    if "x-consul-reason" in golden["headers"]:
        found["reason"] = golden["headers"]["x-consul-reason"]
    return found


def narrowed(found: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
    """What the step compares."""
    if "prefix" in step and found.get("text", "").startswith(step["prefix"]):
        found["text"] = step["prefix"] + ANYTHING
    if "only_keys" in step and "json" in found:
        found["json"] = {key: value for key, value in found["json"].items() if key in step["only_keys"]}
    return _normal(found, bool(step.get("sort")))


def _normal(value: Any, sort: bool) -> Any:
    if isinstance(value, dict):
        return {key: "<hash>" if key == "ContentHash" else _normal(each, sort) for key, each in value.items()}
    if isinstance(value, list):
        items = [_normal(each, sort) for each in value]
        return sorted(items, key=json.dumps) if sort else items
    return value


def ours(step: dict[str, Any]) -> bool:
    return "/v1/agent/" in step.get("do", "") and not step["do"].startswith("GET /v1/health")


def cases() -> list[Any]:
    found = []
    for area in ("agent-services", "agent-checks", "agent"):
        golden = json.loads((CONFORMANCE / "golden" / f"{area}.json").read_text())
        for case in json.loads((CONFORMANCE / "cases" / f"{area}.json").read_text()):
            name = case["id"]
            if area == "agent" and "maintenance" not in name:
                continue
            if any("await" in step and "filter=" in step["await"] for step in case["steps"]) or "ttl-runs-out" in name:
                continue
            found.append(pytest.param(case, golden[name], id=name))
    return found


@pytest.mark.parametrize(("case", "golden"), cases())
def test_recorded_case(case: dict[str, Any], golden: list[dict[str, Any]]) -> None:
    agent = Agent()
    if "fixture" in case:
        fixtures = json.loads((CONFORMANCE / "cases" / "fixtures.json").read_text())
        for step in fixtures[case["fixture"]]["setup"]:
            if ours(step):
                assert agent.ask(step)["status"] == 200, step
    compared = iter(golden)
    for step in case["steps"]:
        if "do" not in step:
            continue
        expected = next(compared) if not step.get("quiet") else None
        if not ours(step):
            continue
        step = json.loads(json.dumps(step).replace("{{target}}", "127.0.0.1:1").replace("{{addr1}}", "127.0.0.1"))
        found = agent.ask(step)
        if expected is not None:
            assert narrowed(found, step) == narrowed(recorded(expected), step), step["do"]


def test_a_ttl_that_runs_out_says_the_last_word() -> None:
    agent = Agent()
    agent.ask({"do": "PUT /v1/agent/check/register", "body": {"ID": "k", "Name": "K", "TTL": "1s"}})
    agent.ask({"do": "PUT /v1/agent/check/pass/k?note=fine"})
    agent.clock.advance(2)
    check = agent.ask({"do": "GET /v1/agent/checks"})["json"]["k"]
    assert check["Output"] == "TTL expired (last output before timeout follows): fine"


def test_one_service_waits_for_its_hash() -> None:
    agent = Agent()
    agent.ask({"do": "PUT /v1/agent/service/register", "body": {"Name": "s"}})
    known = agent.ask({"do": "GET /v1/agent/service/s"})["json"]["ContentHash"]
    request = Request(
        "GET", "/v1/agent/service/s", "s", Query(f"hash={known}&wait=10s"), lambda _: "", b"", "127.0.0.1"
    )
    got: list[Any] = []
    answer: Any = ROUTES["/v1/agent/service/"]["GET"](agent, request)  # type: ignore[arg-type]
    Deferred.fromCoroutine(answer).addBoth(got.append)
    assert got == []
    agent.ask({"do": "PUT /v1/agent/service/register", "body": {"Name": "s", "Port": 1}})
    assert got[0].headers["X-Consul-ContentHash"] != known


def test_namespaces_are_refused() -> None:
    assert Agent().ask({"do": "GET /v1/agent/services?ns=x"})["status"] == 400


def test_plain_text_goes_without_a_charset() -> None:
    agent = Agent()
    request = Request("GET", "", "none", Query("format=text"), lambda _: "", b"", "127.0.0.1")
    answer: Any = agent_health.by_id(agent, request)  # type: ignore[arg-type]
    assert (answer.status, answer.content_type, answer.text) == (404, "text/plain", "ServiceId none not found")
