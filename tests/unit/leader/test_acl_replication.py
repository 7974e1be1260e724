"""Policies, roles and global tokens are copied from the primary datacenter: changes, removals, failures."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from consulpy.codec.record import Record
from consulpy.errors import RPCError
from consulpy.leader.acl_replication import AclReplication
from consulpy.rpc.dispatch import method_named
from consulpy.state.acl_commands import TokenSet
from consulpy.structs.acl import Token
from consulpy.structs.acl_log_entries import TokenBatchSet
from tests.harness.guarded import MASTER, GuardedAgent, GuardedHarness


class Pair:
    """A primary datacenter, and another one that copies it with `secret`."""

    def __init__(self, *, with_tokens: bool = True) -> None:
        self.primary = GuardedHarness()
        self.secondary = GuardedAgent()
        self.secret = MASTER
        self.down = False
        self.lines: list[str] = []
        self.clock = self.primary.agent.clock
        self.copying = AclReplication(
            lambda: self.secondary.server.store,
            self.clock,
            self.clock.seconds,
            "dc1",
            self._ask,
            self.secondary.server.submit,
            lambda: self.secret,
            lambda _level, text: self.lines.append(text),
            with_tokens=with_tokens,
        )

    def _ask(self, method: str, request: Record) -> "Deferred[Any]":
        if self.down:
            return fail(RPCError("No path to datacenter"))
        return self.primary.agent.server.handle(method_named(method), request)

    def settle(self, seconds: float = 3) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.secondary.clock.advance(0.1)

    def differences(self) -> list[str]:
        """What the two do not have alike."""
        one, other = self.primary.agent.server.store.acl, self.secondary.server.store.acl
        tables: list[tuple[str, Callable[[Any], Any]]] = [
            ("policies", lambda acl: {row.id: (row.name, row.rules, row.hash) for row in acl.policies.all()}),
            ("roles", lambda acl: {row.id: (row.name, row.hash) for row in acl.roles.all()}),
            (
                "tokens",
                lambda acl: {
                    row.secret_id: (row.accessor_id, row.description, row.hash)
                    for row in acl.tokens.all()
                    if not row.local
                },
            ),
        ]
        return [name for name, of in tables if of(one) != of(other)]

    def secondary_writes(self, token: Token) -> None:
        self.secondary.server.submit(TokenSet(TokenBatchSet(tokens=[token])))
        self.settle(0.2)


def test_what_is_there_and_what_changes_is_copied() -> None:
    pair = Pair()
    pair.primary.token('key "a" { policy = "read" }')
    pair.primary.as_(MASTER, "PUT /v1/acl/role", {"Name": "r", "ServiceIdentities": [{"ServiceName": "web"}]})
    pair.copying.start()
    pair.settle()
    assert pair.differences() == []
    second = pair.primary.token('key "b" { policy = "read" }')
    policy = pair.primary.as_(MASTER, "GET /v1/acl/policies").json[-1]
    pair.primary.as_(MASTER, f"PUT /v1/acl/policy/{policy['ID']}", {"Name": policy["Name"], "Rules": 'acl = "read"'})
    pair.settle()
    assert pair.differences() == []
    accessor = pair.primary.as_(second, "GET /v1/acl/token/self").json["AccessorID"]
    pair.primary.as_(MASTER, f"DELETE /v1/acl/token/{accessor}")
    pair.settle()
    assert pair.differences() == []
    assert pair.secondary.server.store.acl.token(second) is None
    assert pair.copying.status.replicated_token_index > 0
    assert pair.lines == []


def test_without_token_replication_policies_and_roles_are_copied() -> None:
    pair = Pair(with_tokens=False)
    pair.primary.token('key "a" { policy = "read" }')
    pair.copying.start()
    pair.settle()
    assert pair.differences() == ["tokens"]
    assert pair.copying.status.replication_type == "policies"


def test_local_tokens_stay_where_they_are() -> None:
    pair = Pair()
    pair.primary.token('key "a" { policy = "read" }', Local=True)
    accessor, secret = "cf000000-0000-0000-0000-0000000000b1", "cf000000-0000-0000-0000-0000000000b2"
    pair.secondary_writes(Token(accessor_id=accessor, secret_id=secret, local=True))
    pair.copying.start()
    pair.settle()
    assert [row.secret_id for row in pair.secondary.server.store.acl.tokens.all() if row.local] == [secret]


def test_hidden_secrets_are_never_stored() -> None:
    pair = Pair()
    pair.secret = pair.primary.token('acl = "read"')
    pair.copying.start()
    pair.settle()
    assert pair.differences() == ["tokens"]
    assert not pair.secondary.server.store.acl.tokens.all()
    assert "lacks acl:write" in pair.lines[0]


def test_a_primary_that_cannot_be_reached_takes_nothing_away_and_is_tried_again() -> None:
    pair = Pair()
    pair.copying.start()
    pair.settle()
    pair.down = True
    pair.primary.token('key "a" { policy = "read" }')
    pair.settle(120)
    assert pair.secondary.server.store.acl.token(MASTER) is not None
    assert 0 < len(pair.lines) < 60
    assert pair.copying.status.last_error
    pair.down = False
    pair.settle(40)
    assert pair.differences() == []


def test_nothing_is_copied_after_the_end() -> None:
    pair = Pair()
    pair.copying.start()
    pair.settle()
    pair.copying.stop()
    pair.primary.token('key "a" { policy = "read" }')
    pair.settle(60)
    assert pair.differences() == ["policies", "tokens"]
    assert not pair.copying.status.running
