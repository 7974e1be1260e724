"""Routes of access control that answer nothing yet."""

from typing import TYPE_CHECKING

from consulpy.http.routes.acl import acl_route
from consulpy.http.routing import Answer, HttpError, Request, route

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent

_PATHS = {
    "/v1/acl/rules/translate": "POST",
    "/v1/acl/rules/translate/": "GET",
}


async def _missing(agent: "LocalAgent", request: Request) -> Answer:  # noqa: ARG001
    raise HttpError(501, "not supported yet")


def _nothing(agent: "LocalAgent", request: Request) -> Answer:  # noqa: ARG001
    raise HttpError(401, "ACL support disabled")


for _path, _methods in _PATHS.items():
    for _method in _methods.split():
        acl_route(_method, _path)(_missing)
for _method in ("GET", "POST", "PUT", "DELETE"):
    route(_method, "/debug/pprof/")(_nothing)
