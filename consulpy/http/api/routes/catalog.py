"""/v1/catalog: nodes and services of a datacenter, and registration of external ones."""

from typing import TYPE_CHECKING, Final, TypeVar

from twisted.internet.defer import Deferred

from consulpy.clock import pause
from consulpy.errors import BadRequest
from consulpy.filter import compile_filter
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.gocompat.newer_fields import fields_of
from consulpy.http.api import render
from consulpy.http.api.body_shapes import STRUCTS
from consulpy.http.api.central_config import CentralMerge, wants_central_config
from consulpy.http.api.params import apply_to_write, cache_control, consistency, refuse_namespaces
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import cache_headers, read
from consulpy.local.shapes import INDEXES, aux_struct
from consulpy.structs.requests import (
    DatacentersRequest,
    DeregisterRequest,
    NodeRequest,
    RegisterRequest,
    ServiceDumpRequest,
    ServiceRequest,
    SpecificRequest,
    Write,
)
from consulpy.structs.service import ServiceNode

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_Write = TypeVar("_Write", bound=Write)

#: Instances whose filter is evaluated in one turn of the reactor.
ROWS_OF_A_TURN: Final = 1000

_REGISTER: Final = Shape(
    "structs.RegisterRequest",
    unsigned=INDEXES,
    types={"ID": "types.NodeID", "Checks": "structs.HealthChecks"},
    newer=fields_of("RegisterRequest"),
    inner=STRUCTS,
)
_DEREGISTER: Final = Shape(
    aux_struct("Address string"),
    custom=True,
    types={"CheckID": "types.CheckID"},
    ignored=frozenset({"Address"}),
    newer=fields_of("DeregisterRequest"),
)


def body_of(request: Request, kind: type[_Write], shape: Shape) -> _Write:
    """The body of a write. Raises `BadRequest` in Go's words."""
    try:
        return decode(kind, loads(request.body), shape)
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None


def _in_its_datacenter(agent: "AgentInterface", request: Request, body: _Write) -> _Write:
    """The datacenter is the body's, or the agent's; `?dc=` says nothing here."""
    body.datacenter = body.datacenter or agent.datacenter
    return apply_to_write(agent, request, body)


@route("PUT", "/v1/catalog/register")
def register(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Register a node, a service on it, and checks."""
    refuse_namespaces(request)
    body = body_of(request, RegisterRequest, _REGISTER)
    done = agent.caller.call("Catalog.Register", _in_its_datacenter(agent, request, body))
    return done.addCallback(lambda _: Response(True))


@route("PUT", "/v1/catalog/deregister")
async def deregister(agent: "AgentInterface", request: Request) -> Response:
    """Remove a node, a service or a check."""
    refuse_namespaces(request)
    body = body_of(request, DeregisterRequest, _DEREGISTER)
    await agent.caller.call("Catalog.Deregister", _in_its_datacenter(agent, request, body))
    return Response(True)


@route("GET", "/v1/catalog/datacenters")
async def datacenters(agent: "AgentInterface", request: Request) -> Response:
    """The names of all datacenters, the nearest first."""
    options = consistency(request)
    cache_control(request, options)
    if options.use_cache and request.cache is not None:
        found, age_s = await request.cache.datacenters(must_revalidate=options.must_revalidate)
        return Response(found, headers=cache_headers(age_s))
    return Response(await agent.caller.call("Catalog.ListDatacenters", DatacentersRequest(options=options)))


@route("GET", "/v1/catalog/nodes")
async def nodes(agent: "AgentInterface", request: Request) -> Response:
    """All nodes."""
    reply, headers = await read(agent, request, "Catalog.ListNodes", SpecificRequest(), namespaces=False)
    return Response(render.nodes(reply.nodes), headers=headers)


@route("GET", "/v1/catalog/services")
async def services(agent: "AgentInterface", request: Request) -> Response:
    """The names of all services, with their tags; with `filter` those of the instances that match it (Consul 1.16)."""
    expression = request.query.get("filter")
    if expression:
        return await _services_matching(agent, request, expression)
    reply, headers = await read(agent, request, "Catalog.ListServices", SpecificRequest(), cached=True)
    return Response({name: tags or [] for name, tags in (reply.services or {}).items()}, headers=headers)


async def _services_matching(agent: "AgentInterface", request: Request, expression: str) -> Response:
    """Evaluated here: servers like the real 1.8.7 would answer with all services."""
    holds = compile_filter(expression, ServiceNode)
    reply, headers = await read(agent, request, "Internal.ServiceDump", ServiceDumpRequest(), filtered=False)
    found: dict[str, set[str]] = {}
    for number, each in enumerate(reply.nodes or (), 1):
        if each.node is not None and each.service is not None:
            row = ServiceNode.of(each.node, each.service)
            if holds(row):
                found.setdefault(row.service_name, set()).update(row.service_tags or ())
        if number % ROWS_OF_A_TURN == 0:
            await pause(agent.clock, 0)
    return Response({name: sorted(found[name]) for name in sorted(found)}, headers=headers)


async def _service(agent: "AgentInterface", request: Request, connect: bool) -> Response:
    merges = wants_central_config(request)
    body = ServiceRequest(service_name=request.tail, connect=connect, merge_central_config=merges)
    tags = request.query.all("tag")
    if tags:
        body.service_tags, body.tag_filter = tags, True
    reply, headers = await read(
        agent, request, "Catalog.ServiceNodes", body, missing="Missing service name", cached=True
    )
    rows, merge = reply.service_nodes, CentralMerge(agent, request, reply.meta)
    if merge.is_needed:
        rows = await merge.service_nodes(rows or ())
    return Response(render.service_nodes(rows), headers=headers)


@route("GET", "/v1/catalog/service/")
async def service(agent: "AgentInterface", request: Request) -> Response:
    """The instances of a service."""
    return await _service(agent, request, connect=False)


@route("GET", "/v1/catalog/connect/")
async def connect(agent: "AgentInterface", request: Request) -> Response:
    """The Connect proxies and native instances of a service."""
    return await _service(agent, request, connect=True)


@route("GET", "/v1/catalog/node/")
async def node(agent: "AgentInterface", request: Request) -> Response:
    """A node and its services by id; null for an unknown one."""
    body = NodeRequest(node=request.tail)
    reply, headers = await read(agent, request, "Catalog.NodeServices", body, missing="Missing node name")
    found = reply.node_services
    if found is None:
        return Response(None, null=True, headers=headers)
    shown = {
        "Node": found.node.to_json() if found.node else None,
        "Services": {key: render.service(each) for key, each in (found.services or {}).items()},
    }
    return Response(shown, headers=headers)


@route("GET", "/v1/catalog/node-services/")
async def node_services(agent: "AgentInterface", request: Request) -> Response:
    """A node and its services as a list."""
    body = NodeRequest(node=request.tail, merge_central_config=wants_central_config(request))
    reply, headers = await read(agent, request, "Catalog.NodeServiceList", body, missing="Missing node name")
    found = reply.node_services
    known, services, merge = found.node is not None, found.services, CentralMerge(agent, request, reply.meta)
    if merge.is_needed and services:
        services = await merge.services(services)
    shown = {
        "Node": found.node.to_json() if known else None,
        "Services": [render.service(each) for each in services] if known and services is not None else None,
    }
    return Response(shown, headers=headers)


@route("GET", "/v1/catalog/gateway-services/")
async def gateway_services(agent: "AgentInterface", request: Request) -> Response:
    """The services behind a gateway."""
    body = ServiceRequest(service_name=request.tail)
    reply, headers = await read(agent, request, "Catalog.GatewayServices", body, missing="Missing gateway name")
    shown = [each.to_json() for each in reply.services] if reply.services is not None else None
    return Response(shown, null=True, headers=headers)
