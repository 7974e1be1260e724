"""Request bodies of /v1/acl, decoded as Go does."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record
from consulpy.errors import BadRequest
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads, mismatch, record_reader
from consulpy.gocompat.newer_fields import fields_of
from consulpy.gocompat.time import go_time
from consulpy.http.api.routing import Request
from consulpy.local.shapes import INDEXES, aux_struct
from consulpy.structs.acl import (
    CLIENT,
    AuthMethod,
    BindingRule,
    LegacyAcl,
    Link,
    NodeIdentity,
    Policy,
    Role,
    ServiceIdentity,
    TemplatedPolicy,
    TemplateVariables,
    Token,
)
from consulpy.structs.acl_requests import AuthorizationQuestion, BootstrapBody, LoginParams

_Body = TypeVar("_Body", bound=Record)


#: The form of a time, as Go's errors have it.
_TIME: Final = '"2006-01-02T15:04:05Z07:00"'


def _time(value: Any) -> bytes:
    """Decode an RFC 3339 time."""
    try:
        if not isinstance(value, str):
            raise ValueError
        found = datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError
        return go_time(found.timestamp())
    except (ValueError, OverflowError):
        written = json.dumps(value, ensure_ascii=False)
        rest, wanted = (written[1:], "2006") if isinstance(value, str) else (written, '"')
        raise GoError(f'parsing time "{written}" as "{_TIME}": cannot parse "{rest}" as "{wanted}"') from None


def _hash(value: Any) -> None:
    """A hash is read and forgotten: what was read may be written back."""
    if not isinstance(value, str):
        raise mismatch(value, "string")


_IDENTITIES: Final[dict[type[Record], Shape]] = {
    ServiceIdentity: Shape("structs.ACLServiceIdentity"),
    NodeIdentity: Shape("structs.ACLNodeIdentity"),
    TemplatedPolicy: Shape(
        "structs.ACLTemplatedPolicy",
        ignored=frozenset({"TemplateID"}),
        inner={TemplateVariables: Shape("structs.ACLTemplatedPolicyVariables")},
    ),
}
_LISTS: Final = {
    "ServiceIdentities": "[]*structs.ACLServiceIdentity",
    "NodeIdentities": "[]*structs.ACLNodeIdentity",
}


def _links(name: str) -> Callable[[Any], Any]:
    """What decodes links to policies or roles, each a struct of this name."""
    read = record_reader(Link, Shape(f"structs.{name}"))

    def decode_links(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise mismatch(value, f"[]structs.{name}")
        return [read(each) if each is not None else Link() for each in value]

    return decode_links


_HASHED: Final = aux_struct("Hash string")
_TOKEN: Final = Shape(
    aux_struct("ExpirationTTL interface {}", "Hash string"),
    custom=True,
    durations=frozenset({"ExpirationTTL"}),
    unsigned=INDEXES,
    without=frozenset({"Type"}),
    readers={
        "ExpirationTime": _time,
        "CreateTime": _time,
        "Hash": _hash,
        "Policies": _links("ACLTokenPolicyLink"),
        "Roles": _links("ACLTokenRoleLink"),
    },
    types=_LISTS,
    newer=fields_of("Token"),
    inner=_IDENTITIES,
)
_POLICY: Final = Shape(
    _HASHED,
    custom=True,
    unsigned=INDEXES,
    types={"Syntax": "acl.SyntaxVersion"},
    newer=fields_of("Policy"),
    readers={"Hash": _hash},
)
_ROLE: Final = Shape(
    _HASHED,
    custom=True,
    unsigned=INDEXES,
    newer=fields_of("Role"),
    inner=_IDENTITIES,
    readers={"Hash": _hash, "Policies": _links("ACLRolePolicyLink")},
    types=_LISTS,
)
_RULE: Final = Shape("structs.ACLBindingRule", unsigned=INDEXES, newer=fields_of("BindingRule"))
_METHOD: Final = Shape(
    aux_struct("MaxTokenTTL interface {}"),
    custom=True,
    durations=frozenset({"MaxTokenTTL"}),
    unsigned=INDEXES,
    newer=fields_of("AuthMethod"),
)


@dataclass(slots=True)
class _Legacy(LegacyAcl):
    """A legacy token, a client's unless it says something else."""

    type: str = CLIENT


_LEGACY: Final = Shape("structs.ACL", unsigned=INDEXES)
_LOGIN: Final = Shape("structs.ACLLoginParams", newer=fields_of("LoginParams"))
_VARIABLES: Final = Shape("structs.ACLTemplatedPolicyVariables")
_QUESTION: Final = Shape(
    "structs.ACLAuthorizationRequest", types={"Resource": "acl.Resource"}, newer=fields_of("AuthorizationQuestion")
)
_BOOTSTRAP: Final = Shape("structs.ACLInitialTokenBootstrapRequest")


def _read(request: Request, kind: type[_Body], shape: Shape, what: str) -> _Body:
    try:
        return decode(kind, loads(request.body), shape)
    except GoError as error:
        raise BadRequest(f"Bad request: {what} decoding failed: {error}") from None


def token(request: Request) -> Token:
    """A token. Raises `BadRequest`."""
    return _read(request, Token, _TOKEN, "Token")


def bootstrap(request: Request) -> BootstrapBody:
    """The body of a bootstrap, which may be missing (Consul 1.13). Raises `BadRequest`."""
    return _read(request, BootstrapBody, _BOOTSTRAP, "Bootstrap") if request.body.strip() else BootstrapBody()


def policy(request: Request) -> Policy:
    """A policy. Raises `BadRequest`."""
    return _read(request, Policy, _POLICY, "Policy")


def template_variables(request: Request) -> TemplateVariables:
    """The variables of a template; no body is none of them. Raises `BadRequest`."""
    if not request.body:
        return TemplateVariables()
    return _read(request, TemplateVariables, _VARIABLES, "Template variables")


def role(request: Request) -> Role:
    """A role. Raises `BadRequest`."""
    return _read(request, Role, _ROLE, "Role")


def binding_rule(request: Request) -> BindingRule:
    """A binding rule. Raises `BadRequest`."""
    return _read(request, BindingRule, _RULE, "BindingRule")


def auth_method(request: Request) -> AuthMethod:
    """An auth method. Raises `BadRequest`."""
    return _read(request, AuthMethod, _METHOD, "AuthMethod")


def login(request: Request) -> LoginParams | None:
    """Auth method and bearer token of a login; None for `null`. Raises `BadRequest`."""
    try:
        if loads(request.body) is None:
            return None
        return decode(LoginParams, loads(request.body), _LOGIN)
    except GoError as error:
        raise BadRequest(f"Bad request: Failed to decode request body: {error}") from None


def legacy(request: Request) -> LegacyAcl:
    """A legacy token (before 1.4); no body is an empty one. Raises `BadRequest`."""
    if not request.body:
        return _Legacy()
    try:
        return decode(_Legacy, loads(request.body), _LEGACY)
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None


def questions(request: Request) -> list[AuthorizationQuestion]:
    """The requests of an authorization check. Raises `BadRequest`."""
    try:
        found = loads(request.body)
        if found is None:
            return []
        if not isinstance(found, list):
            raise mismatch(found, "[]structs.ACLAuthorizationRequest")
        return [decode(AuthorizationQuestion, each, _QUESTION) for each in found]
    except GoError as error:
        raise BadRequest(f"Bad request: Failed to decode request body: {error}") from None
