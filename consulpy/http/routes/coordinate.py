"""/v1/coordinate: where nodes and datacenters are on the network."""

from typing import TYPE_CHECKING

from consulpy.errors import BadRequest
from consulpy.http.params import fill_write
from consulpy.http.reads import read
from consulpy.http.routes.catalog import body_of
from consulpy.http.routing import Answer, HttpError, Request, route
from consulpy.structs.requests import CoordinateUpdateRequest, DatacentersRequest, NodeRequest, SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent


@route("GET", "/v1/coordinate/datacenters")
async def datacenters(agent: "LocalAgent", request: Request) -> Answer:  # noqa: ARG001
    """The coordinates of all datacenters' servers."""
    found = await agent.caller.call("Coordinate.ListDatacenters", DatacentersRequest())
    return Answer([each.to_json() for each in found or ()])


@route("GET", "/v1/coordinate/nodes")
async def nodes(agent: "LocalAgent", request: Request) -> Answer:
    """The coordinates of all nodes."""
    reply, headers = await read(agent, request, "Coordinate.ListNodes", SpecificRequest(), consistency=False)
    return Answer(_shown(reply.coordinates, request), headers=headers)


@route("GET", "/v1/coordinate/node/")
async def node(agent: "LocalAgent", request: Request) -> Answer:
    """The coordinates of one node; 404 for one without."""
    if not request.tail:
        raise BadRequest("Missing node name")
    body = NodeRequest(node=request.tail)
    reply, headers = await read(agent, request, "Coordinate.Node", body, consistency=False)
    found = _shown(reply.coordinates, request)
    return Answer(found, headers=headers) if found else Answer(status=404)


def _shown(found: list | None, request: Request) -> list[dict]:  # type: ignore[type-arg]
    segment = request.query.get("segment")
    wanted = "segment" in request.query
    return [each.to_json() for each in found or () if not wanted or each.segment == segment]


@route("PUT", "/v1/coordinate/update")
async def update(agent: "LocalAgent", request: Request) -> Answer:
    """Say where a node is."""
    body = body_of(request, CoordinateUpdateRequest)
    if body.coord is None:  # real Consul breaks the connection
        raise HttpError(400, "Missing Coord")
    await agent.caller.call("Coordinate.Update", fill_write(agent, request, body))
    return Answer()
