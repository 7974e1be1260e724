"""Tokens that the servers resolve: what is kept for how long, and what holds while no server answers."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import READ, WRITE
from consulpy.codec.record import Record
from consulpy.errors import RPCError
from consulpy.gocompat.time import go_time
from consulpy.rpc.acl.remote import DOWN_POLICIES, RETRY_S, RemoteResolver
from consulpy.rpc.acl.resolver import AclNotFound, Authorizers
from consulpy.structs.acl import Link, Policy, Role, Token
from consulpy.structs.acl_requests import PolicyBatchReply, RolesReply, TokenReply

TTL_S = 30.0


class Servers:
    """Servers with one token `s`, whose policy `p` and role `r` may change; `down`: none answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False
        self.held: Deferred[None] | None = None
        self.token: Token | None = Token(accessor_id="a", secret_id="s", policies=[Link(id="p")])
        self.rules = 'key_prefix "" { policy = "write" }'
        self.role: Role | None = None

    def call(self, method: str, request: Record) -> "Deferred[Any]":
        self.asked.append(method)
        if self.down:
            return fail(RPCError("No known Consul servers"))
        if self.held is not None:
            one: Deferred[Any] = Deferred()
            self.held.addCallback(lambda _: one.callback(self._answer(method)))
            return one
        return succeed(None).addCallback(lambda _: self._answer(method))

    def _answer(self, method: str) -> Record:
        if method == "ACL.TokenRead":
            return TokenReply(token=self.token)
        if method == "ACL.RoleResolve":
            return RolesReply(roles=[self.role] if self.role is not None else [])
        assert method == "ACL.PolicyResolve"
        return PolicyBatchReply(policies=[Policy(id="p", name="p", rules=self.rules)] if self.rules else [])


class Agent:
    """A resolver with a clock of its own."""

    def __init__(self, down: str = "extend-cache", *, default_allows: bool = False) -> None:
        self.servers = Servers()
        self.clock = Clock()
        self.resolver = RemoteResolver(
            self.servers,
            self.clock,
            self.clock.seconds,
            "dc1",
            "dc1",
            Authorizers(default_allows=default_allows),
            token_ttl_s=TTL_S,
            policy_ttl_s=TTL_S,
            role_ttl_s=TTL_S,
            down=DOWN_POLICIES[down],
        )

    def resolve(self, secret: str = "s") -> Authorizer:
        found: list[Any] = []
        Deferred.fromCoroutine(self.resolver.resolve(secret)).addBoth(found.append)
        [result] = found
        if not hasattr(result, "authorizer"):
            result.raiseException()
        authorizer: Authorizer = result.authorizer
        return authorizer

    def may_write(self, secret: str = "s") -> bool:
        return self.resolve(secret).allows("key", "a", WRITE)


def test_what_was_read_is_kept_for_its_time() -> None:
    agent = Agent()
    assert agent.may_write()
    agent.servers.rules = ""
    assert agent.may_write()
    assert agent.servers.asked == ["ACL.TokenRead", "ACL.PolicyResolve"]
    agent.clock.advance(TTL_S + 1)
    assert not agent.may_write()


def test_many_who_ask_for_one_token_ask_once() -> None:
    agent = Agent()
    agent.servers.held = Deferred()
    found: list[Any] = []
    for _ in range(5):
        Deferred.fromCoroutine(agent.resolver.resolve("s")).addBoth(found.append)
    assert agent.servers.asked == ["ACL.TokenRead"]
    held, agent.servers.held = agent.servers.held, None
    held.callback(None)
    assert len(found) == 5
    assert all(each.authorizer.allows("key", "a", WRITE) for each in found)


def test_a_token_that_does_not_exist_is_remembered_too() -> None:
    agent = Agent()
    agent.servers.token = None
    for _ in range(3):
        with pytest.raises(AclNotFound):
            agent.resolve()
    assert agent.servers.asked == ["ACL.TokenRead"]


@pytest.mark.parametrize(
    ("down", "seen", "unseen"),
    [
        ("allow", True, True),
        ("deny", False, False),
        ("extend-cache", True, False),
        ("async-cache", True, False),
    ],
)
def test_while_no_server_answers_the_down_policy_decides(down: str, seen: bool, unseen: bool) -> None:
    agent = Agent(down)
    assert agent.may_write()
    agent.servers.down = True
    agent.clock.advance(TTL_S + 1)
    assert agent.may_write() is seen
    assert agent.may_write("never seen") is unseen


@pytest.mark.parametrize("down", DOWN_POLICIES)
@pytest.mark.parametrize("default_allows", [False, True])
def test_a_default_that_allows_is_for_tokens_that_are_known(down: str, default_allows: bool) -> None:
    """Nobody gets more than a down policy gives because the servers are away."""
    agent = Agent(down, default_allows=default_allows)
    agent.servers.down = True
    assert agent.resolve("x").allows("key", "a", READ) is (down == "allow")


def test_what_is_known_counts_at_once_and_is_read_again_meanwhile() -> None:
    agent = Agent("async-cache")
    assert agent.may_write()
    agent.servers.token = None
    agent.clock.advance(TTL_S + 1)
    assert agent.may_write()
    with pytest.raises(AclNotFound):
        agent.resolve()


def test_a_removed_token_is_refused_when_servers_are_back() -> None:
    agent = Agent()
    assert agent.may_write()
    agent.servers.down = True
    agent.clock.advance(TTL_S + 1)
    assert agent.may_write()
    agent.servers.down, agent.servers.token = False, None
    agent.clock.advance(RETRY_S + 0.1)
    with pytest.raises(AclNotFound):
        agent.resolve()


def test_an_expired_token_is_refused_whatever_is_kept() -> None:
    agent = Agent("extend-cache")
    assert agent.servers.token is not None
    agent.servers.token.expiration_time = go_time(5)
    assert agent.may_write()
    agent.servers.down = True
    agent.clock.advance(6)
    with pytest.raises(AclNotFound):
        agent.resolve()


def test_roles_bring_their_policies() -> None:
    agent = Agent()
    agent.servers.token = Token(accessor_id="a", secret_id="s", roles=[Link(id="r")])
    agent.servers.role = Role(id="r", name="r", policies=[Link(id="p")])
    assert agent.may_write()
    agent.servers.role = None
    agent.clock.advance(TTL_S + 1)
    assert not agent.may_write()
