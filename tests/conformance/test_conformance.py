"""Does a pair of consulpy agents answer as real Consul does? Hundreds of recorded exchanges (README.md here)."""

import json
import sys
from pathlib import Path

import pytest

from tests.scenarios.programs import ask, eventually, hosts, members

HERE = Path(__file__).parent
ONE, TWO, PEER = "127.44.0.1", "127.44.0.2", "127.44.0.3"
#: Areas with cases that depend on chance or on seconds: so many of them may differ in one run.
MAY_DIFFER = {"blocking": 1, "cli": 1, "dns-service": 1, "peer": 1, "session": 1}
PATIENCE_S = 540


@pytest.mark.peers
@pytest.mark.timeout(PATIENCE_S + 60)
def test_a_pair_answers_as_consul_does(tmp_path: Path) -> None:
    """One server and one client, fresh; real Consul is the command line, and comes and goes as a third agent."""
    with hosts(tmp_path, None) as (host,):
        for node, address, flags in (
            ("agent-one", ONE, ["-server", "-bootstrap-expect", "1"]),
            ("agent-two", TWO, ["-retry-join", ONE]),
        ):
            data = str(host.directory / node)
            place = ["-node", node, "-bind", address, "-client", address, "-data-dir", data]
            host.start(node, "consulpy", "agent", *place, *flags)
        both = {"agent-one": "alive", "agent-two": "alive"}
        eventually(lambda: members(f"{ONE}:8500") == both, "the two have joined")
        eventually(lambda: len(ask(f"{TWO}:8500/v1/catalog/nodes")) == 2, "both are in the catalog")
        eventually(lambda: len(ask(f"{ONE}:8500/v1/coordinate/nodes")) == 2, "both have told where they are", 60)

        report = tmp_path / "report.json"
        where = ["--http", f"{ONE}:8500", "--dns", f"{ONE}:8600", "--http2", f"{TWO}:8500", "--dns2", f"{TWO}:8600"]
        command = [sys.executable, str(HERE / "conform"), "run", *where, "--consul", "consul", "--peer", PEER]
        done = host.run(
            *command, "--destructive", "--json", str(report), "--lines", "30", check=False, within_s=PATIENCE_S
        )

        cases = json.loads(report.read_text())["cases"]
        areas = sorted({case["area"] for case in cases})
        assert areas == sorted(path.stem for path in (HERE / "golden").glob("*.json"))
        differing = {
            area: [case["id"] for case in cases if case["area"] == area and not case["passed"]] for area in areas
        }
        too_many = {area: ids for area, ids in differing.items() if len(ids) > MAY_DIFFER.get(area, 0)}
        assert not too_many, f"{too_many}\n{done.stdout}"
