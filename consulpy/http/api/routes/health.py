"""/v1/health: checks, and services with their checks."""

from typing import TYPE_CHECKING

from consulpy.http.api import render
from consulpy.http.api.central_config import CentralMerge, wants_central_config
from consulpy.http.api.params import passing_only
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import read
from consulpy.structs.check import PASSING
from consulpy.structs.requests import NodeRequest, ServiceRequest, StateRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("GET", "/v1/health/node/")
async def node(agent: "AgentInterface", request: Request) -> Response:
    """The checks of a node."""
    reply, headers = await read(
        agent, request, "Health.NodeChecks", NodeRequest(node=request.tail), missing="Missing node name"
    )
    return Response(render.checks(reply.health_checks), headers=headers)


@route("GET", "/v1/health/checks/")
async def checks(agent: "AgentInterface", request: Request) -> Response:
    """The checks of a service."""
    body = ServiceRequest(service_name=request.tail)
    reply, headers = await read(agent, request, "Health.ServiceChecks", body, missing="Missing service name")
    return Response(render.checks(reply.health_checks), headers=headers)


@route("GET", "/v1/health/state/")
async def state(agent: "AgentInterface", request: Request) -> Response:
    """All checks in a state, or in any."""
    reply, headers = await read(
        agent, request, "Health.ChecksInState", StateRequest(state=request.tail), missing="Missing check state"
    )
    return Response(render.checks(reply.health_checks), headers=headers)


async def _service(
    agent: "AgentInterface", request: Request, *, connect: bool = False, ingress: bool = False
) -> Response:
    merges = wants_central_config(request)
    body = ServiceRequest(service_name=request.tail, connect=connect, ingress=ingress, merge_central_config=merges)
    tags = request.query.all("tag")
    if tags:
        body.service_tags, body.tag_filter = tags, True
    reply, headers = await read(
        agent, request, "Health.ServiceNodes", body, missing="Missing service name", cached=True
    )
    found = reply.nodes or []
    if passing_only(request):
        found = [each for each in found if all(check.status == PASSING for check in each.checks or ())]
    merge = CentralMerge(agent, request, reply.meta)
    if merge.is_needed:
        found = await merge.check_service_nodes(found)
    return Response(render.check_service_nodes(found), headers=headers)


@route("GET", "/v1/health/service/")
async def service(agent: "AgentInterface", request: Request) -> Response:
    """The instances of a service with their nodes and checks."""
    return await _service(agent, request)


@route("GET", "/v1/health/connect/")
async def connect(agent: "AgentInterface", request: Request) -> Response:
    """The same for the Connect proxies and native instances of a service."""
    return await _service(agent, request, connect=True)


@route("GET", "/v1/health/ingress/")
async def ingress(agent: "AgentInterface", request: Request) -> Response:
    """The same for the ingress gateways of a service."""
    return await _service(agent, request, ingress=True)
