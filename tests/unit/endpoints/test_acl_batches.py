"""What agents and other datacenters read of access control at once, by tokens without the right to all of it.

Source: the replies of a real server of 1.8.7 to the same calls.
"""

from typing import Any

import pytest

from consulpy.codec.msgpack import pack, unpack
from consulpy.errors import RPCError
from consulpy.rpc.dispatch import serve
from tests.harness.guarded import MASTER, GuardedHarness

ACCESSOR = "cf000000-0000-0000-0002-000000000000"


@pytest.fixture(scope="module")
def harness() -> GuardedHarness:
    return GuardedHarness()


def called(harness: GuardedHarness, method: str, token: str, **fields: Any) -> Any:
    """The reply to a call from the wire. Raises its error."""
    results: list[Any] = []
    body = unpack(pack({"Datacenter": "dc1", "Token": token, **fields}))
    serve(harness.agent.server, method, body).addBoth(results.append)
    [result] = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


@pytest.fixture(scope="module")
def ids(harness: GuardedHarness) -> dict[str, str]:
    policy = harness.as_(MASTER, "PUT /v1/acl/policy", {"Name": "read", "Rules": 'acl = "read"'}).json["ID"]
    role = harness.as_(MASTER, "PUT /v1/acl/role", {"Name": "r", "Policies": [{"ID": policy}]}).json["ID"]
    token = harness.as_(MASTER, "PUT /v1/acl/token", {"AccessorID": ACCESSOR, "Roles": [{"ID": role}]}).json
    weak = harness.as_(MASTER, "PUT /v1/acl/token", {}).json["SecretID"]
    return {"policy": policy, "role": role, "reader": token["SecretID"], "weak": weak}


def test_batches_lack_what_may_not_be_read(harness: GuardedHarness, ids: dict[str, str]) -> None:
    for token, count in ((ids["reader"], 1), (ids["weak"], 0), ("", 0)):
        policies = called(harness, "ACL.PolicyBatchRead", token, PolicyIDs=[ids["policy"]])
        roles = called(harness, "ACL.RoleBatchRead", token, RoleIDs=[ids["role"]])
        tokens = called(harness, "ACL.TokenBatchRead", token, AccessorIDs=[ACCESSOR])
        assert [len(rows) for rows in (policies.policies, roles.roles, tokens.tokens)] == [count] * 3
        assert tokens.removed is not bool(count)
    assert tokens.tokens == []


def test_links_are_resolved_for_their_token_only(harness: GuardedHarness, ids: dict[str, str]) -> None:
    for method, fields in (
        ("ACL.PolicyResolve", {"PolicyIDs": [ids["policy"]]}),
        ("ACL.RoleResolve", {"RoleIDs": [ids["role"]]}),
    ):
        called(harness, method, ids["reader"], **fields)
        refusals = ((ids["weak"], "Permission denied"), ("", "ACL not found"))
        for token, text in refusals:
            with pytest.raises(RPCError) as refused:
                called(harness, method, token, **fields)
            assert str(refused.value) == text


def test_the_old_endpoint_shows_the_management_token_of_the_start(harness: GuardedHarness, ids: dict[str, str]) -> None:
    [row] = harness.as_("", f"GET /v1/acl/info/{MASTER}").json
    assert (row["ID"], row["Name"], row["Type"], row["Rules"]) == (MASTER, "Master Token", "management", "")
    assert harness.as_("", f"GET /v1/acl/info/{ids['reader']}").json == []


def test_a_session_in_a_transaction_needs_the_right_to_its_node() -> None:
    """Consul does not ask for any."""
    harness = GuardedHarness()
    server = harness.agent.server
    create = {"Datacenter": "dc1", "Op": "create", "Session": {"Node": "agent-one"}, "Token": MASTER}
    made: list[Any] = []
    serve(server, "Session.Apply", unpack(pack(create))).addCallback(made.append)
    body = {"Datacenter": "dc1", "Ops": [{"Session": {"Verb": "delete", "Session": {"ID": made[0]}}}]}
    for token in ("", harness.token('session "other" { policy = "write" }'), MASTER):
        replies: list[Any] = []
        serve(server, "Txn.Apply", unpack(pack({**body, "Token": token}))).addCallback(replies.append)
        assert bool(replies[0].errors) is (token != MASTER)
    assert server.store.sessions.find(made[0]) is None
