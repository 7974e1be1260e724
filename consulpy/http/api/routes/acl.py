"""/v1/acl: bootstrap, tokens, policies, roles, authorization checks. Without access control all of them fail."""

from typing import TYPE_CHECKING, Any

from consulpy.acl.rules import InvalidRules, parse
from consulpy.acl.translate import translate
from consulpy.errors import BadRequest, RPCError
from consulpy.http.api import acl_bodies as bodies
from consulpy.http.api.acl_expanded import expanded
from consulpy.http.api.acl_route import (
    NOT_FOUND,
    acl_route,
    delete_record,
    id_of,
    read_record,
    require_tail,
    set_record,
    templated_method,
)
from consulpy.http.api.params import apply_to_read
from consulpy.http.api.params import token as token_of
from consulpy.http.api.routing import HttpError, Request, Response
from consulpy.http.api.rpc_read import read
from consulpy.rpc.endpoints.acl import answers
from consulpy.structs import acl_requests as requests
from consulpy.structs.acl import Token, services_of
from consulpy.structs.requests import Read, SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

#: Header with warnings about rules that have no effect.
WARNING_HEADER = "X-Consulpy-Warning"
#: Its longest text, in characters: clients refuse lines of a head above 8 to 64 KiB, and it quotes the rules.
WARNING_MAX = 1000


@acl_route("PUT", "/v1/acl/bootstrap")
async def bootstrap(agent: "AgentInterface", request: Request) -> Response:
    """Create the first management token."""
    secret = bodies.bootstrap(request).bootstrap_secret
    body = requests.BootstrapRequest(datacenter=agent.datacenter, bootstrap_secret=secret)
    try:
        token: Token = await agent.caller.call("ACL.BootstrapWithSecret" if secret else "ACL.BootstrapTokens", body)
    except RPCError as error:
        if "can't find method" in str(error):
            raise BadRequest("BootstrapSecret came with Consul 1.13: the servers do not know it") from None
        if "ACL bootstrap no longer allowed" in str(error):
            raise HttpError(403, f"Permission denied: {error}") from None
        raise
    return Response({"ID": token.secret_id, **token.to_json()})


@acl_route("GET", "/v1/acl/replication")
async def replication(agent: "AgentInterface", request: Request) -> Response:
    """The state of replication from the primary datacenter."""
    body = apply_to_read(agent, request, SpecificRequest())
    body.options.token = ""  # it requires no right
    return Response((await agent.caller.call("ACL.ReplicationStatus", body)).to_json())


@acl_route("POST", "/v1/internal/acl/authorize")
async def authorize(agent: "AgentInterface", request: Request) -> Response:
    """Check which of the requested rights the token has."""
    questions = bodies.questions(request)
    body = apply_to_read(agent, request, requests.AuthorizeRequest(requests=questions))
    if body.datacenter == agent.datacenter:
        found = answers((await agent.access.identity(token_of(request))).authorizer, questions)
    else:
        found = (await agent.caller.call("ACL.Authorize", body)).answers or []
    return Response([each.to_json() for each in found])


# -- tokens


@acl_route("GET", "/v1/acl/tokens")
async def tokens(agent: "AgentInterface", request: Request) -> Response:
    """All tokens, without their secrets."""
    query = request.query
    body = requests.TokenListRequest(
        include_local=True,
        include_global=True,
        policy=query.get("policy"),
        role=query.get("role"),
        auth_method=query.get("authmethod"),
    )
    reply, headers = await read(agent, request, "ACL.TokenList", body, consistency=False)
    found, service = reply.tokens or [], query.get("servicename")
    if service:  # evaluated here: servers of 1.8.7 would answer with all tokens
        if body.policy or body.role or body.auth_method:
            raise BadRequest("can only filter by one of policy, role, methodName, or serviceName at a time")
        found = [token for token in found if service in services_of(token)]
    return Response([token.to_json() for token in found], headers=headers)


@acl_route("PUT", "/v1/acl/token")
async def create_token(agent: "AgentInterface", request: Request) -> Response:
    """Create a token."""
    return await _set_token(agent, request, bodies.token(request), create=True)


async def _set_token(agent: "AgentInterface", request: Request, token: Token, *, create: bool) -> Response:
    body = requests.TokenSetRequest(acl_token=token, create=create)
    return await set_record(agent, request, templated_method("ACL.TokenSet", token), body)


@acl_route("GET", "/v1/acl/token/self")
async def own_token(agent: "AgentInterface", request: Request) -> Response:
    """The token of the request."""
    body = requests.TokenReadRequest(token_id=token_of(request), token_id_type=requests.BY_SECRET)
    return await read_record(agent, request, "ACL.TokenRead", body, "token", refuses_missing=True)


@acl_route("GET", "/v1/acl/token/")
async def get_token(agent: "AgentInterface", request: Request) -> Response:
    """One token by its accessor."""
    require_tail(request, "token ID")
    body = requests.TokenReadRequest(token_id=request.tail, token_id_type=requests.BY_ACCESSOR)
    if "expanded" in request.query:
        reply, headers = await read(agent, request, "ACL.TokenRead", body, consistency=False)
        if reply.token is None:
            raise HttpError(403, NOT_FOUND, headers)
        return Response(await expanded(agent, request, reply.token), headers=headers)
    return await read_record(agent, request, "ACL.TokenRead", body, "token", refuses_missing=True)


@acl_route("PUT", "/v1/acl/token/")
async def change_token(agent: "AgentInterface", request: Request) -> Response:
    """Update a token, or clone it (ACCESSOR/clone)."""
    given = bodies.token(request)
    accessor, slash, action = request.tail.rpartition("/")
    if slash and action == "clone":
        given.accessor_id = accessor
        body = requests.TokenSetRequest(acl_token=given, create=True)
        return await set_record(agent, request, "ACL.TokenClone", body)
    given.accessor_id = id_of(request, given.accessor_id, "Token Accessor ID")
    return await _set_token(agent, request, given, create=False)


@acl_route("DELETE", "/v1/acl/token/")
async def delete_token(agent: "AgentInterface", request: Request) -> Response:
    """Delete a token."""
    require_tail(request, "token ID")
    return await delete_record(agent, request, "ACL.TokenDelete", requests.TokenDeleteRequest(token_id=request.tail))


# -- legacy rules (before 1.4)


@acl_route("POST", "/v1/acl/rules/translate")
async def translate_rules(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """Translate legacy rules."""
    try:
        text = translate(request.body.decode(errors="replace"))
    except InvalidRules as error:
        raise BadRequest(f"Bad request: {error}") from None
    return Response(text=text or None)


@acl_route("GET", "/v1/acl/rules/translate/")
async def translate_token(agent: "AgentInterface", request: Request) -> Response:
    """Translate the rules of a legacy token."""
    require_tail(request, "token ID")
    body = requests.TokenReadRequest(token_id=request.tail, token_id_type=requests.BY_ACCESSOR)
    reply, headers = await read(agent, request, "ACL.TokenRead", body, consistency=False)
    if reply.token is None:
        raise HttpError(403, NOT_FOUND, headers)
    if not reply.token.rules:
        raise HttpError(500, "The specified token does not have any rules set", headers)
    try:
        return Response(text=translate(reply.token.rules))
    except InvalidRules as error:
        raise RPCError(str(error)) from None


# -- policies


@acl_route("GET", "/v1/acl/policies")
async def policies(agent: "AgentInterface", request: Request) -> Response:
    """All policies, without their rules."""
    reply, headers = await read(agent, request, "ACL.PolicyList", Read(), consistency=False)
    return Response([policy.to_json() for policy in reply.policies or ()], headers=headers)


@acl_route("PUT", "/v1/acl/policy")
async def create_policy(agent: "AgentInterface", request: Request) -> Response:
    """Create a policy."""
    policy = bodies.policy(request)
    if policy.id:
        raise BadRequest("Bad request: Cannot specify the ID when creating a new policy")
    return await _set_policy(agent, request, policy)


async def _set_policy(agent: "AgentInterface", request: Request, policy: Any) -> Response:
    body = requests.PolicySetRequest(policy=policy)
    response = await set_record(agent, request, "ACL.PolicySet", body)
    response.headers.update(_warnings(policy.rules))  # not before: parsing takes time, and not everybody may write
    return response


def _warnings(rules: str) -> dict[str, str]:
    """The warnings header for rules without effect."""
    try:
        found = parse(rules).warnings
    except InvalidRules:
        return {}
    text = "; ".join(found)
    if len(text) > WARNING_MAX:
        text = f"{text[:WARNING_MAX]}..."
    return {WARNING_HEADER: text} if found else {}


@acl_route("GET", "/v1/acl/policy/")
async def get_policy(agent: "AgentInterface", request: Request) -> Response:
    """One policy by its id."""
    require_tail(request, "policy ID")
    return await _policy(agent, request, requests.PolicyReadRequest(policy_id=request.tail))


@acl_route("GET", "/v1/acl/policy/name/")
async def get_policy_by_name(agent: "AgentInterface", request: Request) -> Response:
    """One policy by its name."""
    require_tail(request, "policy Name")
    return await _policy(agent, request, requests.PolicyReadRequest(policy_name=request.tail))


async def _policy(agent: "AgentInterface", request: Request, body: requests.PolicyReadRequest) -> Response:
    return await read_record(agent, request, "ACL.PolicyRead", body, "policy", refuses_missing=True)


@acl_route("PUT", "/v1/acl/policy/")
async def change_policy(agent: "AgentInterface", request: Request) -> Response:
    """Update a policy."""
    policy = bodies.policy(request)
    policy.id = id_of(request, policy.id, "Policy ID")
    return await _set_policy(agent, request, policy)


@acl_route("DELETE", "/v1/acl/policy/")
async def delete_policy(agent: "AgentInterface", request: Request) -> Response:
    """Delete a policy."""
    require_tail(request, "policy ID")
    return await delete_record(agent, request, "ACL.PolicyDelete", requests.PolicyDeleteRequest(policy_id=request.tail))


# -- roles


@acl_route("GET", "/v1/acl/roles")
async def roles(agent: "AgentInterface", request: Request) -> Response:
    """All roles."""
    body = requests.RoleListRequest(policy=request.query.get("policy"))
    reply, headers = await read(agent, request, "ACL.RoleList", body, consistency=False)
    return Response([role.to_json() for role in reply.roles or ()], headers=headers)


@acl_route("PUT", "/v1/acl/role")
async def create_role(agent: "AgentInterface", request: Request) -> Response:
    """Create a role."""
    return await _set_role(agent, request)


async def _set_role(agent: "AgentInterface", request: Request) -> Response:
    role = bodies.role(request)
    role.id = id_of(request, role.id, "Role ID")
    body = requests.RoleSetRequest(role=role)
    return await set_record(agent, request, templated_method("ACL.RoleSet", role), body)


@acl_route("GET", "/v1/acl/role/")
async def get_role(agent: "AgentInterface", request: Request) -> Response:
    """One role by its id."""
    require_tail(request, "role ID")
    return await read_record(agent, request, "ACL.RoleRead", requests.RoleReadRequest(role_id=request.tail), "role")


@acl_route("GET", "/v1/acl/role/name/")
async def get_role_by_name(agent: "AgentInterface", request: Request) -> Response:
    """One role by its name."""
    require_tail(request, "role Name")
    return await read_record(agent, request, "ACL.RoleRead", requests.RoleReadRequest(role_name=request.tail), "role")


@acl_route("PUT", "/v1/acl/role/")
async def change_role(agent: "AgentInterface", request: Request) -> Response:
    """Update a role."""
    return await _set_role(agent, request)


@acl_route("DELETE", "/v1/acl/role/")
async def delete_role(agent: "AgentInterface", request: Request) -> Response:
    """Delete a role."""
    require_tail(request, "role ID")
    return await delete_record(agent, request, "ACL.RoleDelete", requests.RoleDeleteRequest(role_id=request.tail))
