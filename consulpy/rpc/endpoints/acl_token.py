"""ACL.Token*: tokens are read, written, cloned and deleted (docs/wire/acl.md section 8)."""

import dataclasses
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

from consulpy.acl.levels import READ, WRITE
from consulpy.errors import RPCError
from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.time import ZERO_TIME, go_time, unix_s
from consulpy.rpc.acl.denied import require_of
from consulpy.rpc.acl.resolver import AclNotFound
from consulpy.rpc.endpoints.acl_links import checked_nodes, checked_services, resolved_policies, resolved_roles
from consulpy.rpc.endpoints.acl_newer import after_preparation, checked_templates
from consulpy.rpc.methods import read, write
from consulpy.rpc.uuids import is_uuid, new_uuid
from consulpy.state.acl import POLICIES, ROLES, TOKENS, Acl, is_expired
from consulpy.state.acl_commands import TokenDelete, TokenSet
from consulpy.state.watch import WatchSet
from consulpy.structs.acl import ANONYMOUS_ACCESSOR, HIDDEN, RESERVED_PREFIX, Link, Token, TokenStub
from consulpy.structs.acl_log_entries import TokenBatchDelete, TokenBatchSet
from consulpy.structs.acl_requests import (
    BY_ACCESSOR,
    TokenBatchReply,
    TokenBatchRequest,
    TokenDeleteRequest,
    TokenListReply,
    TokenListRequest,
    TokenReadRequest,
    TokenReply,
    TokenSetRequest,
)

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: How long a token may live if its life is limited, in seconds.
TTL_MIN_S: Final = 60
TTL_MAX_S: Final = 24 * 3600
#: Secrets are not to be guessed from others.
_SECRETS: Final = SystemRandom()


def new_secret(acl: Acl) -> str:
    """An unused id, neither a secret nor an accessor of any token, that can't be guessed."""
    while True:
        made = new_uuid(_SECRETS)
        if not _is_taken(acl, made):
            return made


def _is_taken(acl: Acl, text: str) -> bool:
    return acl.token(text) is not None or acl.token_by_accessor(text) is not None


@read("ACL.TokenRead", TokenReadRequest, TokenReply)
def token_read(server: "Server", request: TokenReadRequest, watch: WatchSet | None) -> TokenReply:
    """One token, nil if there is none: by its secret for every client, by its accessor with `acl:read`."""
    acl = server.store.acl
    by_accessor = request.token_id_type == BY_ACCESSOR
    if by_accessor:
        require_of(server.guard.resolve(request.options.token, watch), "ACL.TokenRead", "acl", "", READ)
    found = acl.token_by_accessor(request.token_id) if by_accessor else acl.token(request.token_id)
    if found is not None and is_expired(found, server.wall_s()):
        found = None
    reply = TokenReply(
        token=acl.with_current_links(found) if found is not None else None, source_datacenter=server.datacenter
    )
    if by_accessor and reply.token is not None and not _may_see_secrets(server, request.options.token):
        reply.token = dataclasses.replace(reply.token, secret_id=HIDDEN)
        reply.redacted = True
    reply.meta.index = acl.index(watch, TOKENS, POLICIES, ROLES)
    return reply


def _may_see_secrets(server: "Server", secret: str) -> bool:
    return server.guard.resolve(secret).authorizer.allows("acl", "", WRITE)


@read("ACL.TokenList", TokenListRequest, TokenListReply)
def token_list(server: "Server", request: TokenListRequest, watch: WatchSet | None) -> TokenListReply:
    """All tokens, or those with a policy, role or auth method; without secrets."""
    acl, now_s = server.store.acl, server.wall_s()
    given = [("policy", request.policy), ("role", request.role), ("method", request.auth_method.lower())]
    given = [(group, value) for group, value in given if value]
    if len(given) > 1:
        raise RPCError("can only filter by one of policy, role, or methodName at a time")
    rows = acl.tokens.by(*given[0]) if given else acl.tokens.all()
    stubs = [
        TokenStub.of(acl.with_current_links(row))
        for row in rows
        if (request.include_local if row.local else request.include_global) and not is_expired(row, now_s)
    ]
    reply = TokenListReply(tokens=stubs or None)
    reply.meta.index = acl.index(watch, TOKENS)
    return reply


@read("ACL.TokenBatchRead", TokenBatchRequest, TokenBatchReply)
def token_batch_read(server: "Server", request: TokenBatchRequest, watch: WatchSet | None) -> TokenBatchReply:
    """Tokens by their accessors; other datacenters copy by it."""
    acl = server.store.acl
    found = [acl.token_by_accessor(accessor) for accessor in request.accessor_ids or ()]
    tokens = [acl.with_current_links(row) for row in found if row is not None]
    reply = TokenBatchReply()
    if not _may_see_secrets(server, request.options.token):
        tokens = [dataclasses.replace(row, secret_id=HIDDEN) for row in tokens]
        reply.redacted = True
    reply.tokens = tokens or None
    reply.meta.index = acl.index(watch, TOKENS)
    return reply


@write("ACL.TokenSet", TokenSetRequest, Token)
def token_set(server: "Server", request: TokenSetRequest) -> Any:
    """Create a token, or change the one with the accessor."""
    given, acl = request.acl_token, server.store.acl
    if given.rules:
        raise RPCError("Rules cannot be specified for this token")
    if given.type:
        raise RPCError("Type cannot be specified for this token")
    is_new = request.create or not given.accessor_id

    def put() -> Any:
        token = _new_token(server, given) if is_new else _changed_token(server, given)
        return put_token(server, _linked(acl, token))

    return after_preparation(server, given, put)


@write("ACL.TokenSetTemplated", TokenSetRequest, Token)
def token_set_templated(server: "Server", request: TokenSetRequest) -> Any:
    """`ACL.TokenSet` with templated policies: by this name no server of 1.8.7 drops them."""
    return token_set(server, request)


def _linked(acl: Acl, token: Token) -> Token:
    return dataclasses.replace(
        token,
        policies=_existing(resolved_policies(acl, token.policies), acl.policies, "policy"),
        roles=_existing(resolved_roles(acl, token.roles), acl.roles, "role"),
        service_identities=checked_services(token.service_identities, "token", is_local=token.local),
        node_identities=checked_nodes(token.node_identities, "token"),
        templated_policies=checked_templates(token.templated_policies, "token", is_local=token.local),
    )


def _existing(links: list[Link] | None, rows: Any, what: str) -> list[Link] | None:
    """The links. Raises `RPCError` for an id that nothing has."""
    for link in links or ():
        if rows.get(link.id.lower()) is None:
            raise RPCError(f'No such ACL {what} with ID "{link.id}"')
    return links


def put_token(server: "Server", token: Token, *, from_login: bool = False) -> Any:
    """Store a token; a Deferred of it as it is then."""
    token = dataclasses.replace(token, expiration_ttl=0, create_index=0, modify_index=0, hash=token.content_hash())
    body = TokenBatchSet(tokens=[token], allow_missing_links=from_login, prohibit_unprivileged=from_login)

    def stored(_: Any) -> Token:
        found = server.store.acl.token(token.secret_id)
        if found is None:
            raise RPCError("Failed to retrieve the token after insertion")
        return server.store.acl.with_current_links(found)

    return server.submit(TokenSet(body)).addCallback(stored)


def _new_token(server: "Server", given: Token) -> Token:
    acl = server.store.acl
    if given.auth_method:
        raise RPCError("AuthMethod field is disallowed outside of Login")
    accessor, secret = given.accessor_id, given.secret_id
    if accessor:
        try:
            taken = _is_taken(acl, accessor)
        except RPCError as error:
            raise RPCError(f"Failed acl token lookup by accessor: {error}") from None
        _check_id("AccessorID", accessor, taken=taken)
    if secret:
        if not is_uuid(secret):
            raise RPCError("Invalid Token: SecretID is not a valid UUID")
        _check_id("SecretID", secret, taken=_is_taken(acl, secret))
    now_s = server.wall_s()
    return dataclasses.replace(
        given,
        accessor_id=accessor or new_secret(acl),
        secret_id=secret or new_secret(acl),
        create_time=go_time(now_s),
        expiration_time=_expiration(given, now_s),
    )


def _check_id(what: str, text: str, *, taken: bool) -> None:
    if taken:
        raise RPCError(f"Invalid Token: {what} is already in use")
    if text.startswith(RESERVED_PREFIX):
        raise RPCError(f'Invalid Token: UUIDs with the prefix "{RESERVED_PREFIX}" are reserved')


def _expiration(given: Token, now_s: float) -> bytes | None:
    """When a new token ends. Raises `RPCError`."""
    time = given.expiration_time if given.expiration_time != ZERO_TIME else None
    if given.expiration_ttl < 0:
        raise RPCError(f"Token Expiration TTL '{format_duration_ns(given.expiration_ttl)}' should be > 0")
    if given.expiration_ttl:
        if time is not None:
            raise RPCError("Token Expiration TTL and Expiration Time cannot both be set")
        time = go_time(now_s + given.expiration_ttl / 1e9)
    if time is None:
        return None
    left_s = given.expiration_ttl / 1e9 if given.expiration_ttl else unix_s(time) - now_s
    if left_s < 0:
        raise RPCError("ExpirationTime cannot be before CreateTime")
    shown = format_duration_ns(round(left_s * 1e9))
    if left_s > TTL_MAX_S:
        raise RPCError(f"ExpirationTime cannot be more than 24h0m0s in the future (was {shown})")
    if left_s < TTL_MIN_S:
        raise RPCError(f"ExpirationTime cannot be less than 1m0s in the future (was {shown})")
    return time


def _changed_token(server: "Server", given: Token) -> Token:
    """The token as it is to be; what never changes is taken from what it is. Raises `RPCError`."""
    try:
        existing = server.store.acl.token_by_accessor(given.accessor_id)
    except RPCError as error:
        raise RPCError(f"Failed acl token lookup by accessor: {error}") from None
    if existing is None or is_expired(existing, server.wall_s()):
        raise RPCError(f'Cannot find token "{given.accessor_id}"')
    if given.secret_id not in ("", existing.secret_id):
        raise RPCError("Changing a tokens SecretID is not permitted")
    if given.local != existing.local:
        raise RPCError(f"cannot toggle local mode of {given.accessor_id}")
    if given.auth_method not in ("", existing.auth_method):
        raise RPCError(f"Cannot change AuthMethod of {given.accessor_id}")
    ends = given.expiration_time not in (None, ZERO_TIME, existing.expiration_time)
    if given.expiration_ttl or ends:
        raise RPCError(f"Cannot change expiration time of {given.accessor_id}")
    return dataclasses.replace(
        given,
        accessor_id=existing.accessor_id,
        secret_id=existing.secret_id,
        auth_method=existing.auth_method,
        expiration_time=existing.expiration_time,
        create_time=existing.create_time,
    )


@write("ACL.TokenClone", TokenSetRequest, Token)
def token_clone(server: "Server", request: TokenSetRequest) -> Any:
    """Clone a token: a new one with the same rights."""
    acl, now_s = server.store.acl, server.wall_s()
    existing = acl.token_by_accessor(request.acl_token.accessor_id)
    if existing is None or is_expired(existing, now_s):
        raise AclNotFound
    if existing.rules:
        raise RPCError("Cannot clone a legacy ACL with this endpoint")
    if existing.auth_method:
        raise RPCError("Cannot clone a token created from an auth method")
    token = dataclasses.replace(
        acl.with_current_links(existing),
        accessor_id=new_secret(acl),
        secret_id=new_secret(acl),
        description=request.acl_token.description or existing.description,
        type="",
        create_time=go_time(now_s),
    )
    return put_token(server, _linked(acl, token))


@write("ACL.TokenDelete", TokenDeleteRequest, str)
def token_delete(server: "Server", request: TokenDeleteRequest) -> Any:
    """Remove a token, if it is there; the answer is its accessor, or nothing."""
    accessor = request.token_id
    if not is_uuid(accessor):
        raise RPCError("Accessor ID is missing or an invalid UUID")
    if accessor == ANONYMOUS_ACCESSOR:
        raise RPCError("Delete operation not permitted on the anonymous token")
    existing = server.store.acl.token_by_accessor(accessor)
    if existing is None:
        return ""
    if existing.secret_id == request.token:
        raise RPCError("Deletion of the request's authorization token is not permitted")
    return server.submit(TokenDelete(TokenBatchDelete([existing.accessor_id]))).addCallback(lambda _: accessor)
