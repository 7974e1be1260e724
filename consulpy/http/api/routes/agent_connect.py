"""/v1/agent/connect: CA roots and leaf certificates as the agent caches them, and decisions about connections."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from consulpy.acl.levels import WRITE
from consulpy.codec.record import Record, go
from consulpy.errors import BadRequest
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.gocompat.newer_fields import fields_of
from consulpy.http.api.params import apply_to_read, refuse_namespaces
from consulpy.http.api.params import token as token_of
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import meta_headers
from consulpy.rpc.acl.denied import require
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

_SERVICE_IDENTITY: Final = re.compile(r"/ns/([^/]+)/dc/([^/]+)/svc/([^/]+)")


async def _ask(agent: "AgentInterface", request: Request, method: str) -> Response:
    reply = await agent.caller.call(method, apply_to_read(agent, request, SpecificRequest()))
    return Response({}, headers=meta_headers(reply.meta))


@route("GET", "/v1/agent/connect/ca/roots")
async def agent_roots(agent: "AgentInterface", request: Request) -> Response:
    """The CA roots, as the agent caches them."""
    return await _ask(agent, request, "ConnectCA.Roots")


@route("GET", "/v1/agent/connect/ca/leaf/")
async def leaf(agent: "AgentInterface", request: Request) -> Response:
    """A leaf certificate for a service of this agent."""
    refuse_namespaces(request)
    return await _ask(agent, request, "ConnectCA.Roots")


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
    identity = urlsplit(body.client_cert_uri)
    if identity.scheme != "spiffe":
        raise BadRequest("Bad request: ClientCertURI not a valid Connect identifier")
    found = _SERVICE_IDENTITY.fullmatch(unquote(identity.path))
    if found is None:
        raise BadRequest("Bad request: ClientCertURI not a valid Service identifier")
    if not agent.access.is_on:
        return await _ask(agent, request, "ConnectCA.Roots")
    return await _authorized(agent, request, body.target, found[1], found[3])


async def _authorized(agent: "AgentInterface", request: Request, target: str, namespace: str, name: str) -> Response:
    """The decision of the intentions, or else of the default policy."""
    authorizer = (await agent.access.identity(token_of(request))).authorizer
    require(authorizer, "service", target, WRITE)
    filled = apply_to_read(agent, request, SpecificRequest())
    query = IntentionQuery(
        datacenter=filled.datacenter,
        options=filled.options,
        match=Match("destination", [MatchEntry(DEFAULT_NAMESPACE, target)]),
    )
    reply = await agent.caller.call("Intention.Match", query)
    for intention in reply.matches[0] or () if reply.matches else ():
        if _is_source(intention, namespace, name):
            return _decision(intention.action == ALLOW, f"Matched intention: {intention}")
    return _decision(authorizer.default_allows, "Default behavior configured by ACLs")


def _is_source(intention: Intention, namespace: str, name: str) -> bool:
    return intention.source_ns in (WILDCARD, namespace) and intention.source_name in (WILDCARD, name)


def _decision(allowed: bool, reason: str) -> Response:
    return Response({"Authorized": allowed, "Reason": reason}, headers={"X-Cache": "MISS"})
