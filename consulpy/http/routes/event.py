"""/v1/event: tell all agents something, and what was told."""

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004

from consulpy.errors import BadRequest
from consulpy.http.params import options, token
from consulpy.http.routing import Answer, Request, route
from consulpy.local.events import Event
from consulpy.local.regexp import BadRegexp
from consulpy.rpc.blocking import wait_s
from consulpy.state.watch import WatchSet

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent


@route("PUT", "/v1/event/fire/")
async def fire(agent: "LocalAgent", request: Request) -> Answer:
    """Fire a user event."""
    if not request.tail:
        raise BadRequest("Missing name")
    query = request.query
    event = Event(
        name=request.tail,
        payload=request.body,
        node_filter=query.get("node"),
        service_filter=query.get("service"),
        tag_filter=query.get("tag"),
    )
    datacenter = query.get("dc") or agent.datacenter
    fired = await agent.events.fire(agent.caller, datacenter, event, token(request))
    return Answer(fired.to_json())


@route("GET", "/v1/event/list")
async def listed(agent: "LocalAgent", request: Request) -> Answer:
    """The events that this agent heard of, the oldest first."""
    asked, name = options(request), request.query.get("name")
    try:
        node, service, tag = (request.query.get(key) for key in ("node", "service", "tag"))
        watch = WatchSet()
        index, found = agent.events.list(name, watch)
        left_s = wait_s(asked.max_query_time, agent.events.rng)
        deadline_s = agent.clock.seconds() + left_s
        while agent.events.blocks(index, asked.min_query_index) and agent.clock.seconds() < deadline_s:
            await _changed(agent, watch, deadline_s - agent.clock.seconds())
            index, found = agent.events.list(name, watch)
    except BadRegexp as error:
        raise BadRequest(str(error)) from None
    assert (node, service, tag) is not None
    return Answer([event.to_json() for event in found], headers={"X-Consul-Index": str(index)})


async def _changed(agent: "LocalAgent", watch: WatchSet, within_s: float) -> None:
    woken: Deferred[None] = Deferred()
    waiter = agent.events.watchers.wait(watch, lambda: woken.callback(None))
    woken.addTimeout(within_s, agent.clock)  # type: ignore[arg-type]
    try:
        await woken
    except TimeoutError:
        pass
    finally:
        waiter.cancel()
