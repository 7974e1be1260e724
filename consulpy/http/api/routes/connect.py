"""/v1/connect and /v1/agent/connect: intentions; everything that needs the mesh fails: Connect is off."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from consulpy.acl.levels import WRITE
from consulpy.codec.record import Record, go
from consulpy.errors import BadRequest, NotFound, RPCError
from consulpy.filter.literals import quoted
from consulpy.gocompat.json_decode import GoError, Shape, UnknownField, decode, loads
from consulpy.gocompat.newer_fields import fields_of
from consulpy.http.api.params import apply_to_read, apply_to_write, refuse_namespaces
from consulpy.http.api.params import token as token_of
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import meta_headers, read
from consulpy.local.shapes import INDEXES, aux_struct
from consulpy.rpc.acl.denied import require
from consulpy.structs.intention import (
    ALLOW,
    CONSUL_SOURCE,
    DEFAULT_NAMESPACE,
    WILDCARD,
    Intention,
    IntentionCheck,
    IntentionQuery,
    IntentionRequest,
    Match,
    MatchEntry,
)
from consulpy.structs.requests import SpecificRequest, Write

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_INTENTION: Final = Shape(
    aux_struct("Hash string", "CreatedAt string", "UpdatedAt string"),
    custom=True,
    unsigned=INDEXES,
    types={"Action": "structs.IntentionAction", "SourceType": "structs.IntentionSourceType"},
    without=frozenset({"CreatedAt", "UpdatedAt", "Hash"}),
    ignored=frozenset({"createdat", "updatedat", "hash"}),  # set by the servers
    newer=fields_of("Intention"),
)
_SERVICE_IDENTITY: Final = re.compile(r"/ns/([^/]+)/dc/([^/]+)/svc/([^/]+)")


def shown(intention: Intention) -> dict[str, Any]:
    """One intention as JSON; its metadata is never null."""
    found = intention.to_json()
    found["Meta"] = found["Meta"] or {}
    return found


# -- intentions


@route("GET", "/v1/connect/intentions")
async def list_all(agent: "AgentInterface", request: Request) -> Response:
    """All intentions in order of precedence."""
    reply, headers = await read(agent, request, "Intention.List", SpecificRequest(), consistency=False)
    return Response([shown(each) for each in reply.intentions or ()], headers=headers)


def _intention_in(request: Request, *, changing: bool = False) -> Intention:
    try:
        return decode(Intention, loads(request.body), _INTENTION)
    except GoError as error:
        if changing:
            raise BadRequest(f"Bad request: Request decode failed: {error}") from None
        if isinstance(error, UnknownField):
            raise BadRequest(f"Failed to decode request body: {error}") from None
        raise RPCError(f"Failed to decode request body: {error}") from None


@route("POST", "/v1/connect/intentions")
async def create(agent: "AgentInterface", request: Request) -> Response:
    """Create an intention; its id."""
    body = apply_to_write(agent, request, IntentionRequest(op="create", intention=_intention_in(request)))
    return Response({"ID": await agent.caller.call("Intention.Apply", body)})


def _query(agent: "AgentInterface", request: Request, query: IntentionQuery) -> IntentionQuery:
    filled = apply_to_read(agent, request, SpecificRequest())
    query.datacenter, query.options = filled.datacenter, filled.options
    return query


@route("GET", "/v1/connect/intentions/")
async def get(agent: "AgentInterface", request: Request) -> Response:
    """One intention by its id."""
    try:
        reply = await agent.caller.call(
            "Intention.Get", _query(agent, request, IntentionQuery(intention_id=request.tail))
        )
    except RPCError as error:
        text = str(error)
        if text.endswith("Intention not found"):
            raise NotFound(text) from None
        if "UUID" in text:
            raise BadRequest(f"Bad request: {text}") from None
        raise
    return Response(shown(reply.intentions[0]))


@route("PUT", "/v1/connect/intentions/")
async def update(agent: "AgentInterface", request: Request) -> Response:
    """Replace an intention; fields that the body does not name become empty."""
    intention = _intention_in(request, changing=True)
    intention.id = request.tail
    body = apply_to_write(agent, request, IntentionRequest(op="update", intention=intention))
    return Response({"ID": await agent.caller.call("Intention.Apply", body)})


@route("DELETE", "/v1/connect/intentions/")
async def delete(agent: "AgentInterface", request: Request) -> Response:
    """Remove an intention."""
    body = apply_to_write(agent, request, IntentionRequest(op="delete", intention=Intention(id=request.tail)))
    await agent.caller.call("Intention.Apply", body)
    return Response(True)


def _parameter(request: Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise RPCError(f"required query parameter '{name}' not set")
    return value


def _named(text: str, parameter: str = "name") -> MatchEntry:
    """A name, or a namespace, a slash and a name. Raises `RPCError`."""
    parts = text.split("/")
    if len(parts) > 2:
        raise RPCError(f"{parameter} {quoted(text)} is invalid: input can contain at most one '/'")
    return MatchEntry(parts[0], parts[1]) if len(parts) == 2 else MatchEntry(DEFAULT_NAMESPACE, text)


@route("GET", "/v1/connect/intentions/match")
async def match(agent: "AgentInterface", request: Request) -> Response:
    """The intentions with these names as source or destination."""
    apply_to_read(agent, request, SpecificRequest())  # its errors come first
    side = _parameter(request, "by")
    if side not in ("source", "destination"):
        raise RPCError("'by' parameter must be one of 'source' or 'destination'")
    _parameter(request, "name")
    names = request.query.all("name")
    query = IntentionQuery(match=Match(side, [_named(name) for name in names]))
    reply = await agent.caller.call("Intention.Match", _query(agent, request, query))
    found = {
        name: [shown(each) for each in rows] if rows else None for name, rows in zip(names, reply.matches, strict=False)
    }
    return Response(found)


@route("GET", "/v1/connect/intentions/check")
async def check(agent: "AgentInterface", request: Request) -> Response:
    """Whether an intention allows a connection."""
    apply_to_read(agent, request, SpecificRequest())
    source, destination = (_named(_parameter(request, side), side) for side in ("source", "destination"))
    kind = request.query.get("source-type") or CONSUL_SOURCE
    connection = IntentionCheck(source.namespace, source.name, destination.namespace, destination.name, kind)
    reply = await agent.caller.call("Intention.Check", _query(agent, request, IntentionQuery(check=connection)))
    return Response({"Allowed": reply.allowed})


# -- the mesh


@route("GET", "/v1/connect/ca/roots")
async def roots(agent: "AgentInterface", request: Request) -> Response:
    """The CA roots."""
    _, headers = await read(agent, request, "ConnectCA.Roots", SpecificRequest(), consistency=False)
    return Response({}, headers=headers)


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


@route("GET", "/v1/connect/ca/configuration")
async def configuration(agent: "AgentInterface", request: Request) -> Response:
    """The CA configuration."""
    return await _ask(agent, request, "ConnectCA.ConfigurationGet")


@dataclass(slots=True)
class _CaConfiguration(Record):
    """The CA configuration."""

    cluster_id: str = go("ClusterID", default="")
    provider: str = ""
    config: dict[str, Any] | None = None
    state: dict[str, str] | None = None
    force_without_cross_signing: bool = False
    create_index: int = 0
    modify_index: int = 0


_CA_CONFIGURATION: Final = Shape(
    aux_struct('ForceWithoutCrossSigningSnake bool "json:\\"force_without_cross_signing\\""'),
    custom=True,
    unsigned=INDEXES,
    aliases={"force_without_cross_signing": "ForceWithoutCrossSigning"},
)


@route("PUT", "/v1/connect/ca/configuration")
async def configure(agent: "AgentInterface", request: Request) -> Response:
    """Update the CA configuration."""
    try:
        decode(_CaConfiguration, loads(request.body), _CA_CONFIGURATION)
    except GoError as error:
        raise BadRequest(f"Bad request: Request decode failed: {error}") from None
    await agent.caller.call("ConnectCA.ConfigurationSet", apply_to_write(agent, request, Write()))
    return Response()


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
    query = IntentionQuery(match=Match("destination", [MatchEntry(DEFAULT_NAMESPACE, target)]))
    reply = await agent.caller.call("Intention.Match", _query(agent, request, query))
    for intention in reply.matches[0] or () if reply.matches else ():
        if _is_source(intention, namespace, name):
            return _decision(intention.action == ALLOW, f"Matched intention: {intention}")
    return _decision(authorizer.default_allows, "Default behavior configured by ACLs")


def _is_source(intention: Intention, namespace: str, name: str) -> bool:
    return intention.source_ns in (WILDCARD, namespace) and intention.source_name in (WILDCARD, name)


def _decision(allowed: bool, reason: str) -> Response:
    return Response({"Authorized": allowed, "Reason": reason}, headers={"X-Cache": "MISS"})
