"""Routes of access control that answer nothing yet."""

from typing import TYPE_CHECKING

from consulpy.http.api.routes.acl import acl_route
from consulpy.http.api.routing import Answer, HttpError, Request, route

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_PATHS = {
    "/v1/acl/rules/translate": "POST",
    "/v1/acl/rules/translate/": "GET",
}


async def _missing(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    raise HttpError(501, "not supported yet")


def _nothing(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    raise HttpError(401, "ACL support disabled")


for _path, _methods in _PATHS.items():
    for _method in _methods.split():
        acl_route(_method, _path)(_missing)
for _method in ("GET", "POST", "PUT", "DELETE"):
    route(_method, "/debug/pprof/")(_nothing)
