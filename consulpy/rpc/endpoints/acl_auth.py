"""ACL.AuthMethod*, ACL.BindingRule*, login and logout (docs/wire/acl.md sections 8 and 13)."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from consulpy.acl.binding import BIND_TYPES, AuthIdentity, BadBindName, JwtIdentity, KubernetesIdentity, bind_name
from consulpy.acl.templates import TEMPLATES
from consulpy.codec.record import plain
from consulpy.errors import PermissionDenied, RPCError
from consulpy.filter import FilterError, compile_filter
from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.time import go_time
from consulpy.rpc.acl.resolver import AclNotFound, is_root_name
from consulpy.rpc.endpoints.acl_links import check_name, is_identity_name, is_role_name
from consulpy.rpc.endpoints.acl_newer import TEMPLATED, check_binding, refuse_newer_rule, templated_link
from consulpy.rpc.endpoints.acl_token import TTL_MAX_S, TTL_MIN_S, new_secret, put_token
from consulpy.rpc.methods import read, write
from consulpy.rpc.uuids import is_uuid, new_uuid
from consulpy.state.acl import AUTH_METHODS, BINDING_RULES
from consulpy.state.acl_commands import AuthMethodDelete, AuthMethodSet, BindingRuleDelete, BindingRuleSet, TokenDelete
from consulpy.state.watch import WatchSet
from consulpy.structs import acl_log_entries as bodies
from consulpy.structs import acl_requests as requests
from consulpy.structs.acl import (
    AuthMethod,
    AuthMethodStub,
    BindingRule,
    Link,
    NodeIdentity,
    ServiceIdentity,
    TemplatedPolicy,
    Token,
)
from consulpy.structs.requests import Read

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: Types of auth methods.
TYPES: Final = ("jwt", "kubernetes")
#: Characters that Go escapes in JSON.
_ESCAPED: Final = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}
_NOT_CHANGED: Final = "the AuthMethod field of an Binding Rule is immutable"


# -- auth methods


@read("ACL.AuthMethodRead", requests.AuthMethodReadRequest, requests.AuthMethodReply)
def method_read(
    server: "Server", request: requests.AuthMethodReadRequest, watch: WatchSet | None
) -> requests.AuthMethodReply:
    """One auth method, nil if there is none."""
    reply = requests.AuthMethodReply(auth_method=server.store.acl.auth_method(request.auth_method_name))
    reply.meta.index = server.store.acl.index(watch, AUTH_METHODS)
    return reply


@read("ACL.AuthMethodList", Read, requests.AuthMethodListReply)
def method_list(
    server: "Server",
    request: Read,  # noqa: ARG001
    watch: WatchSet | None,
) -> requests.AuthMethodListReply:
    """All auth methods without their configurations."""
    rows = [AuthMethodStub.of(row) for row in server.store.acl.auth_methods.all()]
    reply = requests.AuthMethodListReply(auth_methods=rows or None)
    reply.meta.index = server.store.acl.index(watch, AUTH_METHODS)
    return reply


@write("ACL.AuthMethodSet", requests.AuthMethodSetRequest, AuthMethod)
def method_set(server: "Server", request: requests.AuthMethodSetRequest) -> Any:
    """Create an auth method, or write another one in its place."""
    method, acl = request.auth_method, server.store.acl
    check_name("Auth Method", method.name)
    existing = acl.auth_method(method.name)
    if existing is not None and existing.type != method.type:
        raise RPCError("the Type field of an Auth Method is immutable")
    if method.type not in TYPES:
        raise RPCError(f"Invalid Auth Method: Type should be one of: [{' '.join(TYPES)}]")
    _check_ttl(method.max_token_ttl)
    if method.token_locality not in ("", "local", "global"):
        raise RPCError("Invalid Auth Method: TokenLocality should be one of 'local' or 'global'")
    if server.primary_datacenter and method.token_locality == "global":
        raise RPCError("Invalid Auth Method: TokenLocality global is for auth methods of the primary datacenter")
    _check_config(method)
    return Deferred.fromCoroutine(_store_method(server, method))


async def _store_method(server: "Server", method: AuthMethod) -> AuthMethod:
    if method.type == "jwt":
        from consulpy.acl.auth_config import jwt_config

        config = jwt_config(plain(method.config))
        if config.source:
            try:
                await server.in_thread(lambda: server.jwt_keys(config, wants_new=True))
            except RPCError as error:
                raise RPCError(f"Invalid Auth Method: error checking {config.source}: {error}") from None
    method = dataclasses.replace(method, create_index=0, modify_index=0)
    await server.submit(AuthMethodSet(bodies.AuthMethodBatchSet([method])))
    return server.store.acl.auth_method(method.name) or method


def _check_ttl(ttl_ns: int) -> None:
    if ttl_ns < 0 or 0 < ttl_ns < TTL_MIN_S * 10**9:
        raise RPCError(
            f"MaxTokenTTL {format_duration_ns(ttl_ns)} cannot be less than {format_duration_ns(TTL_MIN_S * 10**9)}"
        )
    if ttl_ns > TTL_MAX_S * 10**9:
        raise RPCError(
            f"MaxTokenTTL {format_duration_ns(ttl_ns)} cannot be more than {format_duration_ns(TTL_MAX_S * 10**9)}"
        )


def _check_config(method: AuthMethod) -> None:
    """Raises `RPCError`."""
    from consulpy.acl import auth_config  # most servers have no auth methods, and need not wait for its libraries

    given = plain(method.config)
    try:
        auth_config.jwt_config(given) if method.type == "jwt" else auth_config.kubernetes_config(given)
    except auth_config.BadConfig as error:
        raise RPCError(f"Invalid Auth Method: {error}") from None


@write("ACL.AuthMethodDelete", requests.AuthMethodDeleteRequest, bool)
def method_delete(server: "Server", request: requests.AuthMethodDeleteRequest) -> Any:
    """Remove an auth method with its rules and the tokens of its logins, if it is there."""
    existing = server.store.acl.auth_method(request.auth_method_name)
    if existing is None:
        return True
    stored = server.submit(AuthMethodDelete(bodies.AuthMethodBatchDelete([existing.name])))
    return stored.addCallback(lambda _: True)


# -- binding rules


@read("ACL.BindingRuleRead", requests.BindingRuleReadRequest, requests.BindingRuleReply)
def rule_read(
    server: "Server", request: requests.BindingRuleReadRequest, watch: WatchSet | None
) -> requests.BindingRuleReply:
    """One binding rule, nil if there is none."""
    reply = requests.BindingRuleReply(binding_rule=server.store.acl.binding_rule(request.binding_rule_id))
    reply.meta.index = server.store.acl.index(watch, BINDING_RULES)
    return reply


@read("ACL.BindingRuleList", requests.BindingRuleListRequest, requests.BindingRuleListReply)
def rule_list(
    server: "Server", request: requests.BindingRuleListRequest, watch: WatchSet | None
) -> requests.BindingRuleListReply:
    """All binding rules, or those of an auth method."""
    rules = server.store.acl.binding_rules
    rows = rules.by("method", request.auth_method.lower()) if request.auth_method else rules.all()
    reply = requests.BindingRuleListReply(binding_rules=list(rows) or None)
    reply.meta.index = server.store.acl.index(watch, BINDING_RULES)
    return reply


@write("ACL.BindingRuleSet", requests.BindingRuleSetRequest, BindingRule)
def rule_set(server: "Server", request: requests.BindingRuleSetRequest) -> Any:
    """Create a binding rule, or with an id change one."""
    rule, acl = dataclasses.replace(request.binding_rule, create_index=0, modify_index=0), server.store.acl
    if not rule.id:
        rule.id = new_uuid(server.rng)
        while acl.binding_rule(rule.id) is not None:
            rule.id = new_uuid(server.rng)
    else:
        if not is_uuid(rule.id):
            raise RPCError("Binding Rule ID invalid UUID")
        existing = acl.binding_rule(rule.id)
        if existing is None:
            raise RPCError(f"cannot find binding rule {rule.id}")
        rule.auth_method = rule.auth_method or existing.auth_method
        if rule.auth_method != existing.auth_method:
            raise RPCError(_NOT_CHANGED)
    if not rule.auth_method:
        raise RPCError("Invalid Binding Rule: no AuthMethod is set")
    method = acl.auth_method(rule.auth_method)
    if method is None:
        raise RPCError(f'cannot find auth method with name "{rule.auth_method}"')
    _check_rule(rule, method)

    async def written() -> BindingRule:
        await refuse_newer_rule(server, rule)
        await server.submit(BindingRuleSet(bodies.BindingRuleBatchSet([rule])))
        return server.store.acl.binding_rule(rule.id) or rule

    return Deferred.fromCoroutine(written())


def _check_rule(rule: BindingRule, method: AuthMethod) -> None:
    """Raises `RPCError` for a rule that could never hold, or that gives names that cannot be."""
    blank = _blank_identity(method)
    if rule.selector:
        try:
            compile_filter(rule.selector, type(blank))
        except FilterError as error:
            text = str(error).removeprefix("Failed to create boolean expression evaluator: ")
            raise RPCError(f"invalid Binding Rule: Selector is invalid: {text}") from None
    if not rule.bind_type:
        raise RPCError("Invalid Binding Rule: no BindType is set")
    if rule.bind_type not in BIND_TYPES:
        raise RPCError(f'Invalid Binding Rule: unknown BindType "{rule.bind_type}"')
    if not rule.bind_name:
        raise RPCError("Invalid Binding Rule: no BindName is set")
    variables = dict.fromkeys(blank.variables(), "fake")
    try:
        name = bind_name(rule.bind_name, rule.bind_type, variables)
    except BadBindName as error:
        raise RPCError(f"Invalid Binding Rule: invalid BindName: {error}") from None
    if not _is_bindable(rule.bind_type, name):
        raise RPCError("Invalid Binding Rule: invalid BindName")
    check_binding(rule, name, variables)


def _blank_identity(method: AuthMethod) -> AuthIdentity:
    """One with all variables that the method knows."""
    if method.type == "kubernetes":
        return KubernetesIdentity()
    from consulpy.acl.auth_config import jwt_config

    config = jwt_config(plain(method.config))
    return JwtIdentity(dict.fromkeys(config.ClaimMappings.values(), ""), {})


def _is_bindable(bind_type: str, name: str) -> bool:
    if bind_type == TEMPLATED:
        return name in TEMPLATES
    return is_role_name(name) if bind_type == "role" else is_identity_name(name)


@write("ACL.BindingRuleDelete", requests.BindingRuleDeleteRequest, bool)
def rule_delete(server: "Server", request: requests.BindingRuleDeleteRequest) -> Any:
    """Remove a binding rule, if it is there."""
    existing = server.store.acl.binding_rule(request.binding_rule_id)
    if existing is None:
        return True
    stored = server.submit(BindingRuleDelete(bodies.BindingRuleBatchDelete([existing.id])))
    return stored.addCallback(lambda _: True)


# -- login and logout


@write("ACL.Login", requests.LoginRequest, Token)
def login(server: "Server", request: requests.LoginRequest) -> "Deferred[Token]":
    """A token for an identity of an auth method, with what its binding rules give."""
    return Deferred.fromCoroutine(_login(server, request))


async def _login(server: "Server", request: requests.LoginRequest) -> Token:
    auth, acl = request.auth, server.store.acl
    if auth is None:
        raise RPCError("Invalid Login request: Missing auth parameters")
    if request.token:
        raise RPCError("do not provide a token when logging in")
    method = acl.auth_method(auth.auth_method)
    if method is None:
        raise AclNotFound
    if method.type == "kubernetes":
        identity: AuthIdentity = await _kubernetes_identity(server, method, auth.bearer_token)
    else:
        identity = await _jwt_identity(server, method, auth.bearer_token)
    token = _bound(server, method, identity)
    identities = token.service_identities or token.node_identities
    if not (token.roles or token.templated_policies or identities):
        raise PermissionDenied
    now_s = server.wall_s()
    meta = _meta_text(auth.meta) if auth.meta else ""
    token = dataclasses.replace(
        token,
        accessor_id=new_secret(acl),
        secret_id=new_secret(acl),
        description="token created via login" + (f": {meta}" if meta else ""),
        local=method.token_locality != "global",
        auth_method=method.name,
        create_time=go_time(now_s),
        expiration_time=go_time(now_s + method.max_token_ttl / 1e9) if method.max_token_ttl else None,
    )
    stored: Token = await put_token(server, token, from_login=True)
    return stored


def _meta_text(meta: dict[str, str]) -> str:
    """The meta of a login as Go writes it in JSON."""
    text = json.dumps(meta, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_ESCAPED)


async def _kubernetes_identity(server: "Server", method: AuthMethod, bearer: str) -> KubernetesIdentity:
    """The service account that Kubernetes names. Raises `RPCError`."""
    from consulpy.acl.auth_config import is_jwt, kubernetes_config

    if not is_jwt(bearer):
        raise RPCError("failed to parse and validate JWT: square/go-jose: compact JWS format must have three parts")
    config = kubernetes_config(plain(method.config))
    account = await server.in_thread(lambda: server.review_token(config, bearer))
    return KubernetesIdentity(account)


async def _jwt_identity(server: "Server", method: AuthMethod, bearer: str) -> JwtIdentity:
    from consulpy.acl import jwt_claims
    from consulpy.acl.auth_config import jwt_config

    config = jwt_config(plain(method.config))
    try:
        if config.source:
            config.keys = await server.in_thread(lambda: server.jwt_keys(config))
        try:
            claims = jwt_claims.verified_claims(config, bearer, server.wall_s())
        except jwt_claims.UnknownKey:
            if not config.source:
                raise
            config.keys = await server.in_thread(lambda: server.jwt_keys(config, wants_new=True))
            claims = jwt_claims.verified_claims(config, bearer, server.wall_s())
        return JwtIdentity(*jwt_claims.mapped(config, claims))
    except jwt_claims.BadJwt as error:
        raise RPCError(str(error)) from None


def _bound(server: "Server", method: AuthMethod, identity: AuthIdentity) -> Token:
    """The links and identities that the matching rules give together; one invalid name fails all. Raises `RPCError`."""
    acl = server.store.acl
    services: dict[str, None] = {}
    nodes: dict[str, None] = {}
    roles: dict[str, None] = {}
    templated: list[TemplatedPolicy] = []
    variables = dict.fromkeys(_blank_identity(method).variables(), "") | identity.variables()  # missing claims: ""
    for rule in acl.binding_rules.by("method", method.name.lower()):
        if rule.selector and not compile_filter(rule.selector, type(identity))(identity):
            continue
        try:
            name = bind_name(rule.bind_name, rule.bind_type, variables)
        except BadBindName as error:
            raise RPCError(f'cannot compute "{rule.bind_type}" bind name for bind target: {error}') from None
        if not _is_bindable(rule.bind_type, name):
            raise RPCError(f'computed "{rule.bind_type}" bind name for bind target is invalid: "{name}"')
        if rule.bind_type == "service":
            services[name] = None
        elif rule.bind_type == "node":
            nodes[name] = None
        elif rule.bind_type == TEMPLATED:
            try:
                templated.append(templated_link(rule, name, variables))
            except BadBindName as error:
                raise RPCError(f'cannot compute "{rule.bind_type}" bind vars for bind target: {error}') from None
        elif (role := acl.role_by_name(name)) is not None:
            roles[role.id] = None
    return Token(
        roles=[Link(each) for each in roles] or None,
        templated_policies=templated or None,
        service_identities=[ServiceIdentity(each) for each in services] or None,
        node_identities=[NodeIdentity(each, server.datacenter) for each in nodes] or None,
    )


@write("ACL.Logout", requests.LogoutRequest, bool)
def logout(server: "Server", request: requests.LogoutRequest) -> Any:
    """Remove the request's token, if it came from a login."""
    if not request.token:
        raise AclNotFound
    if is_root_name(request.token):
        raise AclNotFound
    token = server.guard.resolve(request.token).token
    if not token.auth_method:
        raise PermissionDenied
    stored = server.submit(TokenDelete(bodies.TokenBatchDelete([token.accessor_id])))
    return stored.addCallback(lambda _: True)
