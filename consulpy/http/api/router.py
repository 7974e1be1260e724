"""Klein's routes: one for each endpoint, made when the first request needs them.

Requests on the fast path find their endpoint in a table (`app`) and call the same one: Klein, with what it loads, is a
twelfth of the memory of an agent at rest, and to compile its url map takes longer than the rest of the agent's start.
"""

from collections.abc import Callable, Iterable
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource

_log = Logger()

#: Answers a request for the endpoint of a path, given what follows that path: the body, or a Deferred of it.
Respond = Callable[[Any, str, str], Any]


def klein_resource(
    paths: Iterable[str],
    respond: Respond,
    not_found: Callable[[Any], bytes],
    redirect: Callable[[Any, str], bytes],
) -> Resource:
    """The resource of all routes. A path that ends in a slash takes all that begins like it; without it: a redirect.

    Requests have their path as text, with undecodable bytes as surrogates, in `text`; `postpath` is only for matching.
    """
    from klein import Klein
    from werkzeug.exceptions import NotFound

    app = Klein()
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
    """A fault of ours, outside of any handler."""
    _log.failure("a route failed", failure)
    request.setResponseCode(500)
    request.setHeader(b"content-length", b"0")
    return b""
