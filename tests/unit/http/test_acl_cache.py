"""Access control and the response cache: an answer that was kept for one token is given to equal rights only."""

import json
from random import Random
from typing import Any

import pytest

from tests.harness.effort import cases
from tests.harness.guarded import MASTER, GuardedAgent, GuardedHarness

NOBODY = "cf000000-0000-0000-0000-0000000000ff"


@pytest.fixture
def harness() -> GuardedHarness:
    return GuardedHarness()


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
    for _ in range(max(24, cases(120))):
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
