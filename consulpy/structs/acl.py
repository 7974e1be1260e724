"""Tokens, policies, roles, auth methods and binding rules (docs/wire/acl.md section 1).

A token's secret works as its password; displays and logs name a token by its accessor.
"""

from hashlib import blake2b
from typing import Any, Final, Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.time import time_field

GLOBAL_MANAGEMENT_ID: Final = "00000000-0000-0000-0000-000000000001"
GLOBAL_READ_ONLY_ID: Final = "00000000-0000-0000-0000-000000000002"
GLOBAL_READ_ONLY: Final = "builtin/global-read-only"
ANONYMOUS_ACCESSOR: Final = "00000000-0000-0000-0000-000000000002"
ANONYMOUS_SECRET: Final = "anonymous"
#: Prefix of ids that can't be chosen.
RESERVED_PREFIX: Final = "00000000-0000-0000-0000-0000000000"
#: Shown in place of a secret.
HIDDEN: Final = "<hidden>"
#: Types of legacy tokens.
CLIENT: Final = "client"
MANAGEMENT: Final = "management"

GLOBAL_MANAGEMENT_RULES: Final = """
acl = "write"
agent_prefix "" {
\tpolicy = "write"
}
event_prefix "" {
\tpolicy = "write"
}
key_prefix "" {
\tpolicy = "write"
}
keyring = "write"
node_prefix "" {
\tpolicy = "write"
}
operator = "write"
query_prefix "" {
\tpolicy = "write"
}
service_prefix "" {
\tpolicy = "write"
\tintentions = "write"
}
session_prefix "" {
\tpolicy = "write"
}"""


@dataclass(slots=True)
class Link(Record):
    """A link to a policy or role: by id in the store, by id or name in requests."""

    id: str = go("ID", default="")
    name: str = ""


@dataclass(slots=True)
class ServiceIdentity(Record):
    """The rights of one service; in all datacenters if none is named."""

    service_name: str = ""
    datacenters: list[str] | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class NodeIdentity(Record):
    """The rights of one node in one datacenter."""

    node_name: str = ""
    datacenter: str = ""


@dataclass(slots=True)
class TemplateVariables(Record):
    """Values of a template's variables. Newer versions show `name` in small letters, and take any."""

    name: str = go(json="name", default="")

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """See `Record.from_wire`; encoders that go by JSON's names write it in small letters."""
        if isinstance(raw, dict) and b"name" in raw:
            raw = {b"Name": raw[b"name"], **raw}
        return super(TemplateVariables, cls).from_wire(raw)  # noqa: UP008 - slots make another class


@dataclass(slots=True)
class TemplatedPolicy(Record):
    """The rights of a built-in template (1.17, `consulpy.acl.templates`); everywhere if no datacenter is named."""

    template_name: str = ""
    template_variables: TemplateVariables | None = go(omit_empty=True, default=None)
    datacenters: list[str] | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class Token(Record):
    """A token. Times as in `gocompat.time`; `expiration_ttl` (ns) is input only; `type` and `rules` are legacy."""

    accessor_id: str = go("AccessorID", default="")
    secret_id: str = go("SecretID", default="")
    description: str = ""
    policies: list[Link] | None = go(omit_empty=True, default=None)
    roles: list[Link] | None = go(omit_empty=True, default=None)
    service_identities: list[ServiceIdentity] | None = go(omit_empty=True, default=None)
    node_identities: list[NodeIdentity] | None = go(omit_empty=True, default=None)
    templated_policies: list[TemplatedPolicy] | None = go(omit_empty=True, is_optional=True, default=None)
    type: str = go(json="-", default="")
    rules: str = go(omit_empty=True, default="")
    local: bool = False
    auth_method: str = go(omit_empty=True, default="")
    expiration_time: bytes | None = time_field(omit_empty=True, default=None)
    expiration_ttl: int = go("ExpirationTTL", omit_empty=True, json_as=format_duration_ns, default=0)
    create_time: bytes = time_field()
    hash: bytes | None = go(omit_empty=True, default=None)
    create_index: int = 0
    modify_index: int = 0

    @property
    def is_legacy(self) -> bool:
        """Whether it has rules of its own, as all tokens had before 1.4."""
        return bool(self.rules)

    @property
    def uses_new_fields(self) -> bool:
        """Whether it has fields that did not exist before 1.4."""
        identities = self.service_identities or self.node_identities or self.templated_policies
        return not self.type or bool(self.roles or identities)

    @property
    def takes_legacy_changes(self) -> bool:
        """Whether calls from before 1.4 may change it. The master token, which they show, has a policy."""
        return not (self.uses_new_fields or self.policies)

    def content_hash(self) -> bytes:
        """The correct value of `hash`."""
        parts = [self.description, self.type, self.rules, "local" if self.local else "global"]
        parts += [link.id for link in (*(self.policies or ()), *(self.roles or ()))]
        return _hash([*parts, *_identities(self)])


@dataclass(slots=True)
class TokenStub(Record):
    """A token in a list."""

    accessor_id: str = go("AccessorID", default="")
    description: str = ""
    policies: list[Link] | None = go(omit_empty=True, default=None)
    roles: list[Link] | None = go(omit_empty=True, default=None)
    service_identities: list[ServiceIdentity] | None = go(omit_empty=True, default=None)
    node_identities: list[NodeIdentity] | None = go(omit_empty=True, default=None)
    templated_policies: list[TemplatedPolicy] | None = go(omit_empty=True, is_optional=True, default=None)
    local: bool = False
    auth_method: str = go(omit_empty=True, default="")
    expiration_time: bytes | None = time_field(omit_empty=True, default=None)
    create_time: bytes = time_field()
    hash: bytes | None = None
    create_index: int = 0
    modify_index: int = 0
    legacy: bool = go(omit_empty=True, default=False)

    @classmethod
    def of(cls, token: Token) -> "TokenStub":
        """The stub of a token."""
        return cls(
            accessor_id=token.accessor_id,
            description=token.description,
            policies=token.policies,
            roles=token.roles,
            service_identities=token.service_identities,
            node_identities=token.node_identities,
            templated_policies=token.templated_policies,
            local=token.local,
            auth_method=token.auth_method,
            expiration_time=token.expiration_time,
            create_time=token.create_time,
            hash=token.hash,
            create_index=token.create_index,
            modify_index=token.modify_index,
            legacy=token.is_legacy,
        )


@dataclass(slots=True)
class Policy(Record):
    """A policy. `datacenters`: where it applies, everywhere if none is named. `syntax` 1: legacy rules."""

    id: str = go("ID", default="")
    name: str = ""
    description: str = ""
    rules: str = ""
    syntax: int = go(json="-", default=0)
    datacenters: list[str] | None = go(omit_empty=True, default=None)
    hash: bytes | None = None
    create_index: int = 0
    modify_index: int = 0

    def content_hash(self) -> bytes:
        """The correct value of `hash`."""
        return _hash([self.name, self.description, self.rules, *(self.datacenters or ())])


@dataclass(slots=True)
class PolicyStub(Record):
    """A policy in a list."""

    id: str = go("ID", default="")
    name: str = ""
    description: str = ""
    datacenters: list[str] | None = None
    hash: bytes | None = None
    create_index: int = 0
    modify_index: int = 0

    @classmethod
    def of(cls, policy: Policy) -> "PolicyStub":
        """The stub of a policy."""
        return cls(
            id=policy.id,
            name=policy.name,
            description=policy.description,
            datacenters=policy.datacenters,
            hash=policy.hash,
            create_index=policy.create_index,
            modify_index=policy.modify_index,
        )


@dataclass(slots=True)
class Role(Record):
    """A role: policies and identities."""

    id: str = go("ID", default="")
    name: str = ""
    description: str = ""
    policies: list[Link] | None = go(omit_empty=True, default=None)
    service_identities: list[ServiceIdentity] | None = go(omit_empty=True, default=None)
    node_identities: list[NodeIdentity] | None = go(omit_empty=True, default=None)
    templated_policies: list[TemplatedPolicy] | None = go(omit_empty=True, is_optional=True, default=None)
    hash: bytes | None = None
    create_index: int = 0
    modify_index: int = 0

    def content_hash(self) -> bytes:
        """The correct value of `hash`."""
        links = [link.id for link in self.policies or ()]
        return _hash([self.name, self.description, *links, *_identities(self)])


@dataclass(slots=True)
class BindingRule(Record):
    """Rights granted to a login of an auth method if `selector` (a filter expression) matches its identity."""

    id: str = go("ID", default="")
    description: str = ""
    auth_method: str = ""
    selector: str = ""
    bind_type: str = ""
    bind_name: str = ""
    #: Variables of a templated policy (1.17), as `bind_name` with `${variable}`.
    bind_vars: TemplateVariables | None = go(omit_empty=True, is_optional=True, default=None)
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class AuthMethod(Record):
    """An external authentication method. `max_token_ttl` in ns."""

    name: str = ""
    type: str = ""
    display_name: str = go(omit_empty=True, default="")
    description: str = go(omit_empty=True, default="")
    max_token_ttl: int = go("MaxTokenTTL", omit_empty=True, json_as=format_duration_ns, default=0)
    token_locality: str = go(omit_empty=True, default="")
    config: dict[str, Any] | None = None
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class AuthMethodStub(Record):
    """An auth method in a list."""

    name: str = ""
    type: str = ""
    display_name: str = go(omit_empty=True, default="")
    description: str = go(omit_empty=True, default="")
    create_index: int = 0
    modify_index: int = 0

    @classmethod
    def of(cls, method: AuthMethod) -> "AuthMethodStub":
        """The stub of an auth method."""
        return cls(
            name=method.name,
            type=method.type,
            display_name=method.display_name,
            description=method.description,
            create_index=method.create_index,
            modify_index=method.modify_index,
        )


@dataclass(slots=True)
class LegacyAcl(Record):
    """A legacy token (before 1.4); `id` is the secret."""

    id: str = go("ID", default="")
    name: str = ""
    type: str = ""
    rules: str = ""
    create_index: int = 0
    modify_index: int = 0


def global_management() -> Policy:
    """The built-in policy global-management."""
    policy = Policy(
        id=GLOBAL_MANAGEMENT_ID,
        name="global-management",
        description="Builtin Policy that grants unlimited access",
        rules=GLOBAL_MANAGEMENT_RULES,
    )
    policy.hash = policy.content_hash()
    return policy


def global_read_only() -> Policy:
    """The built-in policy builtin/global-read-only (Consul 1.15.5), which is stored once it is used."""
    policy = Policy(
        id=GLOBAL_READ_ONLY_ID,
        name=GLOBAL_READ_ONLY,
        description="Builtin Policy that grants unlimited read-only access to all components",
        rules=GLOBAL_MANAGEMENT_RULES.replace('"write"', '"read"'),
    )
    policy.hash = policy.content_hash()
    return policy


def anonymous_token(create_time: bytes) -> Token:
    """The built-in anonymous token."""
    token = Token(
        accessor_id=ANONYMOUS_ACCESSOR,
        secret_id=ANONYMOUS_SECRET,
        description="Anonymous Token",
        create_time=create_time,
    )
    token.hash = token.content_hash()
    return token


def management_token(accessor: str, secret: str, description: str, create_time: bytes) -> Token:
    """A token with the policy global-management."""
    token = Token(
        accessor_id=accessor,
        secret_id=secret,
        description=description,
        policies=[Link(GLOBAL_MANAGEMENT_ID)],
        type=MANAGEMENT,
        create_time=create_time,
    )
    token.hash = token.content_hash()
    return token


def services_of(holder: Token | TokenStub | Role) -> set[str]:
    """The services whose identity a token or role has, also by the template `builtin/service`."""
    names = {each.service_name for each in holder.service_identities or ()}
    for policy in holder.templated_policies or ():
        if policy.template_name == "builtin/service" and policy.template_variables is not None:
            names.add(policy.template_variables.name)
    return names


def _identities(holder: Token | Role) -> list[str]:
    parts: list[str] = []
    for service in holder.service_identities or ():
        parts += [service.service_name, *(service.datacenters or ())]
    for node in holder.node_identities or ():
        parts += [node.node_name, node.datacenter]
    for policy in holder.templated_policies or ():
        variables = policy.template_variables
        parts += [policy.template_name, variables.name if variables is not None else "", *(policy.datacenters or ())]
    return parts


def _hash(parts: list[str]) -> bytes:
    return blake2b("".join(parts).encode("utf-8", "surrogateescape"), digest_size=32).digest()
