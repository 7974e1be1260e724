"""Parts of Consul's API that this version does not have yet: 501, and what is missing."""

from typing import TYPE_CHECKING

from consulpy.http.routing import Answer, Handler, HttpError, Request, route

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent

_PATHS = {
    "gateways in the web page": {"/v1/internal/ui/gateway-services-nodes/": "GET"},
}


def _missing(what: str) -> Handler:
    def answer(agent: "LocalAgent", request: Request) -> Answer:  # noqa: ARG001
        raise HttpError(501, f"consulpy does not have {what} yet")

    return answer


for _what, _paths in _PATHS.items():
    for _path, _methods in _paths.items():
        for _method in _methods.split():
            route(_method, _path)(_missing(_what))
