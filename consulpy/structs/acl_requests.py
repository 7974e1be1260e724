"""Requests and replies of ACL.* (docs/wire/acl.md section 8)."""

from dataclasses import field
from typing import Any

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.gocompat.time import time_field
from consulpy.structs.acl import (
    AuthMethod,
    AuthMethodStub,
    BindingRule,
    LegacyAcl,
    Policy,
    PolicyStub,
    Role,
    Token,
    TokenStub,
)
from consulpy.structs.requests import Read, Reply, SpecificRequest, Write

#: Kinds of ids in a `TokenReadRequest`.
BY_SECRET = "secret"
BY_ACCESSOR = "accessor"

# -- tokens


@dataclass(slots=True)
class TokenReadRequest(Read):
    """ACL.TokenRead."""

    token_id: str = go("TokenID", default="")
    token_id_type: str = go("TokenIDType", default="")


@dataclass(slots=True)
class TokenReply(Reply):
    """ACL.TokenRead; nil for an unknown accessor. `redacted`: the secret is hidden."""

    token: Token | None = None
    redacted: bool = False
    source_datacenter: str = ""


@dataclass(slots=True)
class TokenListRequest(Read):
    """ACL.TokenList: tokens with this policy, role (ids) or auth method (name), if given."""

    include_local: bool = False
    include_global: bool = False
    policy: str = ""
    role: str = ""
    auth_method: str = ""


@dataclass(slots=True)
class TokenListReply(Reply):
    """ACL.TokenList."""

    tokens: list[TokenStub] | None = None


@dataclass(slots=True)
class TokenBatchRequest(Read):
    """ACL.TokenBatchRead, by accessor."""

    accessor_ids: list[str] | None = go("AccessorIDs", default=None)


@dataclass(slots=True)
class TokenBatchReply(Reply):
    """ACL.TokenBatchRead."""

    tokens: list[Token] | None = None
    redacted: bool = False
    removed: bool = False


@dataclass(slots=True)
class TokenSetRequest(Write):
    """ACL.TokenSet and ACL.TokenClone. `create`: the client may choose the ids."""

    acl_token: Token = go("ACLToken", default_factory=Token)
    create: bool = False


@dataclass(slots=True)
class TokenDeleteRequest(Write):
    """ACL.TokenDelete, by accessor."""

    token_id: str = go("TokenID", default="")


# -- policies


@dataclass(slots=True)
class PolicyReadRequest(Read):
    """ACL.PolicyRead, by id or name."""

    policy_id: str = go("PolicyID", default="")
    policy_name: str = ""


@dataclass(slots=True)
class PolicyReply(Reply):
    """ACL.PolicyRead."""

    policy: Policy | None = None


@dataclass(slots=True)
class PolicyListReply(Reply):
    """ACL.PolicyList."""

    policies: list[PolicyStub] | None = None


@dataclass(slots=True)
class PolicyBatchRequest(Read):
    """ACL.PolicyResolve and ACL.PolicyBatchRead."""

    policy_ids: list[str] | None = go("PolicyIDs", default=None)


@dataclass(slots=True)
class PolicyBatchReply(Reply):
    """ACL.PolicyResolve and ACL.PolicyBatchRead."""

    policies: list[Policy] | None = None


@dataclass(slots=True)
class PolicySetRequest(Write):
    """ACL.PolicySet; creates a policy without an id."""

    policy: Policy = field(default_factory=Policy)


@dataclass(slots=True)
class PolicyDeleteRequest(Write):
    """ACL.PolicyDelete."""

    policy_id: str = go("PolicyID", default="")


# -- roles


@dataclass(slots=True)
class RoleReadRequest(Read):
    """ACL.RoleRead, by id or name."""

    role_id: str = go("RoleID", default="")
    role_name: str = ""


@dataclass(slots=True)
class RoleReply(Reply):
    """ACL.RoleRead."""

    role: Role | None = None


@dataclass(slots=True)
class RoleListRequest(Read):
    """ACL.RoleList: roles with this policy (id), if given."""

    policy: str = ""


@dataclass(slots=True)
class RolesReply(Reply):
    """ACL.RoleList, ACL.RoleResolve and ACL.RoleBatchRead."""

    roles: list[Role] | None = None


@dataclass(slots=True)
class RoleBatchRequest(Read):
    """ACL.RoleResolve and ACL.RoleBatchRead."""

    role_ids: list[str] | None = go("RoleIDs", default=None)


@dataclass(slots=True)
class RoleSetRequest(Write):
    """ACL.RoleSet; creates a role without an id."""

    role: Role = field(default_factory=Role)


@dataclass(slots=True)
class RoleDeleteRequest(Write):
    """ACL.RoleDelete."""

    role_id: str = go("RoleID", default="")


# -- binding rules and auth methods


@dataclass(slots=True)
class BindingRuleReadRequest(Read):
    """ACL.BindingRuleRead."""

    binding_rule_id: str = go("BindingRuleID", default="")


@dataclass(slots=True)
class BindingRuleReply(Reply):
    """ACL.BindingRuleRead."""

    binding_rule: BindingRule | None = None


@dataclass(slots=True)
class BindingRuleListRequest(Read):
    """ACL.BindingRuleList: of an auth method, if given."""

    auth_method: str = ""


@dataclass(slots=True)
class BindingRuleListReply(Reply):
    """ACL.BindingRuleList."""

    binding_rules: list[BindingRule] | None = None


@dataclass(slots=True)
class BindingRuleSetRequest(Write):
    """ACL.BindingRuleSet; creates a rule without an id."""

    binding_rule: BindingRule = field(default_factory=BindingRule)


@dataclass(slots=True)
class BindingRuleDeleteRequest(Write):
    """ACL.BindingRuleDelete."""

    binding_rule_id: str = go("BindingRuleID", default="")


@dataclass(slots=True)
class AuthMethodReadRequest(Read):
    """ACL.AuthMethodRead."""

    auth_method_name: str = ""


@dataclass(slots=True)
class AuthMethodReply(Reply):
    """ACL.AuthMethodRead."""

    auth_method: AuthMethod | None = None


@dataclass(slots=True)
class AuthMethodListReply(Reply):
    """ACL.AuthMethodList."""

    auth_methods: list[AuthMethodStub] | None = None


@dataclass(slots=True)
class AuthMethodSetRequest(Write):
    """ACL.AuthMethodSet."""

    auth_method: AuthMethod = field(default_factory=AuthMethod)


@dataclass(slots=True)
class AuthMethodDeleteRequest(Write):
    """ACL.AuthMethodDelete."""

    auth_method_name: str = ""


# -- login, bootstrap, replication


@dataclass(slots=True)
class LoginParams(Record):
    """Auth method, bearer token and metadata of a login."""

    auth_method: str = ""
    bearer_token: str = ""
    meta: dict[str, str] | None = None


@dataclass(slots=True)
class LoginRequest(Write):
    """ACL.Login."""

    auth: LoginParams | None = None


@dataclass(slots=True)
class LogoutRequest(Write):
    """ACL.Logout."""


@dataclass(slots=True)
class BootstrapBody(Record):
    """The body of `/v1/acl/bootstrap`: the secret that the first token is to have; "" for a new one."""

    bootstrap_secret: str = ""


@dataclass(slots=True)
class BootstrapRequest(SpecificRequest):
    """ACL.BootstrapTokens; with `bootstrap_secret` (Consul 1.13) ACL.BootstrapWithSecret."""

    bootstrap_secret: str = go(is_optional=True, default="")


@dataclass(slots=True)
class ReplicationStatus(Record):
    """ACL.ReplicationStatus."""

    enabled: bool = False
    running: bool = False
    source_datacenter: str = ""
    replication_type: str = ""
    replicated_index: int = 0
    replicated_role_index: int = 0
    replicated_token_index: int = 0
    last_success: bytes = time_field()
    last_error: bytes = time_field()


# -- legacy


@dataclass(slots=True)
class LegacyReadRequest(Read):
    """ACL.Get."""

    acl: str = go("ACL", default="")


@dataclass(slots=True)
class LegacyPolicyRequest(Read):
    """ACL.GetPolicy."""

    acl: str = go("ACL", default="")
    etag: str = go("ETag", default="")


@dataclass(slots=True)
class LegacyAclsReply(Reply):
    """ACL.Get and ACL.List."""

    acls: list[LegacyAcl] | None = go("ACLs", default=None)


# -- authorization queries of other programs


@dataclass(slots=True)
class AuthorizationQuestion(Record):
    """One query of ACL.Authorize: whether the token allows an access."""

    resource: str = ""
    segment: str = go(omit_empty=True, default="")
    access: str = ""


@dataclass(slots=True)
class AuthorizationAnswer(AuthorizationQuestion):
    """A query with its answer."""

    allow: bool = False


@dataclass(slots=True)
class AuthorizeRequest(Read):
    """ACL.Authorize."""

    requests: list[AuthorizationQuestion] | None = None


@dataclass(slots=True)
class AuthorizeReply(Record):
    """ACL.Authorize: a bare list on the wire."""

    answers: list[AuthorizationAnswer] | None = None

    def to_wire(self) -> Any:
        """Encode as a list."""
        return [each.to_wire() for each in self.answers or ()]

    @classmethod
    def from_wire(cls, raw: Any) -> "AuthorizeReply":
        """Decode a list. Raises `WireError`."""
        return cls([AuthorizationAnswer.from_wire(each) for each in raw or ()])
