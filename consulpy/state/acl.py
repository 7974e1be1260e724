"""The ACL tables: tokens, policies, roles, auth methods and binding rules, with their referential rules.

Links are ids; the names stored with them date from the time of writing and are replaced when a row is read: a renamed
policy shows its new name, a deleted one disappears. Source: the answers and snapshots of 1.8.7 (docs/wire/acl.md
sections 1 and 9).
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from consulpy.errors import RPCError
from consulpy.gocompat.time import unix_s
from consulpy.state.change import TableChange
from consulpy.state.indexes import Indexes
from consulpy.state.table import Table
from consulpy.state.uuid_index import check_uuid
from consulpy.state.watch import WatchSet
from consulpy.structs.acl import (
    ANONYMOUS_ACCESSOR,
    GLOBAL_MANAGEMENT_ID,
    AuthMethod,
    BindingRule,
    Link,
    Policy,
    Role,
    Token,
)
from consulpy.structs.acl_log_entries import Bootstrap, TokenBatchSet

TOKENS: Final = "acl-tokens"
POLICIES: Final = "acl-policies"
ROLES: Final = "acl-roles"
BINDING_RULES: Final = "acl-binding-rules"
AUTH_METHODS: Final = "acl-auth-methods"
#: Index key of the last bootstrap; its value is the reset index that allows another one.
BOOTSTRAP: Final = "acl-token-bootstrap"

_Holder = TypeVar("_Holder", Token, Role)
#: The name of a policy or role, by its id in lower case; None if there is none.
NameOf = Callable[[str], str | None]


class Acl:
    """The ACL tables. Reads take ids without regard to case."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.tokens: Table[Token] = Table(
            TOKENS,
            accessor=lambda row: (row.accessor_id.lower(),) if row.accessor_id else (),
            policy=lambda row: [link.id for link in row.policies or ()],
            role=lambda row: [link.id for link in row.roles or ()],
            method=lambda row: (row.auth_method.lower(),) if row.auth_method else (),
            unnamed=lambda row: () if row.accessor_id else ("",),
            expires=lambda row: (int(unix_s(row.expiration_time)),) if row.expiration_time is not None else (),
        )
        self.policies: Table[Policy] = Table(POLICIES, name=lambda row: (row.name.lower(),))
        self.roles: Table[Role] = Table(
            ROLES, name=lambda row: (row.name.lower(),), policy=lambda row: [link.id for link in row.policies or ()]
        )
        self.binding_rules: Table[BindingRule] = Table(BINDING_RULES, method=lambda row: (row.auth_method.lower(),))
        self.auth_methods: Table[AuthMethod] = Table(AUTH_METHODS)

    # -- reading

    def index(self, watch: WatchSet | None, *tables: str) -> int:
        """The index of a result read from these tables."""
        return self._indexes.max(watch, *tables)

    @property
    def reset_index(self) -> int:
        """The index of the last bootstrap, 0 if there was none."""
        return self._indexes.get(BOOTSTRAP)

    def token(self, secret: str) -> Token | None:
        """The token with this secret, with its stored links."""
        return self.tokens.get(secret)

    def token_by_accessor(self, accessor: str) -> Token | None:
        """The token with this accessor, with its stored links. Raises `RPCError` for an invalid id."""
        _check_uuid(accessor, "acl token")
        found = self.tokens.by("accessor", accessor.lower())
        return found[0] if found else None

    def policy(self, policy_id: str) -> Policy | None:
        """A policy by id. Raises `RPCError` for an invalid id."""
        _check_uuid(policy_id, "acl policy")
        return self.policies.get(policy_id.lower())

    def policy_by_name(self, name: str) -> Policy | None:
        """A policy by name, without regard to case."""
        found = self.policies.by("name", name.lower())
        return found[0] if found else None

    def role(self, role_id: str) -> Role | None:
        """A role by id, with its stored links. Raises `RPCError` for an invalid id."""
        _check_uuid(role_id, "acl role")
        return self.roles.get(role_id.lower())

    def role_by_name(self, name: str) -> Role | None:
        """A role by name, with its stored links, without regard to case."""
        found = self.roles.by("name", name.lower())
        return found[0] if found else None

    def binding_rule(self, rule_id: str) -> BindingRule | None:
        """A binding rule by id. Raises `RPCError` for an invalid id."""
        _check_uuid(rule_id, "acl binding rule")
        return self.binding_rules.get(rule_id.lower())

    def auth_method(self, name: str) -> AuthMethod | None:
        """An auth method by name, without regard to case."""
        return self.auth_methods.get(name.lower())

    def with_current_links(self, holder: _Holder) -> _Holder:
        """A token or role with its existing links under their current names."""
        return with_current_links(holder, _names_in(self.policies), _names_in(self.roles))

    def expired(self, now_s: float, *, local: bool, most: int) -> list[Token]:
        """The first `most` expired tokens, of the earliest seconds; `now_s` in seconds since 1970."""
        seconds = self.tokens.secondary_indexes["expires"]
        due = sorted(second for second in seconds if isinstance(second, int) and second <= now_s)
        rows = (row for second in due for row in seconds.get(second))
        return list(islice((row for row in rows if row.local is local and is_expired(row, now_s)), most))

    # -- tokens

    def set_tokens(self, change: TableChange, request: TokenBatchSet, *, legacy: bool = False) -> None:
        """Write tokens. Raises `RPCError`."""
        for token in request.tokens or ():
            self._set_token(change, token, request, legacy=legacy)

    def bootstrap(self, change: TableChange, request: Bootstrap) -> None:
        """Write the first management token, or another one if the request has the reset index. Raises `RPCError`."""
        existing = self.reset_index
        if existing:
            if not request.reset_index:
                raise RPCError("ACL bootstrap no longer allowed")
            if request.reset_index != existing:
                raise RPCError("Invalid bootstrap reset index")
        self._set_token(change, request.token, TokenBatchSet())
        change.bump(BOOTSTRAP)

    def _set_token(self, change: TableChange, token: Token, request: TokenBatchSet, *, legacy: bool = False) -> None:
        if not token.secret_id:
            raise RPCError("Missing ACL Token SecretID")
        if not legacy and not token.accessor_id:
            raise RPCError("Missing ACL Token AccessorID")
        if request.from_replication and token.local:
            raise RPCError("Cannot replicate local tokens")
        original = self.tokens.get(token.secret_id)
        if request.cas and token.modify_index != (original.modify_index if original is not None else 0):
            return
        if legacy and original is not None:
            if not original.takes_legacy_changes:
                raise RPCError("failed inserting acl token: cannot use legacy endpoint to modify a non-legacy token")
            token = dataclasses.replace(token, accessor_id=original.accessor_id)
        token = self._linked_token(token, request)
        if original is not None and original.accessor_id and token.accessor_id != original.accessor_id:
            raise RPCError("The ACL Token AccessorID field is immutable")
        new = dataclasses.replace(
            token,
            hash=token.hash or token.content_hash(),
            create_index=original.create_index if original is not None else change.index,
            modify_index=change.index,
        )
        change.put(self.tokens, (new.secret_id,), new)
        change.bump(TOKENS)

    def _linked_token(self, token: Token, request: TokenBatchSet) -> Token:
        may_miss = request.allow_missing_links
        policies = _linked(token.policies, self.policies, "Token", "policies", "policy", allow_missing=may_miss)
        roles = _linked(token.roles, self.roles, "Token", "roles", "role", allow_missing=may_miss)
        if token.auth_method and not request.from_replication and self.auth_method(token.auth_method) is None:
            raise RPCError(f"No such auth method with Name: {token.auth_method}")
        _check_identities("Token", token)
        identities = (
            *(token.service_identities or ()), *(token.node_identities or ()), *(token.templated_policies or ()),
        )  # fmt: skip
        held = [*_existing(policies, self.policies), *_existing(roles, self.roles), *identities]
        if request.prohibit_unprivileged and not held:
            raise RPCError("Permission denied")
        return dataclasses.replace(token, policies=policies, roles=roles)

    def delete_tokens(self, change: TableChange, accessors: Iterable[str]) -> None:
        """Remove the existing tokens of these accessors. Raises `RPCError`."""
        self._delete_tokens(change, [row for name in accessors for row in self.tokens.by("accessor", name.lower())])

    def delete_token_by_secret(self, change: TableChange, secret: str) -> None:
        """Remove a token if it exists. Raises `RPCError`."""
        found = self.tokens.get(secret)
        if found is not None:
            self._delete_tokens(change, [found])

    def _delete_tokens(self, change: TableChange, tokens: Sequence[Token]) -> None:
        keys = dict.fromkeys((token.secret_id,) for token in tokens)
        if not keys:
            return
        if any(token.accessor_id == ANONYMOUS_ACCESSOR for token in tokens):
            raise RPCError("Deletion of the builtin anonymous token is not permitted")
        change.remove_rows(self.tokens, list(keys))
        change.bump(TOKENS)

    # -- policies and roles

    def set_policy(self, change: TableChange, policy: Policy) -> None:
        """Write a policy. Raises `RPCError`."""
        if not policy.id:
            raise RPCError("Missing ACL Policy ID")
        if not policy.name:
            raise RPCError("Missing ACL Policy Name")
        existing = self.policies.get(policy.id.lower())
        if existing is not None and policy.id == GLOBAL_MANAGEMENT_ID:
            builtin = "the builtin global-management policy is not permitted"
            if policy.rules != existing.rules:
                raise RPCError(f"Changing the Rules for {builtin}")
            if policy.datacenters:
                raise RPCError(f"Changing the Datacenters of {builtin}")
        named = self.policy_by_name(policy.name)
        if named is not None and named.id != policy.id:
            raise RPCError(f'A policy with name "{policy.name}" already exists')
        _put(change, self.policies, policy.id.lower(), policy, existing, policy.hash or policy.content_hash())

    def delete_policy(self, change: TableChange, policy_id: str) -> None:
        """Remove a policy if it exists. Raises `RPCError`."""
        if policy_id == GLOBAL_MANAGEMENT_ID:
            raise RPCError("Deletion of the builtin global-management policy is not permitted")
        _remove(change, self.policies, policy_id.lower())

    def set_role(self, change: TableChange, role: Role, *, allow_missing_links: bool = False) -> None:
        """Write a role. Raises `RPCError`."""
        if not role.id:
            raise RPCError("Missing ACL Role ID")
        if not role.name:
            raise RPCError("Missing ACL Role Name")
        existing = self.roles.get(role.id.lower())
        named = self.role_by_name(role.name)
        if named is not None and named.id != role.id:
            raise RPCError(f'A role with name "{role.name}" already exists')
        policies = _linked(
            role.policies, self.policies, "Role", "policies", "policy", allow_missing=allow_missing_links
        )
        _check_identities("Role", role)
        role = dataclasses.replace(role, policies=policies)
        _put(change, self.roles, role.id.lower(), role, existing, role.hash or role.content_hash())

    def delete_role(self, change: TableChange, role_id: str) -> None:
        """Remove a role if it exists."""
        _remove(change, self.roles, role_id.lower())

    # -- binding rules and auth methods

    def set_binding_rule(self, change: TableChange, rule: BindingRule) -> None:
        """Write a binding rule. Raises `RPCError`."""
        if not rule.id:
            raise RPCError("Missing ACL Binding Rule ID")
        if not rule.auth_method:
            raise RPCError("Missing ACL Binding Rule Auth Method")
        if self.auth_method(rule.auth_method) is None:
            raise RPCError("failed inserting acl binding rule: auth method not found")
        existing = self.binding_rules.get(rule.id.lower())
        if existing is not None and existing.auth_method != rule.auth_method:
            raise RPCError("the AuthMethod field of an ACL Binding Rule is immutable")
        _put(change, self.binding_rules, rule.id.lower(), rule, existing)

    def delete_binding_rule(self, change: TableChange, rule_id: str) -> None:
        """Remove a binding rule if it exists."""
        _remove(change, self.binding_rules, rule_id.lower())

    def set_auth_method(self, change: TableChange, method: AuthMethod) -> None:
        """Write an auth method. Raises `RPCError`."""
        if not method.name:
            raise RPCError("Missing ACL Auth Method Name")
        if not method.type:
            raise RPCError("Missing ACL Auth Method Type")
        _put(change, self.auth_methods, method.name.lower(), method, self.auth_method(method.name))

    def delete_auth_method(self, change: TableChange, name: str) -> None:
        """Remove an auth method if it exists, with its binding rules and the tokens of its logins."""
        if self.auth_method(name) is None:
            return
        for rule in self.binding_rules.by("method", name.lower()):
            self.delete_binding_rule(change, rule.id)
        self._delete_tokens(change, self.tokens.by("method", name.lower()))
        _remove(change, self.auth_methods, name.lower())


def is_expired(token: Token, now_s: float) -> bool:
    """Whether a token expired; `now_s` in seconds since 1970."""
    return token.expiration_time is not None and unix_s(token.expiration_time) <= now_s


def _check_uuid(text: str, what: str) -> None:
    check_uuid(text, f"failed {what} lookup")


def _put(
    change: TableChange, table: Table[Any], key: str, row: Any, old: Any, content_hash: bytes | None = None
) -> None:
    """Write a row with its indexes and, if it has one, its hash."""
    created = old.create_index if old is not None else change.index
    extra = {"hash": content_hash} if content_hash is not None else {}
    change.put(table, (key,), dataclasses.replace(row, create_index=created, modify_index=change.index, **extra))
    change.bump(table.name)


def _remove(change: TableChange, table: Table[Any], key: str) -> None:
    if table.get(key) is not None:
        change.remove(table, (key,))
        change.bump(table.name)


def _linked(
    links: list[Link] | None, table: Table[Any], holder: str, plural: str, singular: str, *, allow_missing: bool
) -> list[Link] | None:
    """The links with the names of their targets. Raises `RPCError` for a missing target unless `allow_missing`."""
    found = []
    for link in links or ():
        if not link.id:
            raise RPCError(f"Encountered a {holder} with {plural} linked by Name in the state store")
        row = table.get(link.id.lower())
        if row is None and not allow_missing:
            raise RPCError(f"No such {singular} with ID: {link.id}")
        found.append(Link(link.id, row.name) if row is not None else link)
    return found or None


def _existing(links: list[Link] | None, table: Table[Any]) -> list[Link]:
    return [link for link in links or () if table.get(link.id.lower()) is not None]


def with_current_links(holder: _Holder, policy_name: NameOf, role_name: NameOf) -> _Holder:
    """A token or role with its existing links under the names that these functions give."""
    policies = _current_links(holder.policies, policy_name)
    roles = _current_links(holder.roles, role_name) if isinstance(holder, Token) else None
    if isinstance(holder, Token):
        if policies is holder.policies and roles is holder.roles:
            return holder
        return dataclasses.replace(holder, policies=policies, roles=roles)
    return holder if policies is holder.policies else dataclasses.replace(holder, policies=policies)


def _names_in(table: Table[Any]) -> NameOf:
    def name_of(row_id: str) -> str | None:
        row = table.get(row_id)
        return row.name if row is not None else None

    return name_of


def _current_links(links: list[Link] | None, name_of: NameOf) -> list[Link] | None:
    """The links to existing rows, with current names; the same list if nothing changed."""
    if not links:
        return links
    names = [(link, name_of(link.id.lower())) for link in links]
    if all(name == link.name for link, name in names):
        return links
    return [Link(link.id, name) for link, name in names if name is not None] or None


def _check_identities(holder: str, row: Token | Role) -> None:
    if any(not each.service_name for each in row.service_identities or ()):
        raise RPCError(f"Encountered a {holder} with an empty service identity name in the state store")
    if any(not each.node_name for each in row.node_identities or ()):
        raise RPCError(f"Encountered a {holder} with an empty node identity name in the state store")
    if any(not each.datacenter for each in row.node_identities or ()):
        raise RPCError(f"Encountered a {holder} with an empty node identity datacenter in the state store")


def tables_of(acl: Acl) -> Sequence[Table[Any]]:
    """All tables, in the order of a snapshot's records."""
    return (acl.tokens, acl.policies, acl.roles, acl.binding_rules, acl.auth_methods)
