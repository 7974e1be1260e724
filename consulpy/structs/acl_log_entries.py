"""Bodies of the log entries of the ACL tables (docs/wire/acl.md section 9)."""

from dataclasses import field

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.acl import (
    AuthMethod,
    BindingRule,
    LegacyAcl,
    Policy,
    Role,
    Token,
)
from consulpy.structs.requests import Write


@dataclass(slots=True)
class TokenBatchSet(Record):
    """Type 17. `cas`: only tokens whose ModifyIndex is unchanged."""

    tokens: list[Token] | None = None
    cas: bool = go("CAS", default=False)
    allow_missing_links: bool = False
    prohibit_unprivileged: bool = False
    from_replication: bool = False


@dataclass(slots=True)
class TokenBatchDelete(Record):
    """Type 18, by accessor."""

    token_ids: list[str] | None = go("TokenIDs", default=None)


@dataclass(slots=True)
class PolicyBatchSet(Record):
    """Type 19."""

    policies: list[Policy] | None = None


@dataclass(slots=True)
class PolicyBatchDelete(Record):
    """Type 20."""

    policy_ids: list[str] | None = go("PolicyIDs", default=None)


@dataclass(slots=True)
class RoleBatchSet(Record):
    """Type 23."""

    roles: list[Role] | None = None
    allow_missing_links: bool = False


@dataclass(slots=True)
class RoleBatchDelete(Record):
    """Type 24."""

    role_ids: list[str] | None = go("RoleIDs", default=None)


@dataclass(slots=True)
class BindingRuleBatchSet(Record):
    """Type 25."""

    binding_rules: list[BindingRule] | None = None


@dataclass(slots=True)
class BindingRuleBatchDelete(Record):
    """Type 26."""

    binding_rule_ids: list[str] | None = go("BindingRuleIDs", default=None)


@dataclass(slots=True)
class AuthMethodBatchSet(Record):
    """Type 27."""

    auth_methods: list[AuthMethod] | None = None


@dataclass(slots=True)
class AuthMethodBatchDelete(Record):
    """Type 28."""

    auth_method_names: list[str] | None = None


@dataclass(slots=True)
class Bootstrap(Record):
    """Type 11. `reset_index`: the index of the bootstrap that this one replaces, 0 for the first one."""

    reset_index: int = 0
    token: Token = field(default_factory=Token)


@dataclass(slots=True)
class LegacyRequest(Write):
    """ACL.Apply, and type 4."""

    op: str = ""
    acl: LegacyAcl = go("ACL", default_factory=LegacyAcl)
