"""Waiting for a change of what this agent itself knows (members, timelines): `index` and `wait` of its own endpoints.

Such an index counts the changes that this process saw. One from before a restart, above the present one, is answered
at once: the client's view is older than the process.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from consulpy.clock import cancel_timer
from consulpy.http.api.params import index_and_wait
from consulpy.http.api.routing import Request
from consulpy.rpc.blocking import wait_s
from consulpy.structs.options import QueryOptions

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


async def wait_for_change(
    agent: "AgentInterface", request: Request, index: Callable[[], int], listeners: "list[Callable[..., Any]]"
) -> None:
    """Return when `index()` is not the index that the client knows, or when its time is over. Raises `BadRequest`.

    `listeners`: called by the owner of the index after each change, in the midst of it; so the wait ends in a turn
    after it, once for all changes of a turn.
    """
    known = QueryOptions()
    index_and_wait(request.query, known)
    if index() != known.min_query_index:
        return
    changed: Deferred[None] = Deferred()
    timer = agent.clock.callLater(wait_s(known.max_query_time, agent.events.rng), _fire, changed)

    def listener(*_: Any) -> None:
        if index() != known.min_query_index:
            agent.woken.defer(changed, lambda: _fire(changed))

    listeners.append(listener)
    try:
        await changed
    finally:
        listeners.remove(listener)
        agent.woken.cancel(changed)
        cancel_timer(timer)


def _fire(waiting: "Deferred[None]") -> None:
    if not waiting.called:
        waiting.callback(None)
