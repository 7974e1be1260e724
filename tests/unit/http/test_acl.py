"""Access control through the HTTP API: who may do what, what is filtered, and that nothing kept is handed to others.

The plain cases are recorded ones (tests/conformance-acl); here is what they do not reach.
"""

from typing import Any

import pytest

from consulpy.errors import PermissionDenied
from consulpy.http.api.refused import HEADER
from consulpy.http.api.routes import acl as acl_routes
from consulpy.local.leaf_certificates import LeafResult
from consulpy.rpc.acl import resolver
from consulpy.structs.connect_ca import IssuedCert
from tests.harness.guarded import MASTER, GuardedAgent, GuardedHarness

NOBODY = "cf000000-0000-0000-0000-0000000000ff"


@pytest.fixture
def harness() -> GuardedHarness:
    return GuardedHarness()


def test_who_has_no_right_gets_nothing_and_who_is_nobody_is_told(harness: GuardedHarness) -> None:
    assert (harness.as_("", "GET /v1/kv/a").status, harness.as_("", "GET /v1/kv/a").text) == (403, "Permission denied")
    assert harness.as_(NOBODY, "GET /v1/kv/a").text == "ACL not found"
    assert harness.as_("", "GET /v1/catalog/nodes").json == []
    assert harness.as_(NOBODY, "GET /v1/catalog/nodes").status == 403
    assert harness.as_(MASTER, "GET /v1/kv/a").status == 404
    assert harness.as_("allow", "GET /v1/kv/a").text == "Cannot resolve root ACL"


def test_a_refusal_says_what_was_missing_and_whose_token_it_was(harness: GuardedHarness) -> None:
    token = harness.token('key "a" { policy = "read" }')
    accessor = harness.as_(token, "GET /v1/acl/token/self").json["AccessorID"]
    answer = harness.ask("PUT /v1/kv/a%22b", "1", X_Consul_Token=token, User_Agent="test")
    assert answer.text == "Permission denied"
    assert answer.headers[HEADER.lower()] == f'accessor={accessor}, key:write "a\\"b"'
    assert (
        harness.ask("GET /v1/kv/x", X_Consul_Token=token, User_Agent="t")
        .headers[HEADER.lower()]
        .endswith('key:read "x"')
    )
    assert HEADER.lower() not in harness.as_(token, "PUT /v1/kv/x", "1").headers
    assert token not in answer.headers[HEADER.lower()]


def test_profiles_need_the_right_of_operators_and_are_none_of_a_go_program(harness: GuardedHarness) -> None:
    operator = harness.token('operator = "read"')
    other = harness.token('agent_prefix "" { policy = "write" }')
    for word in ("", "heap", "profile?seconds=1"):
        for token in ("", NOBODY, other):
            answer = harness.as_(token, f"GET /debug/pprof/{word}")
            assert (answer.status, answer.text) == (403, "")
            assert "content-type" not in answer.headers
        for token in (operator, MASTER):
            answer = harness.as_(token, f"GET /debug/pprof/{word}")
            assert (answer.status, "no Go profiles" in answer.text) == (404, True)


def test_the_rules_of_those_who_may_not_write_are_not_parsed(
    harness: GuardedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 MB of rules took seconds, whoever sent them."""
    parsed: list[str] = []
    for module in (acl_routes, resolver):
        monkeypatch.setattr(module, "parse", parsed.append)
    for token in ("", NOBODY):
        answer = harness.as_(token, "PUT /v1/acl/policy", {"Name": "p", "Rules": 'key "a" { policy = "read" }'})
        assert answer.status == 403
    assert parsed == []


def test_a_warning_fits_into_a_clients_limits(harness: GuardedHarness) -> None:
    """Python's `http.client` refuses a header of 64 KiB, Node.js a head of 16, after the policy is written."""
    body = {"Name": "p", "Rules": "a." * 50_000 + " = 1"}
    answer = harness.ask("PUT /v1/acl/policy", body, X_Consul_Token=MASTER, User_Agent="test")
    assert answer.status == 200
    assert len(answer.headers["x-consulpy-warning"]) < 2000


def test_rules_that_mean_nothing_are_stored_with_a_warning(harness: GuardedHarness) -> None:
    body = {"Name": "odd", "Rules": 'keys "a" { policy = "read" }'}
    answer = harness.ask("PUT /v1/acl/policy", body, X_Consul_Token=MASTER, User_Agent="test")
    assert answer.json["Rules"] == body["Rules"]
    assert answer.headers["x-consulpy-warning"] == '"keys" in line 1 means nothing'


def test_secrets_are_never_made_from_what_others_see(harness: GuardedHarness) -> None:
    made = [harness.as_(MASTER, "PUT /v1/acl/token", {}).json["SecretID"] for _ in range(4)]
    other = GuardedHarness()  # the same seed
    assert len({*made, *(other.as_(MASTER, "PUT /v1/acl/token", {}).json["SecretID"] for _ in range(4))}) == 8


def test_an_expired_token_is_nobody_before_and_after_it_is_reaped(harness: GuardedHarness) -> None:
    token = harness.token('key_prefix "" { policy = "read" }', ExpirationTTL="60s")
    assert [harness.as_(token, "GET /v1/kv/a?recurse").status for _ in range(3)] == [404] * 3
    harness.as_(MASTER, "PUT /v1/kv/a", "1")
    assert [harness.as_(token, "GET /v1/kv/a").status for _ in range(3)] == [200] * 3
    harness.agent.server.wall_s = lambda: 1_800_000_061.0  # type: ignore[method-assign]
    harness.agent.server.guard._resolver._wall_s = lambda: 1_800_000_061.0
    assert harness.as_(token, "GET /v1/kv/a").text == "ACL not found"
    assert harness.agent.server.store.acl.token(token) is not None
    harness.agent.leader._acl._wall_s = lambda: 1_800_000_061.0
    harness.agent.clock.advance(1)
    assert harness.agent.server.store.acl.token(token) is None


def test_a_blocked_reader_whose_token_goes_is_refused(harness: GuardedHarness) -> None:
    harness.as_(MASTER, "PUT /v1/kv/a", "1")
    token = harness.token('key "a" { policy = "read" }')
    index = harness.as_(token, "GET /v1/kv/a").headers["x-consul-index"]
    waiting = harness.begin(f"GET /v1/kv/a?index={index}", X_Consul_Token=token)
    assert waiting.answer is None
    accessor = harness.as_(token, "GET /v1/acl/token/self").json["AccessorID"]
    harness.as_(MASTER, f"DELETE /v1/acl/token/{accessor}")
    harness.as_(MASTER, "PUT /v1/kv/a", "2")
    harness.agent.clock.advance(0.1)
    assert waiting.answer is not None
    assert (waiting.answer.status, waiting.answer.text) == (403, "ACL not found")


def test_a_blocked_reader_of_a_key_is_judged_again_when_it_wakes(harness: GuardedHarness) -> None:
    """Real Consul keeps the rights of the start and hands out the new value."""
    harness.as_(MASTER, "PUT /v1/kv/a", "1")
    token = harness.token('key "a" { policy = "read" }')
    index = harness.as_(token, "GET /v1/kv/a").headers["x-consul-index"]
    waiting = harness.begin(f"GET /v1/kv/a?index={index}", X_Consul_Token=token)
    policy = harness.as_(token, "GET /v1/acl/token/self").json["Policies"][0]
    harness.as_(MASTER, f"PUT /v1/acl/policy/{policy['ID']}", {"Name": policy["Name"]})
    harness.as_(MASTER, "PUT /v1/kv/a", "2")
    harness.agent.clock.advance(0.1)
    assert waiting.answer is not None
    assert (waiting.answer.status, waiting.answer.text) == (403, "Permission denied")


def test_the_agents_own_endpoints_ask_too(harness: GuardedHarness) -> None:
    reader = harness.token('agent "agent-one" { policy = "read" } node "agent-two" { policy = "read" }')
    assert harness.as_("", "GET /v1/agent/self").status == 403
    assert harness.as_(reader, "GET /v1/agent/self").status == 200
    assert [row["Name"] for row in harness.as_(reader, "GET /v1/agent/members").json] == ["agent-two"]
    assert [row["Name"] for row in harness.as_(MASTER, "GET /v1/agent/members").json] == ["agent-one", "agent-two"]
    assert harness.as_("", "GET /v1/agent/members").json == []
    assert harness.as_(reader, "PUT /v1/agent/reload").status == 403
    assert harness.as_("", "GET /v1/operator/keyring").text == "Reading keyring denied by ACLs"
    assert harness.as_("", "GET /v1/snapshot").status == 403
    assert harness.as_(reader, "PUT /v1/snapshot", "x").status == 403


def test_the_default_token_stands_in_and_the_emergency_token_stays_here(harness: GuardedHarness) -> None:
    harness.agent.tokens.set("default", harness.token('key "a" { policy = "read" }'))
    assert [harness.as_("", "GET /v1/kv/a").status for _ in range(3)] == [404] * 3
    harness.as_(MASTER, "PUT /v1/kv/a", "1")
    assert [harness.as_("", "GET /v1/kv/a").status for _ in range(3)] == [200] * 3
    harness.agent.tokens.set("default", "")
    assert harness.as_("", "GET /v1/kv/a").status == 403
    harness.agent.tokens.set("agent_master", NOBODY)
    assert harness.as_(NOBODY, "GET /v1/agent/self").status == 200
    assert harness.as_(NOBODY, "GET /v1/agent/self").status == 200
    assert harness.as_(NOBODY, "GET /v1/kv/a").text == "ACL not found"
    assert harness.as_(NOBODY, "PUT /v1/agent/maintenance?enable=true").status == 403


def test_tokens_of_the_agent_are_set_over_http(harness: GuardedHarness) -> None:
    token = harness.token('key "a" { policy = "read" }')
    assert harness.as_(MASTER, "PUT /v1/agent/token/acl_token", {"Token": token}).status == 200
    assert harness.agent.tokens.default == token
    assert harness.as_(MASTER, "PUT /v1/agent/token/nonsense", {"Token": token}).status == 404
    assert harness.as_(MASTER, "PUT /v1/agent/token/default", {"Tokn": token}).status == 400


@pytest.mark.parametrize("path", ["catalog/connect/web", "health/connect/web", "health/connect/web?cached"])
def test_who_may_not_read_a_service_sees_none_of_its_proxies(harness: GuardedHarness, path: str) -> None:
    proxy = {"Kind": "connect-proxy", "Service": "px", "Port": 1, "Proxy": {"DestinationServiceName": "web"}}
    harness.as_(MASTER, "PUT /v1/catalog/register", {"Node": "n", "Address": "10.0.0.1", "Service": proxy})
    node = 'node "n" { policy = "read" } service "px" { policy = "read" }'
    only_proxy, both = harness.token(node), harness.token(node + ' service "web" { policy = "read" }')
    for token, count in ((only_proxy, 0), (both, 1), (only_proxy, 0), (MASTER, 1)):
        answer = harness.as_(token, f"GET /v1/{path}")
        assert (answer.status, len(answer.json)) == (200, count)
        harness.agent.clock.advance(0.1)


class Leafs:
    """Leaf certificates of an agent; during a wait `meanwhile()` happens."""

    def __init__(self, meanwhile: Any) -> None:
        self.meanwhile = meanwhile

    async def read(self, *_: Any, allowed: bool = True, index: int = 0, **__: Any) -> LeafResult:
        if not allowed:
            raise PermissionDenied
        if index:
            self.meanwhile()
        return LeafResult(IssuedCert(service="web", modify_index=7), hit=True)


def test_who_loses_the_right_while_it_waits_gets_no_new_certificate(harness: GuardedHarness) -> None:
    token = harness.token('service "web" { policy = "write" }')
    accessor = harness.as_(token, "GET /v1/acl/token/self").json["AccessorID"]
    kept = Leafs(lambda: None)
    harness.agent.leaf_certificates = kept
    harness.agent.agent_cache = AnyReply()
    path = "GET /v1/agent/connect/ca/leaf/web"
    assert harness.as_(token, path).status == 200
    assert harness.as_(token, f"{path}?index=7").status == 200
    kept.meanwhile = lambda: harness.as_(MASTER, f"PUT /v1/acl/token/{accessor}", {"Policies": []})
    answer = harness.as_(token, f"{path}?index=7")
    assert (answer.status, answer.text) == (403, "Permission denied")


class AnyReply:
    """An agent cache with a reply to everything."""

    async def read(self, *_: Any) -> None:
        """Nothing that is looked at."""


def test_default_allow_lets_all_but_access_control() -> None:
    harness = GuardedHarness(GuardedAgent(default_allows=True).start())
    assert harness.as_("", "PUT /v1/kv/a", "1").status == 200
    assert harness.as_("", "GET /v1/acl/tokens").status == 403
    assert harness.as_("", "GET /v1/snapshot").status == 403
    reader = harness.token('key "a" { policy = "read" }')
    assert harness.as_(reader, "PUT /v1/kv/a", "1").status == 403


def test_listing_keys_may_be_a_right_of_its_own() -> None:
    harness = GuardedHarness(GuardedAgent(lists_keys_by_right=True).start())
    harness.as_(MASTER, "PUT /v1/kv/p/a", "1")
    reader, lister = (harness.token(f'key_prefix "p/" {{ policy = "{verb}" }}') for verb in ("read", "list"))
    assert [harness.as_(token, "GET /v1/kv/p/?keys").status for token in (reader, lister)] == [403, 200]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("policy", {"Name": "p", "Rules": 'key "a" { policy = "read" }', "Datacenters": ["dc1"]}),
        ("role", {"Name": "r", "ServiceIdentities": [{"ServiceName": "web"}]}),
        ("token", {"Description": "t", "NodeIdentities": [{"NodeName": "n", "Datacenter": "dc1"}]}),
    ],
)
def test_what_was_read_may_be_written_back(harness: GuardedHarness, kind: str, body: dict[str, Any]) -> None:
    made = harness.as_(MASTER, f"PUT /v1/acl/{kind}", body).json
    path = f"/v1/acl/{kind}/{made.get('AccessorID') or made['ID']}"
    again = harness.as_(MASTER, f"PUT {path}", harness.as_(MASTER, f"GET {path}").json)
    assert again.status == 200, again.text
    assert again.json == made | {"ModifyIndex": again.json["ModifyIndex"]}
