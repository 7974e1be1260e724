"""/v1/agent/service: the services that are registered on this agent."""

from typing import TYPE_CHECKING

from consulpy.http.params import options, refuse_namespaces, token
from consulpy.http.routes.agent import from_local
from consulpy.http.routing import Answer, Request, route
from consulpy.local import api

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent


@route("GET", "/v1/agent/services")
def services(agent: "LocalAgent", request: Request) -> Answer:
    """All services by id."""
    return from_local(api.services(agent.local, options(request).filter))


@route("GET", "/v1/agent/service/")
async def service(agent: "LocalAgent", request: Request) -> Answer:
    """One service, with a hash that a blocking reader sends back."""
    return from_local(api.service(agent.local, request.tail))


@route("PUT", "/v1/agent/service/register")
def register(agent: "LocalAgent", request: Request) -> Answer:
    """Register a service with its checks."""
    refuse_namespaces(request)
    replace = api.truth(request.query.get("replace-existing-checks")) or False
    return from_local(api.register_service(agent.local, request.body, token(request), replace_existing_checks=replace))


@route("PUT", "/v1/agent/service/deregister/")
def deregister(agent: "LocalAgent", request: Request) -> Answer:
    """Remove a service and its checks."""
    return from_local(api.deregister_service(agent.local, request.tail))


@route("PUT", "/v1/agent/service/maintenance/")
def maintenance(agent: "LocalAgent", request: Request) -> Answer:
    """Put a service into maintenance, or take it out."""
    return from_local(api.service_maintenance(agent.local, request.tail, request.query.first(), token(request)))
