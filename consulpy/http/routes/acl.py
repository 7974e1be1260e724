"""/v1/acl: access control is off, and says so as Consul does."""

from typing import TYPE_CHECKING

from consulpy.http.routing import Answer, HttpError, Request, route

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent

_PATHS = {
    "/v1/acl/bootstrap": "PUT",
    "/v1/acl/create": "PUT",
    "/v1/acl/update": "PUT",
    "/v1/acl/destroy/": "PUT",
    "/v1/acl/info/": "GET",
    "/v1/acl/clone/": "PUT",
    "/v1/acl/list": "GET",
    "/v1/acl/login": "POST",
    "/v1/acl/logout": "POST",
    "/v1/acl/replication": "GET",
    "/v1/acl/policies": "GET",
    "/v1/acl/policy": "PUT",
    "/v1/acl/policy/": "GET PUT DELETE",
    "/v1/acl/policy/name/": "GET",
    "/v1/acl/roles": "GET",
    "/v1/acl/role": "PUT",
    "/v1/acl/role/name/": "GET",
    "/v1/acl/role/": "GET PUT DELETE",
    "/v1/acl/binding-rules": "GET",
    "/v1/acl/binding-rule": "PUT",
    "/v1/acl/binding-rule/": "GET PUT DELETE",
    "/v1/acl/auth-methods": "GET",
    "/v1/acl/auth-method": "PUT",
    "/v1/acl/auth-method/": "GET PUT DELETE",
    "/v1/acl/rules/translate": "POST",
    "/v1/acl/rules/translate/": "GET",
    "/v1/acl/tokens": "GET",
    "/v1/acl/token": "PUT",
    "/v1/acl/token/self": "GET",
    "/v1/acl/token/": "GET PUT DELETE",
    "/v1/acl/authorize": "POST",
    "/v1/internal/acl/authorize": "POST",
    "/debug/pprof/": "GET POST PUT DELETE",
}


def _disabled(agent: "LocalAgent", request: Request) -> Answer:  # noqa: ARG001
    raise HttpError(401, "ACL support disabled")


for _path, _methods in _PATHS.items():
    for _method in _methods.split():
        route(_method, _path)(_disabled)
