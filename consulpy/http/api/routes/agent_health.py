"""`/v1/agent/health/service/...`: the health of a service of this agent, for load balancers.

Status: 200 passing, 429 warning, 503 critical or in maintenance, 404 unknown; JSON, or one word.
"""

from typing import TYPE_CHECKING

from consulpy.http.api.params import refuse_namespaces
from consulpy.http.api.routes.agent_service import shown
from consulpy.http.api.routing import Request, Response, route
from consulpy.local import api

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def _wants_text(request: Request) -> bool:
    return request.query.get("format") == "text" or request.header("Accept").startswith("text/plain")


@route("GET", "/v1/agent/health/service/id/")
def by_id(agent: "AgentInterface", request: Request) -> Response:
    """Health of the service with an id."""
    refuse_namespaces(request)
    return shown(api.health_by_id(agent.local, request.tail, text=_wants_text(request)))


@route("GET", "/v1/agent/health/service/name/")
def by_name(agent: "AgentInterface", request: Request) -> Response:
    """Health of all services with a name."""
    refuse_namespaces(request)
    return shown(api.health_by_name(agent.local, request.tail, text=_wants_text(request)))
