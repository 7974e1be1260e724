"""Request bodies of /v1/acl, decoded as Go does."""

from datetime import datetime
from typing import Any, Final, TypeVar

from consulpy.codec.record import Record
from consulpy.errors import BadRequest
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads, mismatch
from consulpy.gocompat.newer_fields import fields_of
from consulpy.gocompat.time import go_time
from consulpy.http.api.routing import Request
from consulpy.local.shapes import INDEXES, aux_struct
from consulpy.structs.acl import (
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
        raise GoError(f'parsing time {value!r} as "2006-01-02T15:04:05Z07:00": cannot parse') from None


def _hash(value: Any) -> None:
    """A hash is read and forgotten: what was read may be written back."""
    if not isinstance(value, str):
        raise mismatch(value, "string")


_IDENTITIES: Final[dict[type[Record], Shape]] = {
    Link: Shape("structs.ACLTokenPolicyLink"),
    ServiceIdentity: Shape("structs.ACLServiceIdentity"),
    NodeIdentity: Shape("structs.ACLNodeIdentity"),
    TemplatedPolicy: Shape(
        "structs.ACLTemplatedPolicy",
        ignored=frozenset({"templateid"}),
        inner={TemplateVariables: Shape("structs.ACLTemplatedPolicyVariables")},
    ),
}
_TOKEN: Final = Shape(
    aux_struct('ExpirationTTL interface {} "json:\\",omitempty\\""'),
    custom=True,
    durations=frozenset({"ExpirationTTL"}),
    unsigned=INDEXES,
    without=frozenset({"Type"}),
    readers={"ExpirationTime": _time, "CreateTime": _time, "Hash": _hash},
    newer=fields_of("Token"),
    inner=_IDENTITIES,
)
_POLICY: Final = Shape(
    "structs.ACLPolicy",
    unsigned=INDEXES,
    types={"Syntax": "acl.SyntaxVersion"},
    newer=fields_of("Policy"),
    readers={"Hash": _hash},
)
_ROLE: Final = Shape(
    "structs.ACLRole", unsigned=INDEXES, newer=fields_of("Role"), inner=_IDENTITIES, readers={"Hash": _hash}
)
_RULE: Final = Shape("structs.ACLBindingRule", unsigned=INDEXES, newer=fields_of("BindingRule"))
_METHOD: Final = Shape(
    aux_struct("MaxTokenTTL interface {}"),
    custom=True,
    durations=frozenset({"MaxTokenTTL"}),
    unsigned=INDEXES,
    newer=fields_of("AuthMethod"),
)
_LEGACY: Final = Shape("structs.ACL", unsigned=INDEXES)
_LOGIN: Final = Shape("structs.ACLLoginParams", newer=fields_of("LoginParams"))
_VARIABLES: Final = Shape("structs.ACLTemplatedPolicyVariables")
_QUESTION: Final = Shape("structs.ACLAuthorizationRequest", newer=fields_of("AuthorizationQuestion"))
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
        return LegacyAcl()
    try:
        return decode(LegacyAcl, loads(request.body), _LEGACY)
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None


def questions(request: Request) -> list[AuthorizationQuestion]:
    """The requests of an authorization check. Raises `BadRequest`."""
    try:
        found = loads(request.body)
        if found is None:
            return []
        if not isinstance(found, list):
            raise GoError("json: cannot unmarshal object into Go value of type []structs.ACLAuthorizationRequest")
        return [decode(AuthorizationQuestion, each, _QUESTION) for each in found]
    except GoError as error:
        raise BadRequest(f"Bad request: Failed to decode request body: {error}") from None
