"""/v1/event: fires user events, and lists those that were received."""

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from consulpy.clock import cancel_timer
from consulpy.errors import BadRequest, RPCError
from consulpy.http.api.params import index_and_wait, token
from consulpy.http.api.refused import denied_headers
from consulpy.http.api.routing import HttpError, PlainError, Request, Response, route
from consulpy.local.user_events import Event
from consulpy.rpc.blocking import wait_s
from consulpy.state.watch import WatchSet
from consulpy.structs.options import QueryOptions

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("PUT", "/v1/event/fire/")
async def fire(agent: "AgentInterface", request: Request) -> Response:
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
    try:
        fired = await agent.events.fire(agent.caller, datacenter, event, token(request))
    except RPCError as error:
        if not str(error).endswith("Permission denied"):
            raise PlainError(500, str(error)) from None
        raise HttpError(403, "Permission denied", denied_headers(error)) from None
    return Response(fired.to_json())


@route("GET", "/v1/event/list")
async def listed(agent: "AgentInterface", request: Request) -> Response:
    """The received events, the oldest first; blocks with `?index`."""
    options, name = QueryOptions(), request.query.get("name")
    index_and_wait(request.query, options)
    events, clock = agent.events, agent.clock
    watch = WatchSet()
    index, found = events.list(name, watch)
    until_s = clock.seconds() + wait_s(options.max_query_time, events.rng)
    while events.blocks(index, options.min_query_index) and (left_s := until_s - clock.seconds()) > 0:
        await _change(agent, watch, left_s)
        index, found = events.list(name, watch)
    return Response([event.to_json() for event in found], headers={"X-Consul-Index": str(index)})


async def _change(agent: "AgentInterface", watch: WatchSet, within_s: float) -> None:
    """Fires in a turn after the next event, or after the wait."""
    woken: Deferred[None] = Deferred(lambda _: None)

    def wake() -> None:
        if not woken.called:
            woken.callback(None)

    waiter = agent.events.watchers.wait(watch, lambda: agent.woken.defer(woken, wake))
    timer = agent.clock.callLater(within_s, wake)
    try:
        await woken
    finally:
        waiter.cancel()
        agent.woken.cancel(woken)
        cancel_timer(timer)
