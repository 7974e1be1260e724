"""/v1/internal: what Consul's own web page asks."""

from typing import TYPE_CHECKING, Any

from consulpy.errors import BadRequest
from consulpy.http import render
from consulpy.http.reads import read
from consulpy.http.routing import Answer, Request, route
from consulpy.structs.requests import NodeRequest, SpecificRequest
from consulpy.structs.service import NodeInfo

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent


def _shown(info: NodeInfo) -> dict[str, Any]:
    shown = info.to_json()
    shown["Services"] = [render.service(each) for each in info.services or ()]
    shown["Checks"] = render.checks(info.checks)
    return shown


@route("GET", "/v1/internal/ui/nodes")
async def nodes(agent: "LocalAgent", request: Request) -> Answer:
    """All nodes with everything on them."""
    reply, headers = await read(agent, request, "Internal.NodeDump", SpecificRequest(), consistency=False)
    return Answer([_shown(info) for info in reply.dump or ()], headers=headers)


@route("GET", "/v1/internal/ui/node/")
async def node(agent: "LocalAgent", request: Request) -> Answer:
    """One node with everything on it."""
    if not request.tail:
        raise BadRequest("Missing node name")
    body = NodeRequest(node=request.tail)
    reply, headers = await read(agent, request, "Internal.NodeInfo", body, consistency=False)
    return Answer(_shown(reply.dump[0]), headers=headers) if reply.dump else Answer(status=404)
