"""/debug/pprof: there are no Go profiles; responds as Consul without `enable_debug`."""

from typing import TYPE_CHECKING

from consulpy.http.api.routing import HttpError, Request, Response, route

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def _nothing(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    raise HttpError(401, "ACL support disabled")


for _method in ("GET", "POST", "PUT", "DELETE"):
    route(_method, "/debug/pprof/")(_nothing)
