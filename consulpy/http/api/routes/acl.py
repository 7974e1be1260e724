"""/v1/acl: bootstrap, tokens, policies, roles, and what a token may do. Where access control is off, all say so."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from consulpy.acl.rules import InvalidRules, parse
from consulpy.acl.translate import translate
from consulpy.errors import BadRequest, RPCError
from consulpy.http.api import acl_bodies as bodies
from consulpy.http.api.params import apply_to_read, apply_to_write
from consulpy.http.api.params import token as token_of
from consulpy.http.api.routing import Answer, HttpError, Request, route
from consulpy.http.api.rpc_read import read
from consulpy.rpc.endpoints.acl import answers
from consulpy.structs import acl_requests as requests
from consulpy.structs.acl import Token
from consulpy.structs.requests import Read, SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

Handler = Callable[["AgentInterface", Request], Awaitable[Answer]]

#: Rules that are accepted and mean nothing are told of in this header.
WARNING_HEADER = "X-Consulpy-Warning"
_NOT_FOUND = "ACL not found"


def acl_route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a route that there is only with access control."""

    def register(handler: Handler) -> Handler:
        @route(method, path)
        async def guarded(agent: "AgentInterface", request: Request) -> Answer:
            if not agent.access.is_on:
                raise HttpError(401, "ACL support disabled")
            return await handler(agent, request)

        return handler

    return register


@acl_route("PUT", "/v1/acl/bootstrap")
async def bootstrap(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    """Make the first token."""
    body = requests.BootstrapRequest(datacenter=agent.datacenter)
    try:
        token: Token = await agent.caller.call("ACL.BootstrapTokens", body)
    except RPCError as error:
        if "ACL bootstrap no longer allowed" in str(error):
            raise HttpError(403, f"Permission denied: {error}") from None
        raise
    return Answer({"ID": token.secret_id, **token.to_json()})


@acl_route("GET", "/v1/acl/replication")
async def replication(agent: "AgentInterface", request: Request) -> Answer:
    """How copying from the primary datacenter goes."""
    asked = apply_to_read(agent, request, SpecificRequest())
    asked.options.token = ""  # nobody is asked for a right
    return Answer((await agent.caller.call("ACL.ReplicationStatus", asked)).to_json())


@acl_route("POST", "/v1/internal/acl/authorize")
async def authorize(agent: "AgentInterface", request: Request) -> Answer:
    """What the caller's token may do."""
    questions = bodies.questions(request)
    asked = apply_to_read(agent, request, requests.AuthorizeRequest(requests=questions))
    if asked.datacenter == agent.datacenter:
        found = answers((await agent.access.identity(token_of(request))).authorizer, questions)
    else:
        found = (await agent.caller.call("ACL.Authorize", asked)).answers or []
    return Answer([each.to_json() for each in found])


# -- tokens


@acl_route("GET", "/v1/acl/tokens")
async def tokens(agent: "AgentInterface", request: Request) -> Answer:
    """All tokens, without their secrets."""
    query = request.query
    asked = requests.TokenListRequest(
        include_local=True,
        include_global=True,
        policy=query.get("policy"),
        role=query.get("role"),
        auth_method=query.get("authmethod"),
    )
    reply, headers = await read(agent, request, "ACL.TokenList", asked, consistency=False)
    return Answer([token.to_json() for token in reply.tokens or ()], headers=headers)


@acl_route("PUT", "/v1/acl/token")
async def create_token(agent: "AgentInterface", request: Request) -> Answer:
    """Write a new token."""
    return await _set_token(agent, request, bodies.token(request), create=True)


async def _set_token(agent: "AgentInterface", request: Request, token: Token, *, create: bool) -> Answer:
    body = apply_to_write(agent, request, requests.TokenSetRequest(acl_token=token, create=create))
    stored = await agent.caller.call("ACL.TokenSet", body)
    return Answer(stored.to_json())


@acl_route("GET", "/v1/acl/token/self")
async def own_token(agent: "AgentInterface", request: Request) -> Answer:
    """The caller's token."""
    asked = requests.TokenReadRequest(token_id=token_of(request), token_id_type=requests.BY_SECRET)
    return await _token(agent, request, asked)


async def _token(agent: "AgentInterface", request: Request, asked: requests.TokenReadRequest) -> Answer:
    reply, headers = await read(agent, request, "ACL.TokenRead", asked, consistency=False)
    if reply.token is None:
        raise HttpError(403, _NOT_FOUND, headers)
    return Answer(reply.token.to_json(), headers=headers)


@acl_route("GET", "/v1/acl/token/")
async def get_token(agent: "AgentInterface", request: Request) -> Answer:
    """One token by its accessor."""
    _need(request, "token ID")
    asked = requests.TokenReadRequest(token_id=request.tail, token_id_type=requests.BY_ACCESSOR)
    return await _token(agent, request, asked)


@acl_route("PUT", "/v1/acl/token/")
async def change_token(agent: "AgentInterface", request: Request) -> Answer:
    """Write another token in its place, or (ACCESSOR/clone) make another like it."""
    given = bodies.token(request)
    accessor, slash, action = request.tail.rpartition("/")
    if slash and action == "clone":
        given.accessor_id = accessor
        body = apply_to_write(agent, request, requests.TokenSetRequest(acl_token=given, create=True))
        return Answer((await agent.caller.call("ACL.TokenClone", body)).to_json())
    if given.accessor_id and given.accessor_id != request.tail:
        raise BadRequest("Bad request: Token Accessor ID in URL and payload do not match")
    given.accessor_id = request.tail
    return await _set_token(agent, request, given, create=False)


@acl_route("DELETE", "/v1/acl/token/")
async def delete_token(agent: "AgentInterface", request: Request) -> Answer:
    """Remove it."""
    _need(request, "token ID")
    body = apply_to_write(agent, request, requests.TokenDeleteRequest(token_id=request.tail))
    await agent.caller.call("ACL.TokenDelete", body)
    return Answer(True)


def _need(request: Request, what: str) -> None:
    if not request.tail:
        raise BadRequest(f"Bad request: Missing {what}")


# -- rules from before 1.4


@acl_route("POST", "/v1/acl/rules/translate")
async def translate_rules(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    """Rules in today's words."""
    return Answer(text=_translated(request.body.decode(errors="replace")))


@acl_route("GET", "/v1/acl/rules/translate/")
async def translate_token(agent: "AgentInterface", request: Request) -> Answer:
    """The rules of a token, in today's words."""
    _need(request, "token ID")
    asked = requests.TokenReadRequest(token_id=request.tail, token_id_type=requests.BY_ACCESSOR)
    reply, headers = await read(agent, request, "ACL.TokenRead", asked, consistency=False)
    if reply.token is None:
        raise HttpError(403, _NOT_FOUND, headers)
    if not reply.token.rules:
        raise HttpError(500, "The specified token does not have any rules set", headers)
    return Answer(text=_translated(reply.token.rules))


def _translated(rules: str) -> str:
    try:
        return translate(rules)
    except InvalidRules as error:
        raise RPCError(str(error)) from None


# -- policies


@acl_route("GET", "/v1/acl/policies")
async def policies(agent: "AgentInterface", request: Request) -> Answer:
    """All policies, without their rules."""
    reply, headers = await read(agent, request, "ACL.PolicyList", Read(), consistency=False)
    return Answer([policy.to_json() for policy in reply.policies or ()], headers=headers)


@acl_route("PUT", "/v1/acl/policy")
async def create_policy(agent: "AgentInterface", request: Request) -> Answer:
    """Write a new policy."""
    policy = bodies.policy(request)
    if policy.id:
        raise BadRequest("Bad request: Cannot specify the ID when creating a new policy")
    return await _set_policy(agent, request, policy)


async def _set_policy(agent: "AgentInterface", request: Request, policy: Any) -> Answer:
    body = apply_to_write(agent, request, requests.PolicySetRequest(policy=policy))
    stored = await agent.caller.call("ACL.PolicySet", body)
    return Answer(stored.to_json(), headers=_warnings(policy.rules))


def _warnings(rules: str) -> dict[str, str]:
    """What of the rules was stored and means nothing."""
    try:
        found = parse(rules).warnings
    except InvalidRules:
        return {}
    return {WARNING_HEADER: "; ".join(found)} if found else {}


@acl_route("GET", "/v1/acl/policy/")
async def get_policy(agent: "AgentInterface", request: Request) -> Answer:
    """One policy by its id."""
    _need(request, "policy ID")
    return await _policy(agent, request, requests.PolicyReadRequest(policy_id=request.tail))


@acl_route("GET", "/v1/acl/policy/name/")
async def get_policy_by_name(agent: "AgentInterface", request: Request) -> Answer:
    """One policy by its name."""
    _need(request, "policy Name")
    return await _policy(agent, request, requests.PolicyReadRequest(policy_name=request.tail))


async def _policy(agent: "AgentInterface", request: Request, asked: requests.PolicyReadRequest) -> Answer:
    reply, headers = await read(agent, request, "ACL.PolicyRead", asked, consistency=False)
    if reply.policy is None:
        raise HttpError(403, _NOT_FOUND, headers)
    return Answer(reply.policy.to_json(), headers=headers)


@acl_route("PUT", "/v1/acl/policy/")
async def change_policy(agent: "AgentInterface", request: Request) -> Answer:
    """Write another policy in its place."""
    policy = bodies.policy(request)
    if policy.id and policy.id != request.tail:
        raise BadRequest("Bad request: Policy ID in URL and payload do not match")
    policy.id = request.tail
    return await _set_policy(agent, request, policy)


@acl_route("DELETE", "/v1/acl/policy/")
async def delete_policy(agent: "AgentInterface", request: Request) -> Answer:
    """Remove it."""
    _need(request, "policy ID")
    body = apply_to_write(agent, request, requests.PolicyDeleteRequest(policy_id=request.tail))
    await agent.caller.call("ACL.PolicyDelete", body)
    return Answer(True)


# -- roles


@acl_route("GET", "/v1/acl/roles")
async def roles(agent: "AgentInterface", request: Request) -> Answer:
    """All roles."""
    asked = requests.RoleListRequest(policy=request.query.get("policy"))
    reply, headers = await read(agent, request, "ACL.RoleList", asked, consistency=False)
    return Answer([role.to_json() for role in reply.roles or ()], headers=headers)


@acl_route("PUT", "/v1/acl/role")
async def create_role(agent: "AgentInterface", request: Request) -> Answer:
    """Write a new role."""
    return await _set_role(agent, request)


async def _set_role(agent: "AgentInterface", request: Request) -> Answer:
    role = bodies.role(request)
    if role.id and role.id != request.tail:
        raise BadRequest("Bad request: Role ID in URL and payload do not match")
    role.id = request.tail
    body = apply_to_write(agent, request, requests.RoleSetRequest(role=role))
    return Answer((await agent.caller.call("ACL.RoleSet", body)).to_json())


@acl_route("GET", "/v1/acl/role/")
async def get_role(agent: "AgentInterface", request: Request) -> Answer:
    """One role by its id."""
    _need(request, "role ID")
    return await _role(agent, request, requests.RoleReadRequest(role_id=request.tail))


@acl_route("GET", "/v1/acl/role/name/")
async def get_role_by_name(agent: "AgentInterface", request: Request) -> Answer:
    """One role by its name."""
    _need(request, "role Name")
    return await _role(agent, request, requests.RoleReadRequest(role_name=request.tail))


async def _role(agent: "AgentInterface", request: Request, asked: requests.RoleReadRequest) -> Answer:
    reply, headers = await read(agent, request, "ACL.RoleRead", asked, consistency=False)
    if reply.role is None:
        return Answer(status=404)
    return Answer(reply.role.to_json(), headers=headers)


@acl_route("PUT", "/v1/acl/role/")
async def change_role(agent: "AgentInterface", request: Request) -> Answer:
    """Write another role in its place."""
    return await _set_role(agent, request)


@acl_route("DELETE", "/v1/acl/role/")
async def delete_role(agent: "AgentInterface", request: Request) -> Answer:
    """Remove it."""
    _need(request, "role ID")
    body = apply_to_write(agent, request, requests.RoleDeleteRequest(role_id=request.tail))
    await agent.caller.call("ACL.RoleDelete", body)
    return Answer(True)
