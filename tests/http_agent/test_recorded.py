"""The agent's own endpoints answer as a real agent did: the recorded cases of tests/conformance, step by step.

Steps that ask the catalog are left out (they belong to the whole agent), as are cases that wait for a real check.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from twisted.internet.task import Clock

from consulpy.checks.runner import Runner
from consulpy.errors import RPCError
from consulpy.local import api
from consulpy.local.api import Answer
from consulpy.local.state import LocalState
from consulpy.structs.node import Node
from tests.local.fakes import Fraction

CONFORMANCE = Path(__file__).parents[1] / "conformance"
ANYTHING = "<...>"


class NoAliases:
    node_name = "agent-one"


class Agent:
    """An agent without HTTP: requests go to `consulpy.local.api` by their path."""

    def __init__(self) -> None:
        self.clock = Clock()
        node = Node(node="agent-one", address="127.0.0.1", datacenter="dc1")
        self.local = LocalState(node, self.clock, Fraction())
        self.local.starter = Runner(self.clock, Fraction(), NoAliases())  # type: ignore[arg-type]
        self.routes: list[tuple[str, Callable[[str, dict[str, str], bytes], Answer]]] = [
            ("GET /v1/agent/services", lambda _, query, __: api.services(self.local, query.get("filter", ""))),
            ("GET /v1/agent/checks", lambda _, query, __: api.checks(self.local, query.get("filter", ""))),
            ("GET /v1/agent/service/", lambda rest, *_: api.service(self.local, rest)),
            (
                "PUT /v1/agent/service/register",
                lambda _, query, body: api.register_service(
                    self.local, body, replace_existing_checks="replace-existing-checks" in query
                ),
            ),
            ("PUT /v1/agent/service/deregister/", lambda rest, *_: api.deregister_service(self.local, rest)),
            (
                "PUT /v1/agent/service/maintenance/",
                lambda rest, query, _: api.service_maintenance(self.local, rest, query),
            ),
            ("PUT /v1/agent/maintenance", lambda _, query, __: api.node_maintenance(self.local, query)),
            ("PUT /v1/agent/check/register", lambda _, __, body: api.register_check(self.local, body)),
            ("PUT /v1/agent/check/deregister/", lambda rest, *_: api.deregister_check(self.local, rest)),
            ("PUT /v1/agent/check/update/", lambda rest, _, body: api.update_check(self.local, rest, body)),
            ("PUT /v1/agent/check/pass/", self.setter("passing")),
            ("PUT /v1/agent/check/warn/", self.setter("warning")),
            ("PUT /v1/agent/check/fail/", self.setter("critical")),
            (
                "GET /v1/agent/health/service/id/",
                lambda rest, query, _: api.health_by_id(self.local, rest, text=query.get("format") == "text"),
            ),
            (
                "GET /v1/agent/health/service/name/",
                lambda rest, query, _: api.health_by_name(self.local, rest, text=query.get("format") == "text"),
            ),
        ]

    def setter(self, status: str) -> Callable[[str, dict[str, str], bytes], Answer]:
        return lambda rest, query, _: api.set_check(self.local, rest, status, query.get("note", ""))

    def ask(self, step: dict[str, Any]) -> dict[str, Any]:
        """Status, JSON or text, and our own headers, in the form of the recordings."""
        method, _, url = step["do"].partition(" ")
        parts = urlsplit(url)
        body = step.get("body", "")
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        for pattern, handle in self.routes:
            wanted, _, prefix = pattern.partition(" ")
            if method == wanted and (parts.path == prefix or (prefix.endswith("/") and parts.path.startswith(prefix))):
                try:
                    answer = handle(unquote(parts.path[len(prefix) :]), query, data)
                except RPCError as error:
                    return {"status": error.http_status, "text": str(error)}
                return shown(answer)
        raise AssertionError(f"no route for {step['do']}")


def shown(answer: Answer) -> dict[str, Any]:
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
