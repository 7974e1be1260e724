"""Do agents with access control answer as real Consul does? Hundreds of recorded exchanges (README.md here)."""

import json
from pathlib import Path

import pytest

from tests.harness.conformance import SUITE_MAX_S, differences

SUITE = Path(__file__).parents[2] / "conformance_acl"
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


@pytest.mark.peers
@pytest.mark.timeout(SUITE_MAX_S + 60)
def test_agents_with_access_control_answer_as_consul_does(tmp_path: Path) -> None:
    wrong = differences(SUITE, tmp_path, "127.74", BETTER, MAY_DIFFER)
    assert not wrong, json.dumps(wrong, indent=1)
