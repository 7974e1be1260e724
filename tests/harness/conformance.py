"""Runs a suite of recorded exchanges against our agents, its areas side by side, and judges what differs."""

import json
import sys
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.peers.programs import hosts

#: How long a suite may take, in seconds.
SUITE_MAX_S = 540
#: Run side by side: each has the areas of one list.
_TURNS = 4

Case = dict[str, Any]


def differences(
    suite: Path, directory: Path, network: str, better: Collection[str], may_differ: Mapping[str, int]
) -> dict[str, list[Case]]:
    """By area the cases of `suite` that differ from real Consul, where they are more than may differ.

    `network`: the first two numbers of the agents' addresses. `better`: ids of cases in which we differ on purpose.
    """
    areas = sorted(path.stem for path in (suite / "golden").glob("*.json"))
    with ThreadPoolExecutor() as turns:
        reports = turns.map(
            lambda turn: _run(suite, directory / str(turn), f"{network}.{turn + 1}", areas[turn::_TURNS]),
            range(_TURNS),
        )
        cases = [case for report in reports for case in report]
    assert sorted({case["area"] for case in cases}) == areas
    failed = [case for case in cases if not case["passed"] and case["id"] not in better]
    by_area = {area: [case for case in failed if case["area"] == area] for area in areas}
    return {area: found for area, found in by_area.items() if len(found) > may_differ.get(area, 0)}


def _run(suite: Path, directory: Path, block: str, areas: list[str]) -> list[Case]:
    with hosts(directory, None) as (host,):
        report = host.directory / "report.json"
        only = [word for area in areas for word in ("--only", area)]
        command = [sys.executable, str(suite / "conform"), "run", "--agent", "consulpy", "--consul", "consul", *only]
        host.run(*command, "--block", block, "--json", str(report), check=False, within_s=SUITE_MAX_S)
        found: list[Case] = json.loads(report.read_text())["cases"]
        return found
