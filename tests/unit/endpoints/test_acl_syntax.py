"""The syntax that a policy says its rules are in. Source: the replies of a real server of 1.8.7 to the same calls."""

from typing import Any

import pytest

from consulpy.codec.msgpack import pack, unpack
from consulpy.rpc.dispatch import serve
from tests.harness.guarded import MASTER, GuardedHarness

RULES = 'key "a" { policy = "read" }'


@pytest.fixture(scope="module")
def harness() -> GuardedHarness:
    return GuardedHarness()


def answer(harness: GuardedHarness, syntax: int, rules: str) -> Any:
    """The stored policy, or the text of the error."""
    policy = {"Name": f"of-syntax-{syntax}", "Rules": rules, "Syntax": syntax}
    results: list[Any] = []
    body = {"Datacenter": "dc1", "Token": MASTER, "Policy": policy}
    serve(harness.agent.server, "ACL.PolicySet", unpack(pack(body))).addBoth(results.append)
    return str(results[0].value) if hasattr(results[0], "value") else results[0]


@pytest.mark.parametrize("syntax", [0, 1])
def test_a_policy_keeps_the_syntax_of_its_rules(harness: GuardedHarness, syntax: int) -> None:
    assert answer(harness, syntax, RULES).syntax == syntax


@pytest.mark.parametrize("syntax", [2, -5, 2**63 - 1])
def test_rules_in_a_syntax_that_nobody_knows_are_refused(harness: GuardedHarness, syntax: int) -> None:
    assert answer(harness, syntax, RULES) == f"Invalid rules version: {syntax}"
