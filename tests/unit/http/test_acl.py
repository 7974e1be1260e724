"""Access control through the HTTP API: who may do what, what is filtered, and that nothing kept is handed to others.

The plain cases are recorded ones (tests/conformance-acl); here is what they do not reach.
"""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from consulpy.acl.auth_config import KubernetesConfig
from consulpy.acl.binding import ServiceAccount
from consulpy.errors import PermissionDenied
from consulpy.http.api.refused import HEADER
from consulpy.local.leaf_certificates import LeafResult
from consulpy.structs.connect_ca import IssuedCert
from tests.harness.effort import cases
from tests.harness.guarded import MASTER, GuardedAgent, GuardedHarness

NOBODY = "cf000000-0000-0000-0000-0000000000ff"

#: A JWT without a signature.
JWT = "eyJhbGciOiJub25lIn0.e30.eA"


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


REQUESTS = (
    "GET /v1/kv/a", "GET /v1/kv/b", "GET /v1/kv/?recurse", "GET /v1/kv/?keys", "GET /v1/catalog/nodes",
    "GET /v1/catalog/services", "GET /v1/catalog/service/web", "GET /v1/health/service/web?passing",
    "GET /v1/catalog/node/n1", "GET /v1/health/state/any", "GET /v1/agent/members", "GET /v1/health/node/n1",
    "GET /v1/catalog/nodes?stale", "GET /v1/health/service/web?cached", "GET /v1/catalog/services?cached",
)  # fmt: skip
RULES = (
    "", 'key "a" { policy = "read" }', 'key_prefix "" { policy = "read" }', 'node_prefix "" { policy = "read" }',
    'key_prefix "" { policy = "read" } key "b" { policy = "deny" }',
    'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }',
    'node "n1" { policy = "read" } service "web" { policy = "read" }', 'service "db" { policy = "read" }',
)  # fmt: skip


class Weather:
    """Random changes of data and rights."""

    def __init__(self, harness: GuardedHarness, seed: int) -> None:
        self.harness, self.rng = harness, Random(seed)
        self.policies: list[str] = []
        self.secrets: list[str] = [""]
        self.accessors: list[str] = []
        self.master("PUT /v1/acl/role", {"Name": "r"})
        for number in range(4):
            made = self.master("PUT /v1/acl/policy", {"Name": f"p{number}", "Rules": self.rng.choice(RULES)})
            self.policies.append(made.json["ID"])
            self.make_token()

    def master(self, request: str, body: Any = b"") -> Any:
        return self.harness.as_(MASTER, request, body)

    def links(self) -> list[dict[str, str]]:
        return [
            {"ID": each} for each in self.rng.sample(self.policies, min(self.rng.randint(0, 2), len(self.policies)))
        ]

    def make_token(self) -> None:
        body: dict[str, Any] = {"Policies": self.links()}
        if self.rng.random() < 0.3:
            body["Roles"] = [{"Name": "r"}]
        made = self.master("PUT /v1/acl/token", body).json
        self.secrets.append(made["SecretID"])
        self.accessors.append(made["AccessorID"])

    def change(self) -> None:
        rng = self.rng
        kind = rng.randrange(9)
        if kind == 0:
            at = rng.randrange(len(self.policies))
            self.master(f"PUT /v1/acl/policy/{self.policies[at]}", {"Name": f"p{at}", "Rules": rng.choice(RULES)})
        elif kind == 1:
            self.master(f"PUT /v1/acl/token/{rng.choice(self.accessors)}", {"Policies": self.links()})
        elif kind == 2:
            role = self.master("GET /v1/acl/role/name/r").json["ID"]
            self.master(f"PUT /v1/acl/role/{role}", {"Name": "r", "Policies": self.links()})
        elif kind == 3:
            self.make_token()
        elif kind == 4 and len(self.accessors) > 2:
            self.master(f"DELETE /v1/acl/token/{rng.choice(self.accessors)}")
        elif kind == 5:
            self.harness.agent.tokens.set("default", rng.choice(self.secrets))
        elif kind == 6:
            self.master(f"PUT /v1/kv/{rng.choice('ab')}", str(rng.random()))
        elif kind == 7:
            self.master(f"DELETE /v1/kv/{rng.choice('ab')}")
        else:
            name, service = rng.choice(("n1", "n2")), rng.choice(("web", "db"))
            body = {"Node": name, "Address": "10.0.0.1", "Service": {"Service": service, "Port": rng.randint(1, 9)}}
            self.master("PUT /v1/catalog/register", body)


def shown(answer: Any) -> tuple[int, Any, Any]:
    """What matters of an answer: one that was kept is not distinguished by its age."""
    body = json.loads(answer.body) if answer.headers.get("content-type") == "application/json" else answer.body
    return answer.status, body, answer.headers.get("x-consul-index")


@pytest.mark.parametrize("seed", range(cases(12)))
def test_what_is_kept_is_what_the_plain_way_gives(seed: int) -> None:
    agent = GuardedAgent().start()
    kept, plain = GuardedHarness(agent), GuardedHarness(agent, use_cache=False)
    plain.service.cache.enabled = False
    weather = Weather(kept, seed)
    for _ in range(cases(120)):
        weather.change()
        agent.clock.advance(0.1)  # copies for `?cached` are refreshed after a moment
        for _ in range(weather.rng.randint(1, 6)):
            request, secret = weather.rng.choice(REQUESTS), weather.rng.choice(weather.secrets)
            for _ in range(3):
                got, wanted = kept.as_(secret, request), plain.as_(secret, request)
                assert shown(got) == shown(wanted), (request, secret)
    assert kept.service.cache.hits > 50, "nothing was kept: nothing was shown"


def test_tokens_with_equal_rights_share_what_is_kept(harness: GuardedHarness) -> None:
    harness.as_(MASTER, "PUT /v1/kv/a", "1")
    rules = 'key "a" { policy = "read" }'
    first, second, other = harness.token(rules), harness.token(rules), harness.token('key "a" { policy = "deny" }')
    for _ in range(3):
        harness.as_(first, "GET /v1/kv/a")
    hits = harness.service.cache.hits
    assert harness.as_(second, "GET /v1/kv/a").json[0]["Key"] == "a"
    assert harness.ask("GET /v1/kv/a", Authorization=f"Bearer {second}").json[0]["Key"] == "a"
    assert harness.service.cache.hits == hits + 2
    assert harness.as_(other, "GET /v1/kv/a").status == 403
    assert harness.ask("GET /v1/kv/a", X_Consul_Token=other, Authorization=f"Bearer {second}").status == 403
    assert harness.as_("", "GET /v1/kv/a").status == 403
    assert harness.as_(NOBODY, "GET /v1/kv/a").status == 403
    accessor = harness.as_(second, "GET /v1/acl/token/self").json["AccessorID"]
    harness.as_(MASTER, f"PUT /v1/acl/token/{accessor}", {"Policies": []})
    assert harness.as_(second, "GET /v1/kv/a").status == 403
    assert harness.as_(first, "GET /v1/kv/a").status == 200


def test_an_answer_is_shared_only_as_it_was_computed(harness: GuardedHarness) -> None:
    """The first token's rights change, and its request is answered with others: the second one's stay as they are."""
    for key in ("a", "b"):
        harness.as_(MASTER, f"PUT /v1/kv/{key}", "1")
    one, both = 'key "a" { policy = "read" }', 'key_prefix "" { policy = "read" }'
    first, second, wide = harness.token(one), harness.token(one), harness.token(both)
    for _ in range(3):
        assert harness.as_(first, "GET /v1/kv/?keys").json == ["a"]
    accessor = harness.as_(first, "GET /v1/acl/token/self").json["AccessorID"]
    links = harness.as_(wide, "GET /v1/acl/token/self").json["Policies"]
    harness.as_(MASTER, f"PUT /v1/acl/token/{accessor}", {"Policies": links})
    for _ in range(3):
        assert harness.as_(first, "GET /v1/kv/?keys").json == ["a", "b"]
    assert harness.as_(second, "GET /v1/kv/?keys").json == ["a"]


def test_an_expired_token_shares_nothing(harness: GuardedHarness) -> None:
    harness.as_(MASTER, "PUT /v1/kv/a", "1")
    rules = 'key "a" { policy = "read" }'
    first, short = harness.token(rules), harness.token(rules, ExpirationTTL="2m")
    for _ in range(3):
        harness.as_(first, "GET /v1/kv/a")
    assert harness.as_(short, "GET /v1/kv/a").status == 200
    harness.agent.clock.advance(121)
    assert harness.as_(short, "GET /v1/kv/a").text == "ACL not found"
    assert harness.as_(first, "GET /v1/kv/a").status == 200


def test_a_deleted_token_leaves_no_answer_behind(harness: GuardedHarness) -> None:
    harness.as_(MASTER, "PUT /v1/kv/a", "1")
    token = harness.token('key "a" { policy = "read" }')
    assert [harness.as_(token, "GET /v1/kv/a").status for _ in range(4)] == [200] * 4
    assert harness.service.cache.hits
    accessor = harness.as_(token, "GET /v1/acl/token/self").json["AccessorID"]
    assert harness.as_(token, f"DELETE /v1/acl/token/{accessor}").status == 403
    assert harness.as_(MASTER, f"DELETE /v1/acl/token/{accessor}").status == 200
    assert harness.as_(token, "GET /v1/kv/a").text == "ACL not found"


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


def test_a_service_account_of_kubernetes_logs_in(harness: GuardedHarness) -> None:
    jwt = JWT
    config = {"Host": "https://kube:8443", "CACert": ca_certificate(), "ServiceAccountJWT": jwt}
    made = harness.as_(MASTER, "PUT /v1/acl/auth-method", {"Name": "kube", "Type": "kubernetes", "Config": config})
    assert made.status == 200, made.text
    rule = {
        "AuthMethod": "kube",
        "BindType": "service",
        "BindName": "k8s-${serviceaccount.name}",
        "Selector": "serviceaccount.namespace == default",
    }
    assert harness.as_(MASTER, "PUT /v1/acl/binding-rule", rule).status == 200
    asked: list[tuple[str, str]] = []
    account = ServiceAccount("default", "web", "u")

    def review(config: KubernetesConfig, bearer: str) -> ServiceAccount:
        asked.append((config.Host, bearer))
        return account

    harness.agent.server.review_token = review
    token = harness.as_("", "POST /v1/acl/login", {"AuthMethod": "kube", "BearerToken": jwt})
    assert token.status == 200, token.text
    assert token.json["ServiceIdentities"] == [{"ServiceName": "k8s-web"}]
    assert asked == [("https://kube:8443", jwt)]
    account = ServiceAccount("other", "web", "u")
    refused = harness.as_("", "POST /v1/acl/login", {"AuthMethod": "kube", "BearerToken": jwt})
    assert (refused.status, refused.text) == (403, "Permission denied")
    assert harness.as_("", "POST /v1/acl/login", {"AuthMethod": "kube", "BearerToken": "x"}).status == 500
    assert len(asked) == 2


@pytest.fixture
def kubernetes(harness: GuardedHarness) -> GuardedHarness:
    """With the auth method `kube`, by which the service account default/Web logs in."""
    config = {"Host": "https://kube:8443", "CACert": ca_certificate(), "ServiceAccountJWT": JWT}
    harness.as_(MASTER, "PUT /v1/acl/auth-method", {"Name": "kube", "Type": "kubernetes", "Config": config})
    harness.agent.server.review_token = lambda _config, _bearer: ServiceAccount("default", "Web", "u")
    return harness


def login(harness: GuardedHarness) -> Any:
    return harness.as_("", "POST /v1/acl/login", {"AuthMethod": "kube", "BearerToken": JWT})


def test_a_binding_rule_gives_a_templated_policy_with_variables(kubernetes: GuardedHarness) -> None:
    """BindVars (Consul 1.17), as Nomad and consul-k8s write them."""
    rule = {
        "AuthMethod": "kube",
        "BindType": "templated-policy",
        "BindName": "builtin/service",
        "BindVars": {"Name": "k8s-${serviceaccount.name}"},
    }
    made = kubernetes.as_(MASTER, "PUT /v1/acl/binding-rule", rule)
    assert made.status == 200, made.text
    assert made.json["BindVars"] == rule["BindVars"]
    again = kubernetes.as_(MASTER, f"GET /v1/acl/binding-rule/{made.json['ID']}").json
    assert again == made.json
    token = login(kubernetes)
    assert token.json["TemplatedPolicies"] == [
        {"TemplateName": "builtin/service", "TemplateVariables": {"Name": "k8s-web"}}
    ]
    register = "PUT /v1/catalog/register"
    body = {"Node": "n", "Address": "127.0.0.9", "SkipNodeUpdate": True, "Service": {"Service": "k8s-web"}}
    kubernetes.as_(MASTER, register, {"Node": "n", "Address": "127.0.0.9"})
    assert kubernetes.as_(token.json["SecretID"], register, body).status == 200
    body["Service"] = {"Service": "other"}
    assert kubernetes.as_(token.json["SecretID"], register, body).status == 403


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"BindType": "templated-policy", "BindName": "builtin/none"}, "invalid BindName"),
        ({"BindType": "templated-policy", "BindName": "builtin/service"}, "name is required"),
        ({"BindType": "templated-policy", "BindName": "builtin/dns", "BindVars": {"Name": "x"}}, "has no variables"),
        (
            {"BindType": "templated-policy", "BindName": "builtin/service", "BindVars": {"Name": "${colour}"}},
            "unknown variable accessed: colour",
        ),
        ({"BindType": "service", "BindName": "x", "BindVars": {"Name": "x"}}, "BindVars needs the BindType"),
        ({"BindType": "group", "BindName": "x"}, 'unknown BindType "group"'),
    ],
)
def test_a_binding_rule_that_can_give_nothing_is_refused(
    kubernetes: GuardedHarness, rule: dict[str, Any], why: str
) -> None:
    answer = kubernetes.as_(MASTER, "PUT /v1/acl/binding-rule", {"AuthMethod": "kube", **rule})
    assert answer.status in (400, 500)
    assert why in answer.text
    assert kubernetes.as_(MASTER, "GET /v1/acl/binding-rules").json == []


def ca_certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
