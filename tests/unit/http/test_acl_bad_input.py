"""Tokens and links that lead nowhere: never more rights, and Consul's answers. Expired tokens: test_acl.py."""

from typing import Any

import pytest

from tests.harness.guarded import MASTER, GuardedHarness

NOWHERE = "cf000000-0000-0000-0000-0000000000ff"
READS = 'key_prefix "" { policy = "read" }'


@pytest.fixture
def harness() -> GuardedHarness:
    return GuardedHarness()


def made(harness: GuardedHarness, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = harness.as_(MASTER, f"PUT /v1/acl/{kind}", body)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


@pytest.mark.parametrize(("kind", "field"), [("token", "Policies"), ("token", "Roles"), ("role", "Policies")])
@pytest.mark.parametrize("link", [{"Name": "nowhere"}, {"ID": NOWHERE}, {}])
def test_a_link_to_what_is_not_there_is_refused_and_nothing_is_written(
    harness: GuardedHarness, kind: str, field: str, link: dict[str, str]
) -> None:
    """Texts as recorded from 1.8.7, where an unknown id in a role has one of its own."""
    before = harness.as_(MASTER, f"GET /v1/acl/{kind}s").json
    body = {**({"Name": "r"} if kind == "role" else {}), field: [link]}
    answer = harness.as_(MASTER, f"PUT /v1/acl/{kind}", body)
    end = {"Policies": "policy", "Roles": "role"}[field]
    text = f'No such ACL {end} with name "{link.get("Name", "")}"'
    if "ID" in link:
        text = f"No such policy with ID: {NOWHERE}" if kind == "role" else f'No such ACL {end} with ID "{NOWHERE}"'
    assert (answer.status, answer.text) == (500, text)
    assert harness.as_(MASTER, f"GET /v1/acl/{kind}s").json == before


def test_a_role_holds_no_role_so_that_no_circle_is_written(harness: GuardedHarness) -> None:
    """Roles link to policies only: links run from tokens to roles to policies, and nowhere back."""
    one = made(harness, "role", {"Name": "one"})
    for path, body in (("role", {"Name": "two"}), (f"role/{one['ID']}", {"Name": "one"})):
        answer = harness.as_(MASTER, f"PUT /v1/acl/{path}", {**body, "Roles": [{"ID": one["ID"]}]})
        assert (answer.status, answer.text) == (400, 'Bad request: Role decoding failed: json: unknown field "Roles"')
    assert [row["Name"] for row in harness.as_(MASTER, "GET /v1/acl/roles").json] == ["one"]


def test_links_that_lost_their_end_give_no_rights_and_the_others_stay(harness: GuardedHarness) -> None:
    policies = [made(harness, "policy", {"Name": name, "Rules": READS.replace('""', f'"{name}/"')}) for name in "ab"]
    role = made(harness, "role", {"Name": "r", "Policies": [{"Name": "b"}]})
    token = made(harness, "token", {"Policies": [{"Name": "a"}], "Roles": [{"Name": "r"}]})

    def statuses() -> list[int]:
        return [harness.as_(token["SecretID"], f"GET /v1/kv/{name}/x").status for name in "ab"]

    assert statuses() == [404, 404]
    harness.as_(MASTER, f"DELETE /v1/acl/policy/{policies[0]['ID']}")
    assert statuses() == [403, 404]
    harness.as_(MASTER, f"DELETE /v1/acl/role/{role['ID']}")
    assert statuses() == [403, 403]
    left = harness.as_(MASTER, f"GET /v1/acl/token/{token['AccessorID']}").json
    assert (left.get("Policies") or [], left.get("Roles") or []) == ([], [])


def test_a_role_of_another_datacenter_gives_no_rights_here(harness: GuardedHarness) -> None:
    """By its policies and its identities, which name datacenters; the same role with this one does."""
    for name, datacenter in (("there", "dc2"), ("here", "dc1")):
        made(harness, "policy", {"Name": f"p-{name}", "Rules": READS, "Datacenters": [datacenter]})
        identity = {"ServiceName": "web", "Datacenters": [datacenter]}
        node = {"NodeName": "agent-two", "Datacenter": datacenter}
        fields = {"ServiceIdentities": [identity], "NodeIdentities": [node], "Policies": [{"Name": f"p-{name}"}]}
        made(harness, "role", {"Name": name, **fields})
    harness.as_(MASTER, "PUT /v1/catalog/register", {"Node": "agent-two", "Address": "127.35.0.2"})

    def may(role: str) -> list[bool]:
        secret = made(harness, "token", {"Roles": [{"Name": role}]})["SecretID"]
        reads = harness.as_(secret, "GET /v1/kv/a").status == 404
        registers = harness.as_(secret, "PUT /v1/agent/service/register", {"Name": "web"}).status == 200
        node = {"Node": "agent-two", "Address": "127.35.0.3"}
        return [reads, registers, harness.as_(secret, "PUT /v1/catalog/register", node).status == 200]

    assert may("there") == [False, False, False]
    assert may("here") == [True, True, True]


def test_a_token_of_another_datacenter_is_nobody_here(harness: GuardedHarness) -> None:
    other = GuardedHarness()
    foreign = made(other, "token", {"Local": True, "Policies": [{"Name": "global-management"}]})
    assert other.as_(foreign["SecretID"], "GET /v1/acl/tokens").status == 200
    for request in ("GET /v1/kv/a", "GET /v1/acl/tokens", "GET /v1/catalog/nodes", "GET /v1/acl/token/self"):
        answer = harness.as_(foreign["SecretID"], request)
        assert (answer.status, answer.text) == (403, "ACL not found")
