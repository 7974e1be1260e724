"""Tokens, policies and roles in the store: what real servers wrote, and what holds between the tables (acl.md 1, 9)."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from consulpy.errors import RPCError
from consulpy.gocompat.time import go_time
from consulpy.state import acl
from consulpy.state.acl import BOOTSTRAP, TOKENS, tables_of
from consulpy.state.acl_commands import (
    ACL_COMMANDS,
    AclBootstrap,
    AuthMethodDelete,
    AuthMethodSet,
    BindingRuleSet,
    LegacyAclChange,
    PolicyDelete,
    PolicySet,
    RoleDelete,
    RoleSet,
    TokenDelete,
    TokenSet,
)
from consulpy.state.commands import decode
from consulpy.state.snapshot import Snapshot, restore
from consulpy.state.store import Store
from consulpy.structs import acl_log_entries as bodies
from consulpy.structs.acl import (
    GLOBAL_MANAGEMENT_ID,
    AuthMethod,
    BindingRule,
    LegacyAcl,
    Link,
    NodeIdentity,
    Policy,
    Role,
    ServiceIdentity,
    Token,
    anonymous_token,
    global_management,
    management_token,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "acl"
LOG: list[dict[str, Any]] = json.loads((VECTORS / "wire.json").read_text())["log"]
SNAPSHOT: dict[str, Any] = json.loads((VECTORS / "snapshot.json").read_text())
RECORDS = [bytes.fromhex(record["record_hex"]) for record in SNAPSHOT["records"]]

P1, P2 = "a0000000-0000-0000-0000-000000000001", "a0000000-0000-0000-0000-000000000002"
R1 = "b0000000-0000-0000-0000-000000000001"
T1, S1 = "c0000000-0000-0000-0000-000000000001", "d0000000-0000-0000-0000-000000000001"


def apply(store: Store, command: Any) -> Any:
    return decode(command.encode(sparse=True)).apply(store, store.index + 1)


def tokens(*rows: Token, **options: Any) -> TokenSet:
    return TokenSet(bodies.TokenBatchSet(tokens=list(rows), **options))


def policies(*rows: Policy) -> PolicySet:
    return PolicySet(bodies.PolicyBatchSet(policies=list(rows)))


def roles(*rows: Role) -> RoleSet:
    return RoleSet(bodies.RoleBatchSet(roles=list(rows)))


def token(**fields: Any) -> Token:
    return Token(accessor_id=T1, secret_id=S1, **fields)


@pytest.fixture
def store() -> Store:
    store = Store()
    apply(store, policies(global_management(), Policy(P1, "one"), Policy(P2, "two")))
    apply(store, roles(Role(R1, "r", policies=[Link(P1)])))
    return store


@pytest.mark.parametrize("entry", LOG, ids=lambda entry: f"{entry['index']}-type{entry['type']}")
def test_commands_have_the_bytes_of_a_real_log(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["data_hex"])
    command: Any = decode(data)
    assert entry["type"] == command.TYPE
    assert type(command) in ACL_COMMANDS
    if entry["type"] != 27:  # Go writes the members of a method's Config in random order
        assert command.encode() == data


def test_hashes_are_those_of_a_real_log() -> None:
    rows: list[Any] = []
    for entry in LOG:
        body: Any = decode(bytes.fromhex(entry["data_hex"])).body  # type: ignore[attr-defined]
        rows += [*(getattr(body, "tokens", None) or ()), *(getattr(body, "policies", None) or ())]
        rows += [*(getattr(body, "roles", None) or ()), *([body.token] if entry["type"] == 11 else ())]
    assert len(rows) == 7
    for row in rows:
        assert row.content_hash() == row.hash


def test_what_is_built_in_has_the_hashes_of_real_servers() -> None:
    real: Any = [decode(bytes.fromhex(entry["data_hex"])) for entry in LOG[:3]]
    assert global_management() == real[0].body.policies[0]
    master = real[1].body.token
    assert management_token(master.accessor_id, master.secret_id, "Master Token", master.create_time) == master
    assert anonymous_token(real[2].body.tokens[0].create_time) == real[2].body.tokens[0]


def test_a_real_log_is_applied_as_real_servers_did() -> None:
    store = Store()
    results = {}
    for entry in LOG:
        results[entry["index"]] = decode(bytes.fromhex(entry["data_hex"])).apply(store, entry["index"])
    assert results[5] is True
    assert results[20] == "1a609bbe-7580-e939-be2a-38f8d8977a56"
    assert [len(table) for table in tables_of(store.acl)] == [3, 1, 0, 0, 0]
    assert store.acl.reset_index == 5


def test_a_real_snapshot_comes_back_as_it_was() -> None:
    store = restore(SNAPSHOT["header"]["LastIndex"], RECORDS)
    written = list(Snapshot.of(store).records())
    for kind in (17, 19, 23, 25, 27):
        assert sorted(r for r in written if r[0] == kind) == sorted(r for r in RECORDS if r[0] == kind)
    positions = [kind for kind in dict.fromkeys(record[0] for record in written) if kind in (17, 19, 23, 25, 27)]
    assert positions == [kind for kind in dict.fromkeys(record[0] for record in RECORDS) if kind in positions]


def test_a_renamed_policy_shows_in_its_holders_and_a_deleted_one_disappears(store: Store) -> None:
    apply(store, tokens(token(policies=[Link(P1), Link(P2)], roles=[Link(R1)])))
    apply(store, policies(Policy(P1, "renamed")))
    found = store.acl.token(S1)
    assert found is not None
    assert store.acl.with_current_links(found).policies == [Link(P1, "renamed"), Link(P2, "two")]
    apply(store, PolicyDelete(bodies.PolicyBatchDelete([P1])))
    apply(store, RoleDelete(bodies.RoleBatchDelete([R1])))
    shown = store.acl.with_current_links(found)
    assert (shown.policies, shown.roles) == ([Link(P2, "two")], None)
    assert shown.modify_index == found.modify_index == 3


def test_snapshots_hold_links_with_names(store: Store) -> None:
    apply(store, tokens(token(policies=[Link(P1)])))
    apply(store, policies(Policy(P1, "renamed")))
    again = restore(store.index, Snapshot.of(store).records())
    found = again.acl.token(S1)
    assert found is not None
    assert found.policies == [Link(P1, "renamed")]
    assert again.indexes.get(TOKENS) == 3


def test_bootstrap_works_once_and_again_with_the_reset_index() -> None:
    store = Store()
    apply(store, policies(global_management()))
    first = management_token(T1, S1, "first", go_time(1))
    apply(store, AclBootstrap(bodies.Bootstrap(token=first)))
    other = dataclasses.replace(first, accessor_id=R1, secret_id=R1)
    with pytest.raises(RPCError, match="ACL bootstrap no longer allowed"):
        apply(store, AclBootstrap(bodies.Bootstrap(token=other)))
    with pytest.raises(RPCError, match="Invalid bootstrap reset index"):
        apply(store, AclBootstrap(bodies.Bootstrap(7, other)))
    assert apply(store, AclBootstrap(bodies.Bootstrap(2, other))) is True
    assert (store.acl.reset_index, len(store.acl.tokens)) == (5, 2)
    assert restore(5, Snapshot.of(store).records()).indexes.get(BOOTSTRAP) == 5


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (tokens(Token(accessor_id=T1)), "Missing ACL Token SecretID"),
        (tokens(Token(secret_id=S1)), "Missing ACL Token AccessorID"),
        (tokens(token(local=True), from_replication=True), "Cannot replicate local tokens"),
        (tokens(token(policies=[Link(T1)])), f"No such policy with ID: {T1}"),
        (tokens(token(roles=[Link(T1)])), f"No such role with ID: {T1}"),
        (tokens(token(policies=[Link(name="one")])), "linked by Name in the state store"),
        (tokens(token(auth_method="m")), "No such auth method with Name: m"),
        (tokens(token(policies=[Link(T1)]), allow_missing_links=True, prohibit_unprivileged=True), "Permission denied"),
        (tokens(token(service_identities=[ServiceIdentity()])), "empty service identity name"),
        (tokens(token(node_identities=[NodeIdentity("n")])), "empty node identity datacenter"),
        (policies(Policy(R1, "ONE")), 'A policy with name "ONE" already exists'),
        (policies(Policy(GLOBAL_MANAGEMENT_ID, "x", rules="")), "Changing the Rules for the builtin"),
        (roles(Role(T1, "R")), 'A role with name "R" already exists'),
        (roles(Role(T1, "x", policies=[Link(T1)])), f"No such policy with ID: {T1}"),
        (PolicyDelete(bodies.PolicyBatchDelete([GLOBAL_MANAGEMENT_ID])), "Deletion of the builtin"),
        (BindingRuleSet(bodies.BindingRuleBatchSet([BindingRule(T1, auth_method="m")])), "auth method not found"),
    ],
)
def test_what_may_not_be_written(store: Store, command: Any, text: str) -> None:
    before = [table.all() for table in tables_of(store.acl)]
    with pytest.raises(RPCError, match=text):
        apply(store, command)
    assert [table.all() for table in tables_of(store.acl)] == before


def test_an_accessor_of_a_token_never_changes(store: Store) -> None:
    apply(store, tokens(token()))
    with pytest.raises(RPCError, match="AccessorID field is immutable"):
        apply(store, tokens(Token(accessor_id=R1, secret_id=S1)))


def test_check_and_set_changes_only_what_is_as_it_was_read(store: Store) -> None:
    apply(store, tokens(token(description="a")))
    apply(store, tokens(token(description="b", modify_index=2), cas=True))
    assert store.acl.token_by_accessor(T1.upper()).description == "a"  # type: ignore[union-attr]
    apply(store, tokens(token(description="b", modify_index=3), cas=True))
    assert store.acl.token(S1).description == "b"  # type: ignore[union-attr]


def test_a_method_takes_its_rules_and_tokens_along(store: Store) -> None:
    apply(store, AuthMethodSet(bodies.AuthMethodBatchSet([AuthMethod("M", "jwt")])))
    apply(store, BindingRuleSet(bodies.BindingRuleBatchSet([BindingRule(T1, auth_method="m")])))
    apply(store, tokens(token(auth_method="m")))
    apply(store, AuthMethodDelete(bodies.AuthMethodBatchDelete(["m"])))
    assert [len(table) for table in tables_of(store.acl)] == [0, 3, 1, 0, 0]


def test_legacy_records_are_tokens_by_their_secret(store: Store) -> None:
    change = LegacyAclChange(bodies.LegacyRequest(op="set", acl=LegacyAcl(id="any text", name="n", type="client")))
    assert apply(store, change) == "any text"
    found = store.acl.token("any text")
    assert found is not None
    assert (found.accessor_id, found.description, found.type) == ("", "n", "client")
    apply(store, LegacyAclChange(bodies.LegacyRequest(op="delete", acl=LegacyAcl(id="any text"))))
    assert store.acl.token("any text") is None


def test_tokens_are_removed_by_accessor_but_never_the_anonymous_one(store: Store) -> None:
    apply(store, tokens(token(), anonymous_token(go_time(1))))
    apply(store, TokenDelete(bodies.TokenBatchDelete([T1, R1])))
    assert store.acl.token(S1) is None
    with pytest.raises(RPCError, match="builtin anonymous token"):
        apply(store, TokenDelete(bodies.TokenBatchDelete(["00000000-0000-0000-0000-000000000002"])))


def test_expired_tokens_are_found_by_their_time(store: Store) -> None:
    apply(store, tokens(token(expiration_time=go_time(100))))
    assert [row.secret_id for row in store.acl.expired(100, local=False, most=9)] == [S1]
    assert not store.acl.expired(99, local=False, most=9)
    assert not store.acl.expired(100, local=True, most=9)


def test_expired_tokens_are_found_without_a_look_at_the_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader asks each second, with all logins of a large datacenter in the table."""
    names = [f"{number:08d}-0000-0000-0000-000000000000" for number in range(20)]
    times = [(1000 - number) / 10 for number in range(20)]
    rows = [Token(secret_id=n, accessor_id=n, expiration_time=go_time(t)) for n, t in zip(names, times, strict=True)]
    apply(store, tokens(*rows))
    seen: list[str] = []
    is_expired = acl.is_expired
    monkeypatch.setattr(acl, "is_expired", lambda row, now_s: seen.append(row.secret_id) or is_expired(row, now_s))
    assert [row.secret_id for row in store.acl.expired(98.55, local=False, most=3)] == names[15:18]
    assert set(seen) <= set(names[10:])


def test_a_token_that_has_a_policy_is_not_changed_as_before_there_were_any(store: Store) -> None:
    """The master token has a type, so that calls from before 1.4 show it; Consul changes it by none."""
    apply(store, policies(global_management()))
    apply(store, tokens(management_token(T1, S1, "master", go_time(1))))
    before = store.acl.token(S1)
    change = bodies.LegacyRequest(op="set", acl=LegacyAcl(id=S1, name="x", type="client"))
    with pytest.raises(RPCError, match="cannot use legacy endpoint to modify a non-legacy token"):
        apply(store, LegacyAclChange(change))
    assert store.acl.token(S1) == before
