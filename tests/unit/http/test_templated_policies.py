"""Templated policies (1.17) as Terraform, Nomad and py-consul write them, and `builtin/global-read-only` (1.15.5)."""

from typing import Any

import pytest
from twisted.internet.defer import fail

from consulpy.acl.rules import parse
from consulpy.acl.templates import TEMPLATES
from consulpy.codec.msgpack import pack
from consulpy.errors import RPCError
from consulpy.structs.acl import GLOBAL_READ_ONLY, GLOBAL_READ_ONLY_ID, TemplatedPolicy, TemplateVariables, Token
from consulpy.structs.acl_requests import TokenReply
from tests.fakes.quorum import FakeQuorum
from tests.harness.guarded import MASTER, GuardedHarness


@pytest.fixture
def harness() -> GuardedHarness:
    return GuardedHarness()


def templated(name: str, variable: str = "", *datacenters: str) -> dict[str, Any]:
    found: dict[str, Any] = {"TemplateName": name}
    if variable:
        found["TemplateVariables"] = {"name": variable}
    return found | ({"Datacenters": list(datacenters)} if datacenters else {})


def token_of(harness: GuardedHarness, *policies: dict[str, Any]) -> str:
    answer = harness.as_(MASTER, "PUT /v1/acl/token", {"TemplatedPolicies": list(policies)})
    assert answer.status == 200, answer.text
    assert answer.json["TemplatedPolicies"] == list(policies)
    return str(answer.json["SecretID"])


def allows(harness: GuardedHarness, token: str, resource: str, segment: str, access: str) -> bool:
    body = f'[{{"Resource": "{resource}", "Access": "{access}", "Segment": "{segment}"}}]'
    return bool(harness.as_(token, "POST /v1/internal/acl/authorize", body).json[0]["Allow"])


def test_all_templates_are_listed_and_each_can_be_read(harness: GuardedHarness) -> None:
    found = harness.as_(MASTER, "GET /v1/acl/templated-policies").json
    names = ["api-gateway", "dns", "node", "nomad-client", "nomad-server", "service"]
    assert list(found) == [f"builtin/{name}" for name in names]
    for name, each in found.items():
        assert each.keys() == {"TemplateName", "Schema", "Template", "Description"}
        assert harness.as_(MASTER, f"GET /v1/acl/templated-policy/name/{name}").json == each
        assert parse(TEMPLATES[name].rules("x")).named
    assert harness.as_(MASTER, "GET /v1/acl/templated-policy/name/builtin/none").status == 400
    assert harness.as_("", "GET /v1/acl/templated-policies").status == 403


def test_a_preview_shows_the_rules_and_stores_nothing(harness: GuardedHarness) -> None:
    before = harness.agent.log.store.index
    found = harness.as_(MASTER, "POST /v1/acl/templated-policy/preview/builtin/service", {"Name": "api"}).json
    assert 'service "api-sidecar-proxy"' in found["Rules"]
    assert found["Name"].startswith("synthetic-policy-")
    other = harness.as_(MASTER, "POST /v1/acl/templated-policy/preview/builtin/service", {"Name": "db"}).json
    assert other["Name"] != found["Name"]
    assert harness.as_(MASTER, "POST /v1/acl/templated-policy/preview/builtin/dns").status == 200
    assert harness.as_(MASTER, "POST /v1/acl/templated-policy/preview/builtin/service", {"Name": ""}).status == 400
    assert harness.agent.log.store.index == before


@pytest.mark.parametrize(
    ("policy", "granted", "refused"),
    [
        (templated("builtin/service", "api"), ("service", "api-sidecar-proxy", "write"), ("service", "x", "write")),
        (templated("builtin/node", "n1"), ("node", "n1", "write"), ("node", "n2", "write")),
        (templated("builtin/dns"), ("query", "q", "read"), ("query", "q", "write")),
        (templated("builtin/nomad-server"), ("acl", "", "write"), ("key", "k", "read")),
        (templated("builtin/nomad-client"), ("key", "k", "read"), ("acl", "", "read")),
        (templated("builtin/api-gateway", "gw"), ("service", "gw", "write"), ("service", "web", "write")),
    ],
)
def test_each_template_grants_its_rights_and_no_others(
    harness: GuardedHarness, policy: dict[str, Any], granted: tuple[str, str, str], refused: tuple[str, str, str]
) -> None:
    token = token_of(harness, policy)
    assert allows(harness, token, *granted)
    assert not allows(harness, token, *refused)


def test_a_role_has_them_and_only_in_its_datacenters(harness: GuardedHarness) -> None:
    policies = [templated("builtin/service", "here", "dc1"), templated("builtin/service", "there", "dc2")]
    role = harness.as_(MASTER, "PUT /v1/acl/role", {"Name": "r", "TemplatedPolicies": policies}).json
    assert role["TemplatedPolicies"] == policies
    assert harness.as_(MASTER, f"GET /v1/acl/role/{role['ID']}").json == role
    token = harness.as_(MASTER, "PUT /v1/acl/token", {"Roles": [{"Name": "r"}]}).json["SecretID"]
    assert allows(harness, token, "service", "here", "write")
    assert not allows(harness, token, "service", "there", "write")
    harness.as_(MASTER, f"PUT /v1/acl/role/{role['ID']}", {"Name": "r"})
    assert not allows(harness, token, "service", "here", "write")


def test_a_token_that_was_read_may_be_written_back(harness: GuardedHarness) -> None:
    token = token_of(harness, templated("builtin/node", "n1"))
    own = harness.as_(token, "GET /v1/acl/token/self").json
    changed = harness.as_(MASTER, f"PUT /v1/acl/token/{own['AccessorID']}", own | {"Namespace": "default"})
    assert changed.json["TemplatedPolicies"] == own["TemplatedPolicies"]
    assert changed.json["Hash"] == own["Hash"]
    listed = harness.as_(MASTER, "GET /v1/acl/tokens").json
    assert own["TemplatedPolicies"] in [each.get("TemplatedPolicies") for each in listed]
    clone = harness.as_(MASTER, f"PUT /v1/acl/token/{own['AccessorID']}/clone", {}).json
    assert clone["TemplatedPolicies"] == own["TemplatedPolicies"]


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ({}, "missing the template name"),
        (templated("builtin/none"), 'no such ACL templated policy with Name "builtin/none"'),
        (templated("builtin/service"), "name is required"),
        (templated("builtin/dns", "x"), "has no variables"),
        (templated("builtin/node", 'x" { policy = "write" } operator = "write" node "y'), "invalid name"),
        (templated("builtin/service", "Web"), "invalid name"),
        ({**templated("builtin/dns"), "Colour": 1}, "Colour"),
    ],
)
@pytest.mark.parametrize("where", ["token", "role"])
def test_a_bad_one_is_refused_by_name(harness: GuardedHarness, where: str, policy: dict[str, Any], text: str) -> None:
    body = {"TemplatedPolicies": [policy]} | ({"Name": "x"} if where == "role" else {})
    answer = harness.as_(MASTER, f"PUT /v1/acl/{where}", body)
    assert answer.status in (400, 500)
    assert text in answer.text
    assert harness.as_(MASTER, "GET /v1/acl/roles").json == []


def test_servers_of_1_8_7_are_never_told_of_them(harness: GuardedHarness) -> None:
    """They would drop the field, and with it the rights."""
    call = harness.agent.caller.call

    def as_1_8_7(method: str, *rest: Any) -> Any:
        return fail(RPCError(f"rpc: can't find method {method}")) if "Templated" in method else call(method, *rest)

    harness.agent.caller.call = as_1_8_7
    answer = harness.as_(MASTER, "PUT /v1/acl/token", {"TemplatedPolicies": [templated("builtin/dns")]})
    assert (answer.status, "1.17" in answer.text) == (400, True)
    assert harness.as_(MASTER, "PUT /v1/acl/token", {"TemplatedPolicies": None}).status == 200


def test_a_quorum_with_a_server_of_1_8_7_takes_none(harness: GuardedHarness) -> None:
    harness.agent.server.quorum = FakeQuorum()  # type: ignore[assignment]
    answer = harness.as_(MASTER, "PUT /v1/acl/token", {"TemplatedPolicies": [templated("builtin/dns")]})
    assert answer.status == 500
    assert "127.0.0.2:8300" in answer.text
    assert harness.as_(MASTER, "PUT /v1/acl/token", {"Description": "x"}).status == 200


def test_the_field_is_on_the_wire_only_where_it_is_set() -> None:
    assert "TemplatedPolicies" not in Token().to_wire()
    token = Token(templated_policies=[TemplatedPolicy("builtin/dns")])
    assert TokenReply.unpack(TokenReply(token=token).pack()).token == token


@pytest.mark.parametrize("link", [{"ID": GLOBAL_READ_ONLY_ID}, {"Name": GLOBAL_READ_ONLY}])
def test_the_policy_of_those_who_only_read(harness: GuardedHarness, link: dict[str, str]) -> None:
    by_id = harness.as_(MASTER, f"GET /v1/acl/policy/{GLOBAL_READ_ONLY_ID}").json
    assert by_id["Name"] == GLOBAL_READ_ONLY
    assert harness.as_(MASTER, f"GET /v1/acl/policy/name/{GLOBAL_READ_ONLY}").json == by_id
    assert len(harness.as_(MASTER, "GET /v1/acl/policies").json) == 1
    made = harness.as_(MASTER, "PUT /v1/acl/token", {"Policies": [link]}).json
    assert made["Policies"] == [{"ID": GLOBAL_READ_ONLY_ID, "Name": GLOBAL_READ_ONLY}]
    for resource, segment in (("key", "k"), ("node", "n"), ("operator", ""), ("acl", ""), ("keyring", "")):
        assert allows(harness, made["SecretID"], resource, segment, "read")
        assert not allows(harness, made["SecretID"], resource, segment, "write")
    assert len(harness.as_(MASTER, "GET /v1/acl/policies").json) == 2
    change = harness.as_(MASTER, f"PUT /v1/acl/policy/{GLOBAL_READ_ONLY_ID}", by_id | {"Rules": 'acl = "write"'})
    assert change.status == 500
    assert "not permitted" in harness.as_(MASTER, f"DELETE /v1/acl/policy/{GLOBAL_READ_ONLY_ID}").text


def test_tokens_of_a_service_are_listed(harness: GuardedHarness) -> None:
    """`?servicename=` (1.17)."""
    token_of(harness, templated("builtin/service", "web"))
    harness.as_(MASTER, "PUT /v1/acl/token", {"ServiceIdentities": [{"ServiceName": "web"}], "Description": "identity"})
    harness.as_(MASTER, "PUT /v1/acl/token", {"ServiceIdentities": [{"ServiceName": "db"}]})
    found = harness.as_(MASTER, "GET /v1/acl/tokens?servicename=web").json
    assert sorted(each["Description"] for each in found) == ["", "identity"]
    assert harness.as_(MASTER, "GET /v1/acl/tokens?servicename=none").json == []
    assert harness.as_(MASTER, "GET /v1/acl/tokens?servicename=web&policy=x").status == 400


def test_a_token_is_shown_with_all_that_it_is_granted_by(harness: GuardedHarness) -> None:
    """`consul acl token read -expanded` (1.12)."""
    harness.as_(MASTER, "PUT /v1/acl/policy", {"Name": "p", "Rules": 'operator = "read"'})
    harness.as_(MASTER, "PUT /v1/acl/policy", {"Name": "q", "Rules": 'acl = "read"'})
    harness.as_(MASTER, "PUT /v1/acl/role", {"Name": "r", "Policies": [{"Name": "q"}]})
    made = harness.as_(MASTER, "PUT /v1/acl/token", {"Policies": [{"Name": "p"}], "Roles": [{"Name": "r"}]}).json
    path = f"GET /v1/acl/token/{made['AccessorID']}?expanded"
    found = harness.as_(MASTER, path).json
    assert [each["Rules"] for each in found["ExpandedPolicies"]] == ['operator = "read"', 'acl = "read"']
    assert [each["Name"] for each in found["ExpandedRoles"]] == ["r"]
    assert (found["AgentACLDefaultPolicy"], found["ResolvedByAgent"]) == ("deny", "agent-one")
    assert found["SecretID"] == made["SecretID"]
    assert harness.as_(token_of(harness, templated("builtin/dns")), path).status == 403
    assert harness.as_(MASTER, f"GET /v1/acl/token/{MASTER}?expanded").status == 403
    bare = harness.as_(MASTER, f"GET /v1/acl/token/{made['AccessorID']}").json
    assert "ExpandedPolicies" not in bare


@pytest.mark.parametrize("name", ["name", "Name", "NAME"])
def test_variables_are_taken_in_any_case_and_shown_as_newer_versions_do(harness: GuardedHarness, name: str) -> None:
    """py-consul's tests, which ran against Consul 1.22: `TemplateVariables.name`."""
    policy = {"TemplateName": "builtin/service", "TemplateVariables": {name: "web"}}
    made = harness.as_(MASTER, "PUT /v1/acl/token", {"TemplatedPolicies": [policy]}).json
    assert made["TemplatedPolicies"][0]["TemplateVariables"] == {"name": "web"}
    body = pack({name.encode(): b"web"})
    assert TemplateVariables.unpack(body).name == ("web" if name != "NAME" else "")
