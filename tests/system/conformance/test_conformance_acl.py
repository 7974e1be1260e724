"""Do agents with access control answer as real Consul does? Hundreds of recorded exchanges (README.md here)."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import hosts

HERE = Path(__file__).parents[2] / "conformance_acl"
PATIENCE_S = 540
#: Cases in which we differ on purpose. Reads that wait are judged again: a policy that changes wakes them, and a lost
#: right ends them. Comments in rules from before 1.4 are not translated.
BETTER = {
    "blocking/policy-change-wakes-nobody",
    "blocking/right-lost-then-key-written",
    "blocking/right-lost-then-tree-written",
    "translate/json-and-comments",
}
#: Areas with cases that depend on seconds: so many of them may differ in one run.
MAY_DIFFER = {"anti-entropy": 1, "blocking": 1, "login": 1, "token": 1}
#: Run side by side: each has the areas of one list.
TURNS = 4


@pytest.mark.peers
@pytest.mark.timeout(PATIENCE_S + 60)
def test_agents_with_access_control_answer_as_consul_does(tmp_path: Path) -> None:
    areas = sorted(path.stem for path in (HERE / "golden").glob("*.json"))
    with ThreadPoolExecutor() as turns:
        reports = turns.map(
            lambda turn: _run(tmp_path / str(turn), f"127.74.{turn + 1}", areas[turn::TURNS]), range(TURNS)
        )
        cases = [case for report in reports for case in report]
    assert sorted({case["area"] for case in cases}) == areas
    failed = [case for case in cases if not case["passed"] and case["id"] not in BETTER]
    differing = {area: [case for case in failed if case["area"] == area] for area in areas}
    too_many = {area: found for area, found in differing.items() if len(found) > MAY_DIFFER.get(area, 0)}
    assert not too_many, json.dumps(too_many, indent=1)


def _run(place: Path, block: str, areas: list[str]) -> list[dict[str, Any]]:
    with hosts(place, None) as (host,):
        report = host.directory / "report.json"
        only = [word for area in areas for word in ("--only", area)]
        command = [sys.executable, str(HERE / "conform"), "run", "--agent", "consulpy", "--consul", "consul", *only]
        host.run(*command, "--block", block, "--json", str(report), check=False, within_s=PATIENCE_S)
        found: list[dict[str, Any]] = json.loads(report.read_text())["cases"]
        return found
