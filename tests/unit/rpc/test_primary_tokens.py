"""A datacenter that copies no tokens asks the primary one before each call, and before a waiting read goes on."""

import dataclasses
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from consulpy.acl.levels import READ
from consulpy.codec.record import Record
from consulpy.errors import NoPathToDatacenter
from consulpy.rpc.acl.guard import Guard
from consulpy.rpc.acl.primary_tokens import CopiedTokens, PrimaryTokens
from consulpy.rpc.acl.remote import DOWN_POLICIES, RemoteResolver
from consulpy.rpc.acl.resolver import AclNotFound, Authorizers, StateResolver
from consulpy.rpc.methods import Method
from consulpy.rpc.primary_caller import PrimaryCaller
from consulpy.state.acl import POLICIES, TOKENS
from consulpy.state.acl_commands import TokenSet
from consulpy.state.watch import WatchSet
from consulpy.structs.acl import Token
from consulpy.structs.acl_log_entries import TokenBatchSet
from consulpy.structs.kv import KeyRequest
from consulpy.structs.options import QueryOptions
from tests.harness.guarded import MASTER, NOW_S, GuardedAgent, GuardedHarness

TTL_S = 30.0
READS = 'key_prefix "" { policy = "read" }'


class Away:
    """The primary datacenter as the other one reaches it; `holds`: answers wait for `answer`."""

    def __init__(self, primary: GuardedHarness) -> None:
        self._primary = primary
        self.asked: list[str] = []
        self.is_down = self.holds = False
        self._held: list[tuple[Deferred[Any], Method, Record]] = []

    def call(self, datacenter: str, method: Method, request: Any) -> "Deferred[Any]":
        assert datacenter == "dc0"
        self.asked.append(method.name)
        if self.is_down:
            return fail(NoPathToDatacenter())
        moved = dataclasses.replace(request, datacenter="dc1")
        if not self.holds:
            return self._primary.agent.server.handle(method, moved)
        answer: Deferred[Any] = Deferred()
        self._held.append((answer, method, moved))
        return answer

    def answer(self) -> None:
        held, self._held, self.holds = self._held, [], False
        for answer, method, request in held:
            self._primary.agent.server.handle(method, request).chainDeferred(answer)


class Datacenters:
    """A primary datacenter, here called dc0, and one that asks it for tokens."""

    def __init__(self, down: str = "extend-cache") -> None:
        self.primary = GuardedHarness()
        self.away = Away(self.primary)
        agent = GuardedAgent()
        server = agent.server
        remote = RemoteResolver(
            PrimaryCaller(lambda: server, "dc0"), agent.clock, agent.wall_s, "dc0", "dc1",
            Authorizers(default_allows=False), token_ttl_s=TTL_S, policy_ttl_s=TTL_S, role_ttl_s=TTL_S,
            down=DOWN_POLICIES[down], replicated=lambda: agent.log.store,
        )  # fmt: skip
        tokens = PrimaryTokens(remote, lambda: agent.log.store)
        server.guard = Guard(tokens, default_allows=False, prepare=tokens.prepare)
        server.primary_datacenter, server.copies_tokens, server.remote_datacenters = "dc0", False, self.away
        self.second = GuardedHarness(agent.start())
        agent.clock.advance(5)  # what a new leader writes
        assert self.second.as_(MASTER, "PUT /v1/kv/a", b"1").status == 200

    def delete(self, secret: str) -> None:
        accessor = self.primary.as_(secret, "GET /v1/acl/token/self").json["AccessorID"]
        assert self.primary.as_(MASTER, f"DELETE /v1/acl/token/{accessor}").status == 200

    def read(self, token: str, query: str = "raw") -> tuple[int, str]:
        found = self.second.as_(token, f"GET /v1/kv/a?{query}")
        return found.status, found.text


def test_a_token_of_the_primary_has_its_rights_and_is_asked_for_once() -> None:
    both = Datacenters()
    secret = both.primary.token(READS)
    both.away.asked.clear()
    assert [both.read(secret) for _ in range(3)] == [(200, "1")] * 3
    assert both.second.as_(secret, "PUT /v1/kv/a", b"2").status == 403
    assert both.away.asked == ["ACL.TokenRead", "ACL.PolicyResolve"]
    assert both.read("") == (403, "Permission denied")
    assert both.read("cf000000-0000-0000-0000-0000000000ff") == (403, "ACL not found")


def test_what_is_changed_there_counts_here_after_its_time() -> None:
    both = Datacenters()
    secret = both.primary.token(READS)
    assert both.read(secret)[0] == 200
    both.delete(secret)
    assert both.read(secret)[0] == 200
    both.second.agent.clock.advance(TTL_S + 1)
    assert both.read(secret) == (403, "ACL not found")


def test_a_waiting_read_is_judged_again_when_it_wakes() -> None:
    both = Datacenters()
    secret = both.primary.token(READS)
    both.read(secret)
    index = both.second.as_(MASTER, "GET /v1/kv/a").json[0]["ModifyIndex"]
    waiting = both.second.begin(f"GET /v1/kv/a?index={index}&wait=5m", X_Consul_Token=secret)
    both.second.agent.clock.advance(0)
    both.delete(secret)
    both.second.agent.clock.advance(TTL_S + 1)
    both.read(MASTER)
    both.away.holds = True
    assert both.second.as_(MASTER, "PUT /v1/kv/a", b"2").status == 200
    both.second.agent.clock.pump([0, 0, 0])
    assert waiting.answer is None, "the token is asked for first"
    both.away.answer()
    assert waiting.answer is not None
    assert (waiting.answer.status, waiting.answer.text) == (403, "ACL not found")


def test_the_end_of_a_wait_is_judged_again_too() -> None:
    both = Datacenters()
    secret = both.primary.token(READS)
    index = both.second.as_(MASTER, "GET /v1/kv/a").json[0]["ModifyIndex"]
    waiting = both.second.begin(f"GET /v1/kv/a?index={index}&wait=5m", X_Consul_Token=secret)
    both.second.agent.clock.advance(0)
    both.delete(secret)
    both.second.agent.clock.advance(400)
    assert waiting.answer is not None
    assert (waiting.answer.status, waiting.answer.text) == (403, "ACL not found")


def test_a_client_that_goes_while_its_token_is_asked_for_leaves_nothing() -> None:
    both = Datacenters()
    secret = both.primary.token(READS)
    index = both.second.as_(MASTER, "GET /v1/kv/a").json[0]["ModifyIndex"]
    waiting = both.second.begin(f"GET /v1/kv/a?index={index}&wait=5m", X_Consul_Token=secret)
    both.second.agent.clock.advance(TTL_S + 1)
    both.read(MASTER)
    both.away.holds = True
    both.second.as_(MASTER, "PUT /v1/kv/a", b"2")
    both.second.agent.clock.pump([0, 0, 0])
    waiting.hang_up()
    both.away.answer()
    both.second.agent.clock.advance(600)
    assert both.second.agent.server.waiting == 0
    assert both.read(secret) == (200, "2")


@pytest.mark.parametrize(
    ("down", "seen", "unseen"),
    [("allow", 200, 200), ("deny", 403, 403), ("extend-cache", 200, 403), ("async-cache", 200, 403)],
)
def test_without_the_primary_the_down_policy_decides(down: str, seen: int, unseen: int) -> None:
    both = Datacenters(down)
    secret = both.primary.token(READS)
    assert both.read(secret)[0] == 200
    both.away.is_down = True
    both.second.agent.clock.advance(TTL_S + 1)
    assert [both.read(secret)[0] for _ in range(2)] == [seen] * 2
    assert [both.read("cf000000-0000-0000-0000-0000000000fe")[0] for _ in range(2)] == [unseen] * 2


def test_a_token_local_to_the_primary_is_none_here() -> None:
    both = Datacenters()
    secret = both.primary.token(READS, Local=True)
    assert both.read(secret) == (403, "ACL not found")


def test_a_query_s_own_token_is_asked_for_too() -> None:
    both = Datacenters()
    own = both.primary.token('service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }')
    service = {"Node": "n", "Address": "10.0.0.1", "Service": {"Service": "web"}}
    assert both.second.as_(MASTER, "PUT /v1/catalog/register", service).status == 200
    query = {"Name": "q", "Token": own, "Service": {"Service": "web"}}
    assert both.second.as_(MASTER, "POST /v1/query", query).status == 200
    assert len(both.second.as_("", "GET /v1/query/q/execute").json["Nodes"]) == 1


def test_tokens_are_the_primary_s_and_auth_methods_are_not_there() -> None:
    both = Datacenters()
    made = both.second.as_(MASTER, "PUT /v1/acl/token", {"Description": "x"})
    assert both.primary.agent.server.store.acl.token(made.json["SecretID"]) is not None
    accessor = made.json["AccessorID"]
    assert both.second.as_(MASTER, f"GET /v1/acl/token/{accessor}").json["Description"] == "x"
    local = both.second.as_(MASTER, "PUT /v1/acl/token", {"Local": True})
    assert (local.status, local.text) == (500, "Local tokens are disabled")
    for request in ("GET /v1/acl/auth-methods", "GET /v1/acl/binding-rules", "POST /v1/acl/logout"):
        refused = both.second.as_(MASTER, request)
        assert (refused.status, refused.text) == (500, "Token replication is required for auth methods to function")


def test_until_tokens_are_copied_they_are_asked_for() -> None:
    both = Datacenters()
    store = GuardedAgent().log.store
    state: Any = StateResolver(lambda: store, "dc1", lambda: NOW_S, Authorizers(default_allows=False))
    asked: Any = both.second.agent.server.guard._resolver  # type: ignore[attr-defined]
    replication_token = "r"
    tokens = CopiedTokens(state, asked, lambda: store, lambda: replication_token)
    secret = both.primary.token(READS)
    with pytest.raises(AclNotFound):
        tokens.resolve(secret)
    replication_token = ""
    assert tokens.resolve(secret).token == Token(), "not read yet"
    replication_token = "r"
    store.indexes._replace(POLICIES, 3)
    request = KeyRequest(key="a", options=QueryOptions(token=secret))
    server = both.second.agent.server
    assert tokens.prepare(server, "KVS.Get", request) is not None
    watch = WatchSet()
    assert tokens.resolve(secret, watch).authorizer.allows("key", "a", READ)
    assert not watch.is_time_independent
    copied = both.primary.agent.server.store.acl.token(MASTER)
    assert copied is not None
    woken: list[bool] = []
    store.watchers.wait(watch, lambda: woken.append(True))
    TokenSet(TokenBatchSet(tokens=[copied], allow_missing_links=True, from_replication=True)).apply(store, 9)
    assert woken, "waiting reads are judged again by the copies"
    assert tokens.prepare(server, "KVS.Get", request) is None
    assert tokens.resolve(MASTER).token.accessor_id == copied.accessor_id
    with pytest.raises(AclNotFound):
        tokens.resolve(secret)


def test_without_a_replication_token_there_are_no_local_tokens() -> None:
    both = Datacenters()
    server = both.second.agent.server
    server.copies_tokens = True
    refused = both.second.as_(MASTER, "PUT /v1/acl/token", {"Local": True})
    assert (refused.status, refused.text) == (500, "Local tokens are disabled")
    server.replication_token = lambda: "secret"
    assert both.second.as_(MASTER, "PUT /v1/acl/token", {"Local": True}).status == 200


def test_before_the_first_copy_a_token_is_read_in_the_primary() -> None:
    both = Datacenters()
    server = both.second.agent.server
    server.copies_tokens, server.replication_token = True, lambda: "secret"
    secret = both.primary.token(READS)
    assert both.second.as_(secret, "GET /v1/acl/token/self").text == "ACL not found", "there are others here"
    server.store.indexes._replace(TOKENS, 0)
    assert both.second.as_(secret, "GET /v1/acl/token/self").json["SecretID"] == secret
