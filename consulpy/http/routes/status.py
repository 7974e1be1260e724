"""/v1/status: who leads, and who is in the quorum."""

from typing import TYPE_CHECKING

from consulpy.http.params import fill
from consulpy.http.routing import Answer, Request, route
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent


@route("GET", "/v1/status/leader")
async def leader(agent: "LocalAgent", request: Request) -> Answer:
    """The leader's RPC address, empty if there is none."""
    return Answer(await agent.caller.call("Status.Leader", fill(agent, request, SpecificRequest())))


@route("GET", "/v1/status/peers")
async def peers(agent: "LocalAgent", request: Request) -> Answer:
    """The RPC addresses of the quorum."""
    return Answer(await agent.caller.call("Status.Peers", fill(agent, request, SpecificRequest())) or [])
