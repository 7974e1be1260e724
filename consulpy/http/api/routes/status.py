"""/v1/status: the leader, and the servers of the quorum."""

from typing import TYPE_CHECKING

from consulpy.http.api.params import apply_to_read
from consulpy.http.api.routing import Request, Response, route
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("GET", "/v1/status/leader")
async def leader(agent: "AgentInterface", request: Request) -> Response:
    """The leader's RPC address, empty if there is none."""
    return Response(await agent.caller.call("Status.Leader", apply_to_read(agent, request, SpecificRequest())))


@route("GET", "/v1/status/peers")
async def peers(agent: "AgentInterface", request: Request) -> Response:
    """The RPC addresses of the quorum."""
    return Response(await agent.caller.call("Status.Peers", apply_to_read(agent, request, SpecificRequest())) or [])
