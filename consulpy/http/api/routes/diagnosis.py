"""/v1/agent/timeline and /v1/agent/doctor: what the agent saw of members, and why something fails (not in Consul)."""

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from consulpy.errors import NotFound
from consulpy.http.api.params import index_and_wait
from consulpy.http.api.routing import Request, Response, route
from consulpy.rpc.blocking import wait_s
from consulpy.structs.options import QueryOptions

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

#: Members of the list without a name.
LATEST_MAX: Final = 256


@route("GET", "/v1/agent/timeline")
async def latest(agent: "AgentInterface", request: Request) -> Response:
    """The last change of each member that changed lately, the newest first; `index` and `wait` wait for the next."""
    await _wait(agent, request, "")
    index = agent.changes("").index
    return Response(agent.latest_changes(LATEST_MAX), headers={"X-Consul-Index": str(index)})


@route("GET", "/v1/agent/timeline/")
async def of_member(agent: "AgentInterface", request: Request) -> Response:
    """What was seen of a member, and the verdict about it now; `index` and `wait` wait for its next change."""
    name = request.tail
    if agent.timeline(name) is None:
        raise NotFound(f"No member called {name!r} was ever seen here")
    await _wait(agent, request, name)
    verdict = await agent.why(name)
    index = agent.changes(name).index_of(name)
    body = {"Name": name, "Index": index, "verdict": verdict, "Events": agent.timeline(name) or []}
    return Response(body, headers={"X-Consul-Index": str(index)})


async def _wait(agent: "AgentInterface", request: Request, name: str) -> None:
    """Until the index is above the one that the reader knows, or the time is over. Raises `BadRequest`."""
    known = QueryOptions()
    index_and_wait(request.query, known)
    timeline = agent.changes(name)

    def index() -> int:
        return timeline.index_of(name) if name else timeline.index

    if not 0 < index() <= known.min_query_index:
        return
    changed: Deferred[None] = Deferred(lambda _: None)

    def listener(_name: str) -> None:
        if index() > known.min_query_index and not changed.called:
            changed.callback(None)

    timeline.listeners.append(listener)
    timer = agent.clock.callLater(wait_s(known.max_query_time, agent.events.rng), _fire, changed)
    try:
        await changed
    finally:
        timeline.listeners.remove(listener)
        if timer.active():
            timer.cancel()


def _fire(waiting: Any) -> None:
    if not waiting.called:
        waiting.callback(None)


@route("GET", "/v1/agent/doctor")
async def doctor(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """The agent's own checks of itself, its host and its cluster."""
    return Response({"findings": await agent.doctor("")})


@route("GET", "/v1/agent/doctor/")
async def target(agent: "AgentInterface", request: Request) -> Response:
    """What a join to an address would find."""
    return Response({"findings": await agent.doctor(request.tail)})
