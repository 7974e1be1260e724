"""/debug/pprof: the right is checked as in Consul; there are no profiles here, as the agent is no Go program.

Without access control, and with a token that may read the operator's data, the answer is an error that says so.
Source: docs/wire/acl.md section 6; `wrapPprof` of Consul's HTTP server.
"""

from typing import TYPE_CHECKING

from consulpy.acl.levels import READ
from consulpy.errors import RPCError
from consulpy.http.api.params import token
from consulpy.http.api.routing import HttpError, PlainError, Request, Response, route

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

NO_PROFILES = "there are no Go profiles of this agent; see `consulpy debug` and /v1/agent/metrics"


async def _profiles(agent: "AgentInterface", request: Request) -> Response:
    """401 without access control and `enable_debug`; 403 with an empty body without the right; else 404."""
    if not agent.access.is_on:
        if not agent.self_report().get("DebugConfig", {}).get("EnableDebug"):
            raise HttpError(401, "ACL support disabled")
        raise PlainError(404, NO_PROFILES)
    try:
        identity = await agent.access.identity(token(request))
    except RPCError:  # unknown tokens
        return Response(status=403)
    if not identity.authorizer.allows("operator", "", READ):
        return Response(status=403)
    raise PlainError(404, NO_PROFILES)


for _method in ("GET", "POST", "PUT", "DELETE"):
    route(_method, "/debug/pprof/")(_profiles)
