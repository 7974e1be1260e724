"""`/v1/agent/services` and `/v1/agent/service/...`: what a request about this agent's services asks for.

What is answered is decided in `consulpy.local.api`, without HTTP; here a request's parts are picked out.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from consulpy.http.api.params import index_and_wait, refuse_namespaces, token
from consulpy.http.api.routing import Answer, Request, route
from consulpy.local import api, blocking
from consulpy.structs.options import QueryOptions

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def shown(answer: api.Answer) -> Answer:
    """An answer of the local agent as one of HTTP. Its plain text goes without a charset, as Consul's."""
    return Answer(
        body=answer.body,
        text=answer.text,
        status=answer.status,
        headers=answer.headers,
        content_type="" if answer.text is None else "text/plain",
    )


def written(agent: "AgentInterface", change: Callable[[], api.Answer]) -> "Deferred[Answer]":
    """The answer to a change of the local agent, once it is on disk."""
    return agent.local.submit(change).addCallback(shown)


@route("GET", "/v1/agent/services")
def services(agent: "AgentInterface", request: Request) -> Answer:
    """All services by id."""
    refuse_namespaces(request)
    return shown(api.services(agent.local, request.query.get("filter")))


@route("GET", "/v1/agent/service/")
async def service(agent: "AgentInterface", request: Request) -> Answer:
    """One service; waits while it shows what `?hash=` says."""
    refuse_namespaces(request)
    query = request.query
    index_and_wait(query, QueryOptions())
    return shown(await blocking.service(agent.local, request.tail, query.get("hash"), query.get("wait")))


@route("PUT", "/v1/agent/service/register")
def register(agent: "AgentInterface", request: Request) -> "Deferred[Answer]":
    """Register a service."""
    refuse_namespaces(request)
    # its presence is enough, but for a value that says no
    replace = "replace-existing-checks" in request.query
    replace = replace and api.truth(request.query.get("replace-existing-checks")) is not False
    local, body, by = agent.local, request.body, token(request)
    return written(agent, lambda: api.register_service(local, body, by, replace_existing_checks=replace))


@route("PUT", "/v1/agent/service/deregister/")
def deregister(agent: "AgentInterface", request: Request) -> "Deferred[Answer]":
    """Remove a service."""
    refuse_namespaces(request)
    return written(agent, lambda: api.deregister_service(agent.local, request.tail))


@route("PUT", "/v1/agent/service/maintenance/")
def service_maintenance(agent: "AgentInterface", request: Request) -> "Deferred[Answer]":
    """A service into maintenance, or out of it."""
    refuse_namespaces(request)
    query, by = request.query.first(), token(request)
    return written(agent, lambda: api.service_maintenance(agent.local, request.tail, query, by))
