"""The application: its routes, for the full path (Klein, below `RootResource`) and the fast path (`serve`)."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.resource import Resource

from consulpy.http.api import routes
from consulpy.http.api.access import AccessRules
from consulpy.http.api.endpoint import Endpoint, InThread, client_of
from consulpy.http.api.origin import Origins
from consulpy.http.api.root_resource import RootResource, WebPage
from consulpy.http.api.router import is_prepared, klein_resource, prepare
from consulpy.http.api.routing import ROUTES
from consulpy.http.api.write_response import not_found, redirect
from consulpy.rpc.cache.authorized_cache import AuthorizedCache

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def make_site_root(
    agent: "AgentInterface",
    headers: dict[str, str],
    cache: AuthorizedCache | None = None,
    guard: AccessRules | None = None,
    origins: Origins | None = None,
    debugging: Callable[[], bool] = lambda: True,
    in_thread: InThread = maybeDeferred,
    make_page: Callable[[], WebPage] | None = None,
) -> "RootResource":
    """The root resource of the API. `headers`: added to all responses of routes. `cache`: of `?cached`.

    `debugging()`: whether each request is logged. `in_thread`: runs the rendering of a large response, and
    the first request's imports.
    `make_page()`: see `RootResource`.
    """
    endpoints: dict[str, Endpoint] = {}
    loaded: set[str] = set()

    def load(word: str) -> None:
        """Make the endpoints whose paths have this first word."""
        if word in loaded or word not in routes.FILES:
            return
        routes.load(word)
        loaded.add(word)
        for path, handlers in list(ROUTES.items()):  # a thread may be adding to them
            if routes.first_word(path) == word:
                endpoints[path] = Endpoint(agent, path, handlers, cache, debugging, in_thread)

    added = [(name.encode(), value.encode()) for name, value in headers.items()]

    def respond(request: Any, path: str, tail: str) -> Any:
        for name, value in added:
            request.setHeader(name, value)
        refused = ""
        if guard and guard.has_rules:
            refused = guard.refuses(request.method.decode("latin-1"), path + tail, client_of(request))
        refused = refused or (origins.refuses(request) if origins else "")
        return endpoints[path].refuse(request, refused) if refused else endpoints[path].serve(request, tail)

    def serve(request: Any, path: str) -> Any:
        load(routes.first_word(path))
        found, tail = _find(endpoints, path)
        return not_found(request, path) if found is None else respond(request, found, tail)

    def make_api() -> Resource:
        for word in routes.FILES:
            load(word)
        return klein_resource(ROUTES, respond, lambda request: not_found(request, request.text), redirect)

    def prepare_api() -> Deferred[None]:
        return maybeDeferred(_prepare) if is_prepared() else in_thread(_prepare)

    return RootResource(prepare_api, make_api, serve, make_page)


def _prepare() -> None:
    """Import all that `make_api` needs; for a thread."""
    routes.load_all()
    prepare(ROUTES)


def _find(endpoints: Mapping[str, "Endpoint"], path: str) -> tuple[str | None, str]:
    """The path of the endpoint for `path`, and the tail; the longest match wins, as in Klein's url map."""
    if path in endpoints:
        return path, ""
    if f"{path}/" in endpoints:  # redirected there, even if a shorter path matches
        return None, ""
    end = path.rfind("/")
    while end > 0:
        if path[: end + 1] in endpoints:
            return path[: end + 1], path[end + 1 :]
        end = path.rfind("/", 0, end)
    return None, ""
