"""Config entries and discovery chains as Consul 1.8.7 answered for them (tests/conformance_connect).

Each recorded case is replayed without a network: entries are decoded, checked and applied as by one server.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from consulpy.state.store import Store
from tests.harness.config_entries import chain, delete, put

RECORDED = Path(__file__).parents[2] / "conformance_connect"
CASES = {
    case["id"]: case
    for area in ("discovery-chain", "config-entries")
    for case in json.loads((RECORDED / "cases" / f"{area}.json").read_text())
}
GOLDEN = {
    name: answers
    for area in ("discovery-chain", "config-entries")
    for name, answers in json.loads((RECORDED / "golden" / f"{area}.json").read_text()).items()
}
TRUST_DOMAIN = "{{cluster}}.consul"


def replay(case: dict[str, Any]) -> None:
    store, answers = Store(), iter(GOLDEN[case["id"]])
    for step in case["steps"]:
        verb, _, path = step.get("do", "").partition(" ")
        answer = next(answers) if ("do" in step or "join" in step) and not step.get("quiet") else None
        if verb == "PUT" and path == "/v1/config":
            error = put(store, step["body"])
            if answer is not None and answer["status"] == 500:
                assert error == answer["text"]
            else:
                assert bool(error) == (answer is not None and answer["status"] != 200), error
        elif verb == "DELETE" and re.fullmatch(r"/v1/config/service-\w+/.+|/v1/config/proxy-defaults/global", path):
            kind, name = path.removeprefix("/v1/config/").split("/")
            error = delete(store, kind, name)
            assert error == (answer["text"] if answer is not None and answer["status"] != 200 else "")
        elif path.startswith("/v1/discovery-chain/") and answer is not None and "Chain" in answer.get("json", ""):
            name, _, datacenter = path.removeprefix("/v1/discovery-chain/").partition("?compile-dc=")
            assert chain(store, name, TRUST_DOMAIN, datacenter or "dc1") == answer["json"]["Chain"]


REPLAYED = [
    name
    for name, case in CASES.items()
    if not any("cas=" in step.get("do", "") or step.get("to") == "two" for step in case["steps"])
    and not name.endswith(("bad-calls", "through-client"))
]


@pytest.mark.parametrize("name", REPLAYED)
def test_a_recorded_case(name: str) -> None:
    replay(CASES[name])


def test_most_cases_are_replayed() -> None:
    assert len(REPLAYED) > 60
