"""/v1/agent/connect: CA roots and leaf certificates as the agent caches them, and decisions about connections."""

from typing import TYPE_CHECKING, Any, Final

from consulpy.acl.levels import WRITE
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.connect.spiffe import BadSpiffeId, ServiceId, parse
from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.gocompat.newer_fields import fields_of
from consulpy.http.api.params import apply_to_read, refuse_namespaces
from consulpy.http.api.params import token as token_of
from consulpy.http.api.routing import HttpError, Request, Response, route
from consulpy.http.api.rpc_read import cache_headers, meta_headers
from consulpy.rpc.acl.denied import require_of
from consulpy.rpc.call import ServerCaller
from consulpy.structs.connect_ca import RATE_LIMITED
from consulpy.structs.intention import (
    ALLOW,
    DEFAULT_NAMESPACE,
    WILDCARD,
    Intention,
    IntentionQuery,
    Match,
    MatchEntry,
)
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("GET", "/v1/agent/connect/ca/roots")
async def agent_roots(agent: "AgentInterface", request: Request) -> Response:
    """The CA roots, as the agent caches them; no token is needed."""
    body = apply_to_read(agent, request, SpecificRequest())
    body.options.token = ""
    found = await agent.agent_cache.read("ConnectCA.Roots", body)
    headers = meta_headers(found.reply.meta) | cache_headers(found.age_s if found.hit else None)
    return Response(found.reply.to_json(), headers=headers)


@route("GET", "/v1/agent/connect/ca/leaf/")
async def leaf(agent: "AgentInterface", request: Request) -> Response:
    """A leaf certificate for a service of this agent; it waits for a newer one with `?index`."""
    refuse_namespaces(request)
    body = apply_to_read(agent, request, SpecificRequest())
    await agent.agent_cache.read("ConnectCA.Roots", _without_token(body))  # fails where Connect is off
    if not request.tail:
        raise RPCError("URI must be either service or agent")
    token, options = token_of(request), body.options
    is_allowed = await _may_have_leaf(agent, request)
    leafs = agent.leaf_certificates
    try:
        found = await leafs.read(
            body.datacenter,
            request.tail,
            token,
            allowed=is_allowed,
            index=options.min_query_index,
            wait_s=options.max_query_time / 1e9,
        )
        if is_allowed and options.min_query_index and not await _may_have_leaf(agent, request):  # lost during the wait
            found = await leafs.read(body.datacenter, request.tail, token, allowed=False)
    except RPCError as error:
        if RATE_LIMITED in str(error):
            raise HttpError(429, str(error)) from None
        raise
    headers = {"X-Consul-Index": str(found.leaf.modify_index)} | cache_headers(found.age_s if found.hit else None)
    return Response(found.leaf.to_json(), headers=headers)


async def _may_have_leaf(agent: "AgentInterface", request: Request) -> bool:
    """Whether the token of the request may have a certificate of its service, as far as this agent knows."""
    try:
        identity = await agent.access.identity(token_of(request))
    except RPCError:
        return False
    return identity.authorizer.allows("service", request.tail, WRITE)


def _without_token(body: SpecificRequest) -> SpecificRequest:
    return SpecificRequest(datacenter=body.datacenter)


@dataclass(slots=True)
class _AuthorizeBody(Record):
    """The certificate of a client, and the target service."""

    target: str = ""
    client_cert_uri: str = go("ClientCertURI", default="")
    client_cert_serial: str = ""


_AUTHORIZE: Final = Shape("structs.ConnectAuthorizeRequest", newer=fields_of("AuthorizeBody"))


@route("POST", "/v1/agent/connect/authorize")
async def authorize(agent: "AgentInterface", request: Request) -> Response:
    """Whether a client with this certificate may connect to a service of this agent."""
    refuse_namespaces(request)
    try:
        body = decode(_AuthorizeBody, loads(request.body), _AUTHORIZE)
    except GoError as error:
        raise BadRequest(f"Bad request: Request decode failed: {error}") from None
    if not body.target:
        raise BadRequest("Bad request: Target service must be specified")
    try:
        identity = parse(body.client_cert_uri)
    except BadSpiffeId:
        raise BadRequest("Bad request: ClientCertURI not a valid Connect identifier") from None
    if not isinstance(identity, ServiceId):
        raise BadRequest("Bad request: ClientCertURI not a valid Service identifier")
    asking = await agent.access.identity(token_of(request))
    require_of(asking, request.path, "service", body.target, WRITE)
    filled = apply_to_read(agent, request, SpecificRequest())
    query: Any = IntentionQuery(
        datacenter=filled.datacenter,
        options=filled.options,
        match=Match("destination", [MatchEntry(DEFAULT_NAMESPACE, body.target)]),
    )
    query.options.min_query_index = 0
    found = await agent.agent_cache.read("Intention.Match", query)
    headers = cache_headers(found.age_s if found.hit else None)
    reply = found.reply
    if isinstance(agent.caller, ServerCaller):  # costs no call, and decides by what is stored now
        query.options.allow_stale = True
        reply = await agent.caller.call("Intention.Match", query)
    matches = reply.matches
    for intention in matches[0] or () if matches else ():
        if _is_source(intention, identity):
            allowed = intention.action == ALLOW
            return Response({"Authorized": allowed, "Reason": f"Matched intention: {intention}"}, headers=headers)
    default = agent.access.default_intention_policy
    if default:
        return Response({"Authorized": default == ALLOW, "Reason": "Default intention policy"}, headers=headers)
    if not agent.access.is_on:
        reason = "ACLs disabled, access is allowed by default"
        return Response({"Authorized": True, "Reason": reason}, headers=headers)
    reason = "Default behavior configured by ACLs"
    return Response({"Authorized": asking.authorizer.default_allows, "Reason": reason}, headers=headers)


def _is_source(intention: Intention, identity: ServiceId) -> bool:
    """Whether an intention is about this source: letter case counts, the trust domain does not (TLS checks it)."""
    return intention.source_ns in (WILDCARD, identity.namespace) and intention.source_name in (
        WILDCARD,
        identity.service,
    )
