"""Do agents with Connect answer as real Consul does? Hundreds of recorded exchanges (conformance_connect/README.md)."""

import json
from pathlib import Path

import pytest

from tests.harness.conformance import SUITE_MAX_S, differences

SUITE = Path(__file__).parents[2] / "conformance_connect"
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


@pytest.mark.peers
@pytest.mark.timeout(SUITE_MAX_S + 60)
def test_agents_with_connect_answer_as_consul_does(tmp_path: Path) -> None:
    wrong = differences(SUITE, tmp_path, "127.75", BETTER, MAY_DIFFER)
    assert not wrong, json.dumps(wrong, indent=1)
