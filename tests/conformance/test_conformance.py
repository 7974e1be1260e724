"""Does a pair of consulpy agents answer as real Consul does? Hundreds of recorded exchanges (README.md here)."""

import json
import sys
from pathlib import Path

import pytest

from tests.scenarios.programs import ask, eventually, hosts, members

HERE = Path(__file__).parent
ONE, TWO, PEER = "127.44.0.1", "127.44.0.2", "127.44.0.3"
#: Areas, and how many of their cases may differ (docs/compatibility.md names them).
MAY_DIFFER = {
    "acl": 0,
    "agent": 0,
    "agent-checks": 0,
    "agent-services": 0,
    "blocking": 0,
    "catalog": 0,
    "cli": 2,
    "client": 0,
    "config": 0,
    "connect": 0,
    "coordinate": 0,
    "dns-node": 0,
    "dns-service": 0,
    "dns-wire": 0,
    "event": 0,
    "health": 0,
    "http": 0,
    "kv": 1,
    "leave": 0,
    "operator": 0,
    "peer": 0,
    "query": 0,
    "session": 0,
    "snapshot": 0,
    "status": 0,
    "txn": 0,
}
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
        assert {case["area"] for case in cases} == MAY_DIFFER.keys()
        differing = {
            area: [case["id"] for case in cases if case["area"] == area and not case["passed"]] for area in MAY_DIFFER
        }
        too_many = {area: ids for area, ids in differing.items() if len(ids) > MAY_DIFFER[area]}
        assert not too_many, f"{too_many}\n{done.stdout}"
