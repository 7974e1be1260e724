"""/v1/coordinate: network coordinates of nodes and datacenters."""

from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.gocompat.json_decode import Shape
from consulpy.gocompat.newer_fields import fields_of
from consulpy.http.api import render
from consulpy.http.api.params import apply_to_write
from consulpy.http.api.routes.catalog import body_of
from consulpy.http.api.routing import HttpError, Request, Response, route
from consulpy.http.api.rpc_read import read
from consulpy.structs.coordinate import Coord, Coordinate, DatacenterCoordinates
from consulpy.structs.requests import CoordinateUpdateRequest, Empty, NodeRequest, SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@dataclass(slots=True)
class _GivenCoord(Coord):
    """A coordinate as a request body has it: any field may be missing."""

    vec: list[float] = field(default_factory=list)
    error: float = 0.0
    height: float = 0.0


@dataclass(slots=True)
class _UpdateBody(CoordinateUpdateRequest):
    coord: _GivenCoord | None = None


_UPDATE: Final = Shape(
    "structs.CoordinateUpdateRequest",
    newer=fields_of("Coordinate"),
    inner={_GivenCoord: Shape("coordinate.Coordinate")},
)


@route("GET", "/v1/coordinate/datacenters")
async def datacenters(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """The coordinates of all datacenters' servers."""
    found = await agent.caller.call("Coordinate.ListDatacenters", Empty())
    rows = [
        each if isinstance(each, DatacenterCoordinates) else DatacenterCoordinates.from_wire(each) for each in found
    ]
    return Response([{**each.to_json(), "Coordinates": _all(each.coordinates, None)} for each in rows])


@route("GET", "/v1/coordinate/nodes")
async def nodes(agent: "AgentInterface", request: Request) -> Response:
    """The coordinates of all nodes."""
    reply, headers = await read(
        agent, request, "Coordinate.ListNodes", SpecificRequest(), namespaces=False, consistency=False
    )
    return Response(_all(reply.coordinates, _segment(request)), headers=headers)


@route("GET", "/v1/coordinate/node/")
async def node(agent: "AgentInterface", request: Request) -> Response:
    """The coordinates of one node; 404 for one without."""
    body = NodeRequest(node=request.tail)
    reply, headers = await read(agent, request, "Coordinate.Node", body, namespaces=False, consistency=False)
    found = _all(reply.coordinates, _segment(request))
    if found:
        return Response(found, headers=headers)
    # 1.8.7 has no index here; newer clients that follow a node need one
    return Response(status=404, headers=headers if request.header("User-Agent") else {})


def _segment(request: Request) -> str | None:
    return request.query.get("segment") if "segment" in request.query else None


def _all(found: list[Coordinate] | None, segment: str | None) -> list[dict[str, Any]]:
    """Coordinates, only those of `segment` unless it is None."""
    return [render.coordinate(each) for each in found or () if segment in (None, each.segment)]


@route("PUT", "/v1/coordinate/update")
async def update(agent: "AgentInterface", request: Request) -> Response:
    """Update the coordinate of a node."""
    body = body_of(request, _UpdateBody, _UPDATE)
    if body.coord is None:  # real Consul breaks the connection
        raise HttpError(400, "Missing Coord")
    await agent.caller.call("Coordinate.Update", apply_to_write(agent, request, body))
    return Response()
