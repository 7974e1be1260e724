"""`/v1/agent/services` and `/v1/agent/service/...`: the services of this agent.

The logic is in `consulpy.local.api`, without HTTP; these handlers extract its arguments from the request.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from consulpy.http.api.agent_rights import vet_sidecar
from consulpy.http.api.params import index_and_wait, refuse_namespaces, token
from consulpy.http.api.routing import Request, Response, route
from consulpy.local import api, blocking
from consulpy.structs.options import QueryOptions

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def shown(answer: api.Answer) -> Response:
    """The HTTP response for a result of `consulpy.local.api`. Its text has no charset, as in Consul."""
    return Response(
        body=answer.body,
        text=answer.text,
        status=answer.status,
        headers=answer.headers,
        content_type="" if answer.text is None else "text/plain",
    )


def written(agent: "AgentInterface", change: Callable[[], api.Answer]) -> "Deferred[Response]":
    """The response to a change of the local state, once it is on disk."""
    return agent.local.submit(change).addCallback(shown)


@route("GET", "/v1/agent/services")
def services(agent: "AgentInterface", request: Request) -> Response:
    """All services by id."""
    refuse_namespaces(request)
    return shown(api.services(agent.local, request.query.get("filter")))


@route("GET", "/v1/agent/service/")
async def service(agent: "AgentInterface", request: Request) -> Response:
    """One service; with `?hash=` blocks until its hash differs."""
    refuse_namespaces(request)
    query = request.query
    index_and_wait(query, QueryOptions())
    return shown(await blocking.service(agent.local, request.tail, query.get("hash"), query.get("wait")))


@route("PUT", "/v1/agent/service/register")
def register(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Register a service."""
    refuse_namespaces(request)
    replace = request.query.get("replace-existing-checks", "false") in ("", "true")
    body, by = request.body, token(request)
    if agent.access.is_on:
        vetted = Deferred.fromCoroutine(vet_sidecar(agent, body, by))
        return vetted.addCallback(lambda _: _register(agent, body, by, replace=replace))
    return _register(agent, body, by, replace=replace)


def _register(agent: "AgentInterface", body: bytes, by: str, *, replace: bool) -> "Deferred[Response]":
    local = agent.local
    done = written(agent, lambda: api.register_service(local, body, by, replace_existing_checks=replace))
    return done.addCallback(lambda response: _when_defaults_are_fetched(agent, response))


def _when_defaults_are_fetched(agent: "AgentInterface", response: Response) -> "Response | Deferred[Response]":
    fetching = agent.local.entries.defaults_fetched()
    return response if fetching is None else fetching.addCallback(lambda _: response)


@route("PUT", "/v1/agent/service/deregister/")
def deregister(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Remove a service."""
    refuse_namespaces(request)
    return written(agent, lambda: api.deregister_service(agent.local, request.tail))


@route("PUT", "/v1/agent/service/maintenance/")
def service_maintenance(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Set or clear maintenance mode of a service."""
    refuse_namespaces(request)
    query, by = request.query.first(), token(request)
    return written(agent, lambda: api.service_maintenance(agent.local, request.tail, query, by))
