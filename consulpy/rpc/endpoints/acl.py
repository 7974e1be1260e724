"""ACL.*: bootstrap, replication status, what a token may do (docs/wire/acl.md sections 8 and 12)."""

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import LIST, NAMED, READ, SCALARS, WRITE
from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.time import go_time
from consulpy.rpc.endpoints.acl_token import new_secret
from consulpy.rpc.methods import read, write
from consulpy.rpc.uuids import is_uuid
from consulpy.state.acl_commands import AclBootstrap
from consulpy.state.watch import WatchSet
from consulpy.structs.acl import RESERVED_PREFIX, Token, management_token
from consulpy.structs.acl_log_entries import Bootstrap
from consulpy.structs.acl_requests import (
    AuthorizationAnswer,
    AuthorizationQuestion,
    AuthorizeReply,
    AuthorizeRequest,
    BootstrapRequest,
    ReplicationStatus,
)
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: Questions in one request.
QUESTIONS_MAX: Final = 64
DESCRIPTION: Final = "Bootstrap Token (Global Management)"
_LEVELS: Final = {"read": READ, "list": LIST, "write": WRITE}


@write("ACL.BootstrapTokens", BootstrapRequest, Token)
def bootstrap(server: "Server", request: BootstrapRequest) -> "Deferred[Token]":
    """Make the first management token; again only after the reset index was written into the data directory."""
    return Deferred.fromCoroutine(_bootstrap(server, request.bootstrap_secret))


@write("ACL.BootstrapWithSecret", BootstrapRequest, Token)
def bootstrap_with_secret(server: "Server", request: BootstrapRequest) -> "Deferred[Token]":
    """Bootstrap with a secret that the caller gives: by this name no server of 1.8.7 makes another one."""
    return bootstrap(server, request)


async def _bootstrap(server: "Server", secret: str) -> Token:
    if secret and not is_uuid(secret):
        raise BadRequest("BootstrapSecret is not a valid UUID")
    if secret and (secret.startswith(RESERVED_PREFIX) or server.store.acl.token(secret) is not None):
        raise BadRequest("BootstrapSecret is reserved or already in use")
    specified, reset_index = 0, server.store.acl.reset_index
    if reset_index:
        specified = await server.in_thread(server.reset_file.read)
        if not specified:
            raise RPCError(f"ACL bootstrap no longer allowed (reset index: {reset_index})")
        if specified != reset_index:
            raise RPCError(f"Invalid bootstrap reset index (specified {specified}, reset index: {reset_index})")
        await server.in_thread(server.reset_file.remove)
    acl = server.store.acl
    token = management_token(new_secret(acl), secret or new_secret(acl), DESCRIPTION, go_time(server.wall_s()))
    await server.submit(AclBootstrap(Bootstrap(specified, token)))
    found = server.store.acl.token(token.secret_id)
    if found is None:
        raise RPCError("Failed to retrieve the token after insertion")
    return server.store.acl.with_current_links(found)


@write("ACL.ReplicationStatus", SpecificRequest, ReplicationStatus)
def replication_status(server: "Server", request: SpecificRequest) -> ReplicationStatus:  # noqa: ARG001
    """State of the replication from the primary datacenter; in the primary itself all is zero."""
    return server.acl_replication() if server.acl_replication is not None else ReplicationStatus()


@read("ACL.Authorize", AuthorizeRequest, AuthorizeReply)
def authorize(server: "Server", request: AuthorizeRequest, watch: WatchSet | None) -> AuthorizeReply:
    """Whether the token may do this and that."""
    authorizer = server.guard.resolve(request.options.token, watch).authorizer
    return AuthorizeReply(answers(authorizer, request.requests or []))


def answers(authorizer: Authorizer, questions: list[AuthorizationQuestion]) -> list[AuthorizationAnswer]:
    """Each question with its answer. Raises `BadRequest`."""
    if len(questions) > QUESTIONS_MAX:
        raise BadRequest(f"Bad request: Refusing to process more than {QUESTIONS_MAX} authorizations at once")
    return [AuthorizationAnswer(each.resource, each.segment, each.access, _may(authorizer, each)) for each in questions]


def _may(authorizer: Authorizer, question: AuthorizationQuestion) -> bool:
    kind = question.resource
    if kind not in (*NAMED, *SCALARS):
        raise BadRequest(f'Bad request: Invalid ACL resource requested: "{kind}"')
    level = _LEVELS.get(question.access)
    if level is None or (level is LIST and kind != "key"):
        raise BadRequest(f"Bad request: Invalid access level for {kind} resource: {question.access}")
    return authorizer.allows(kind, question.segment, level)
