"""/v1/agent/health: how the services of this agent are, as status codes that load balancers understand."""

from typing import TYPE_CHECKING

from consulpy.http.routes.agent import from_local
from consulpy.http.routing import Answer, Request, route
from consulpy.local import api

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent


@route("GET", "/v1/agent/health/service/id/")
def by_id(agent: "LocalAgent", request: Request) -> Answer:
    """One service."""
    text = request.query.get("format") == "text"
    return from_local(api.health_by_id(agent.local, request.tail, text=text))


@route("GET", "/v1/agent/health/service/name/")
def by_name(agent: "LocalAgent", request: Request) -> Answer:
    """All instances of a service on this agent."""
    text = request.query.get("format") == "text"
    return from_local(api.health_by_name(agent.local, request.tail, text=text))
