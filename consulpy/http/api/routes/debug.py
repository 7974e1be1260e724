"""/debug/pprof: profiles are what an agent written in Go has; this one answers as if access control were off."""

from typing import TYPE_CHECKING

from consulpy.http.api.routing import Answer, HttpError, Request, route

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def _nothing(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    raise HttpError(401, "ACL support disabled")


for _method in ("GET", "POST", "PUT", "DELETE"):
    route(_method, "/debug/pprof/")(_nothing)
