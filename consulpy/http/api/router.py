"""Klein's url map: one route for each endpoint, built in a thread when the first request takes the full path.

The fast path finds the same endpoints in a table (`app`). Klein with its dependencies is a twelfth of the memory of an
idle agent, and compiling its url map takes longer than the rest of the agent's start.
"""

import sys
from collections.abc import Callable, Iterable
from functools import cache
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


class _Handlers:
    """The handlers of one agent's routes; Klein passes this to them."""

    def __init__(
        self, respond: Respond, not_found: Callable[[Any], bytes], redirect: Callable[[Any, str], bytes]
    ) -> None:
        self.respond = respond
        self.not_found = not_found
        self.redirect = redirect


def prepare(paths: Iterable[str]) -> None:
    """Import Klein and compile the url map of these paths, which takes long; for a thread."""
    _application(frozenset(paths)).url_map.update()


def is_prepared() -> bool:
    """Whether `prepare` has run, for another agent of this process."""
    return _application.cache_info().currsize > 0


def klein_resource(
    paths: Iterable[str],
    respond: Respond,
    not_found: Callable[[Any], bytes],
    redirect: Callable[[Any, str], bytes],
) -> Resource:
    """The resource of all routes. A path that ends in a slash covers all below it; without the slash it redirects.

    `text` of a request is its path, with undecodable bytes as surrogates; `postpath` is only for matching.
    """
    bound = _application(frozenset(paths)).__get__(_Handlers(respond, not_found, redirect), _Handlers)
    resource: Resource = bound.resource()
    return resource


@cache
def _application(paths: frozenset[str]) -> Any:
    """The Klein application of these paths: one for all agents of a process, since its url map is dear to compile."""
    klein = _klein()
    from werkzeug.exceptions import NotFound

    app = klein.Klein()
    app.url_map.merge_slashes = False
    for path in paths:
        view = _view(path)
        app.route(path, endpoint=path)(view)
        if path.endswith("/"):
            app.route(f"{path}<path:tail>", endpoint=f"{path}<tail>")(view)
            if path[:-1] not in paths:
                app.route(path[:-1], endpoint=path[:-1])(_redirect)
    app.handle_errors(NotFound)(lambda handlers, request, _failure: handlers.not_found(request))
    app.handle_errors(Exception)(_failed)
    return app


def _view(path: str) -> Callable[..., Any]:
    def view(handlers: _Handlers, request: Any, tail: str = "") -> Any:  # noqa: ARG001 - bytes that are no UTF-8 are lost in it
        return handlers.respond(request, path, request.text[len(path) :])

    return view


def _redirect(handlers: _Handlers, request: Any) -> Any:
    return handlers.redirect(request, f"{request.text}/")


def _failed(_handlers: _Handlers, request: Any, failure: Failure) -> bytes:
    """Respond 500 to an unexpected exception."""
    _log.failure("a route failed", failure)
    request.setResponseCode(500)
    request.setHeader(b"content-length", b"0")
    return b""
