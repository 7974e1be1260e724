"""Do agents with Connect answer as real Consul does? Hundreds of recorded exchanges (conformance_connect/README.md)."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import hosts

HERE = Path(__file__).parents[2] / "conformance_connect"
PATIENCE_S = 540
#: Cases in which we differ on purpose: a private key is never quoted; a member of later versions is accepted; the
#: program's own first lines; the upstreams of one proxy don't decide about another's; the kinds of later versions are
#: known; there is no gRPC port.
BETTER = {
    "start-config/boot-cluster-id",
    "start-config/boot-provider-bad",
    "ca-config/key-is-no-key",
    "authorize/extra-members",
    "merge/upstream-protocol",
    "config-entries/list-all-kinds",
    "dev/connect-is-on",
}
#: Areas with cases that depend on seconds: so many of them may differ in one run.
MAY_DIFFER = {"dcs": 1, "proxy": 1}
#: Run side by side: each has the areas of one list.
TURNS = 4


@pytest.mark.peers
@pytest.mark.timeout(PATIENCE_S + 60)
def test_agents_with_connect_answer_as_consul_does(tmp_path: Path) -> None:
    areas = sorted(path.stem for path in (HERE / "golden").glob("*.json"))
    with ThreadPoolExecutor() as turns:
        reports = turns.map(
            lambda turn: _run(tmp_path / str(turn), f"127.75.{turn + 1}", areas[turn::TURNS]), range(TURNS)
        )
        cases = [case for report in reports for case in report]
    assert sorted({case["area"] for case in cases}) == areas
    wrong: dict[str, Any] = {}
    for area in areas:
        inside = [case for case in cases if case["area"] == area]
        failed = [case for case in inside if not case["passed"] and case["id"] not in BETTER]
        if len(failed) > MAY_DIFFER.get(area, 0):
            wrong[area] = failed
    assert not wrong, json.dumps(wrong, indent=1)


def _run(place: Path, block: str, areas: list[str]) -> list[dict[str, Any]]:
    with hosts(place, None) as (host,):
        report = host.directory / "report.json"
        only = [word for area in areas for word in ("--only", area)]
        command = [sys.executable, str(HERE / "conform"), "run", "--agent", "consulpy", "--consul", "consul", *only]
        host.run(*command, "--block", block, "--json", str(report), check=False, within_s=PATIENCE_S)
        found: list[dict[str, Any]] = json.loads(report.read_text())["cases"]
        return found
