"""/v1/agent/timeline and /v1/agent/doctor: what the agent saw of members, and why something fails (not in Consul)."""

from typing import TYPE_CHECKING, Final

from consulpy.errors import NotFound
from consulpy.http.api.changes import wait_for_change
from consulpy.http.api.routing import Request, Response, route

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

#: Members of the list without a name.
LATEST_MAX: Final = 256


@route("GET", "/v1/agent/timeline")
async def latest(agent: "AgentInterface", request: Request) -> Response:
    """The last change of each member that changed lately, the newest first; `index` and `wait` wait for the next."""
    timeline = agent.changes("")
    await wait_for_change(agent, request, lambda: timeline.index, timeline.listeners)
    return Response(agent.latest_changes(LATEST_MAX), headers={"X-Consul-Index": str(timeline.index)})


@route("GET", "/v1/agent/timeline/")
async def of_member(agent: "AgentInterface", request: Request) -> Response:
    """Observations of a member, and the verdict about it now; `index` and `wait` wait for its next change."""
    name = request.tail
    if agent.timeline(name) is None:
        raise NotFound(f"No member called {name!r} was ever seen here")
    timeline = agent.changes(name)
    await wait_for_change(agent, request, lambda: timeline.index_of(name), timeline.listeners)
    index = timeline.index_of(name)
    verdict = await agent.why(name)
    body = {"Name": name, "Index": index, "verdict": verdict, "Events": agent.timeline(name) or []}
    return Response(body, headers={"X-Consul-Index": str(index)})


@route("GET", "/v1/agent/doctor")
async def doctor(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """The agent's own checks of itself, its host and its cluster."""
    return Response({"findings": await agent.doctor("")})


@route("GET", "/v1/agent/doctor/")
async def target(agent: "AgentInterface", request: Request) -> Response:
    """Findings about a join to an address."""
    return Response({"findings": await agent.doctor(request.tail)})
