"""Klein's url map: one route for each endpoint, built when the first request takes the full path.

The fast path finds the same endpoints in a table (`app`). Klein with its dependencies is a twelfth of the memory of an
idle agent, and compiling its url map takes longer than the rest of the agent's start.
"""

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from twisted.python.failure import Failure
from twisted.web.resource import Resource

from consulpy.log import Logger

_log = Logger()

#: Serves a request: (request, path of the endpoint, tail) -> the body, or a Deferred of it.
Respond = Callable[[Any, str, str], Any]


_REACTOR: Final = "twisted.internet.reactor"


def _klein() -> Any:
    """The module klein. Its import takes the global reactor, and would choose one for a program that has none yet."""
    placeholder = ModuleType(_REACTOR)
    if sys.modules.setdefault(_REACTOR, placeholder) is not placeholder:
        return import_module("klein")
    try:
        return import_module("klein")
    finally:
        del sys.modules[_REACTOR]


def klein_resource(
    paths: Iterable[str],
    respond: Respond,
    not_found: Callable[[Any], bytes],
    redirect: Callable[[Any, str], bytes],
) -> Resource:
    """The resource of all routes. A path that ends in a slash covers all below it; without the slash it redirects.

    `text` of a request is its path, with undecodable bytes as surrogates; `postpath` is only for matching.
    """
    klein = _klein()
    from werkzeug.exceptions import NotFound

    app = klein.Klein()
    app.url_map.merge_slashes = False
    known = frozenset(paths)
    for path in known:
        view = _view(path, respond)
        app.route(path, endpoint=path)(view)
        if path.endswith("/"):
            app.route(f"{path}<path:tail>", endpoint=f"{path}<tail>")(view)
            if path[:-1] not in known:
                app.route(path[:-1], endpoint=path[:-1])(lambda request: redirect(request, f"{request.text}/"))
    app.handle_errors(NotFound)(lambda request, _failure: not_found(request))
    app.handle_errors(Exception)(_failed)
    resource: Resource = app.resource()
    return resource


def _view(path: str, respond: Respond) -> Callable[..., Any]:
    def view(request: Any, tail: str = "") -> Any:  # noqa: ARG001 - bytes that are no UTF-8 are lost in it
        return respond(request, path, request.text[len(path) :])

    return view


def _failed(request: Any, failure: Failure) -> bytes:
    """Respond 500 to an unexpected exception."""
    _log.failure("a route failed", failure)
    request.setResponseCode(500)
    request.setHeader(b"content-length", b"0")
    return b""
