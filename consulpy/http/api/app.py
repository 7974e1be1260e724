"""The API on Klein: from a request to its handler, and from what the handler gives or raises to an answer.

`RootResource` checks what Go's HTTP server checks before any route (escapes, doubled slashes), Klein finds the route,
`_Endpoint` the method, and `_RequestHandler` carries one request through its handler and turns errors into Consul's
status and text.
"""

import gzip
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from consulpy.codec.secrets import target_without_secrets
from consulpy.errors import RPCError
from consulpy.http.api import routes
from consulpy.http.api.access import AccessRules
from consulpy.http.api.agent_rights import Rights, refused_unless_named, rights_of
from consulpy.http.api.large_body import GZIP_LEVEL, LARGE_BYTES, Parts, Rendering, is_large, json_parts, sliced
from consulpy.http.api.origin import Origins
from consulpy.http.api.params import token
from consulpy.http.api.refused import OWN, denied_headers, is_refusal
from consulpy.http.api.render import text_bytes, to_bytes
from consulpy.http.api.router import klein_resource
from consulpy.http.api.routing import (
    METHODS,
    ROUTES,
    Answer,
    BadQuery,
    Handler,
    HttpError,
    PlainError,
    Query,
    Request,
)
from consulpy.http.api.streaming import Stream
from consulpy.http.errors import error_response
from consulpy.http.fast_path import HOST
from consulpy.rpc.acl.denied import Denied
from consulpy.rpc.cache.authorized_cache import AuthorizedCache

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_log = Logger()

_TEXT: Final = "text/plain; charset=utf-8"
#: What listens here.
_ROOT: Final = b"Consul Agent"
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9a-fA-F]{2})")
#: Bytes of a path that are no UTF-8.
_NO_TEXT: Final = re.compile("[\udc80-\udcff]")
#: A path that has a shorter spelling.
_UNCLEAN: Final = re.compile(r"//|/\.\.?(?:/|$)")
#: gzip in `Accept-Encoding`, unless its weight is 0.
_GZIP: Final = re.compile(
    r"(?:^|[,\s])gzip\s*(?:;\s*q\s*=\s*(?!0(?:\.0*)?\s*(?:,|$))[0-9.]+\s*)?(?:,|$)", re.IGNORECASE
)
#: Runs a costly job where it stops nobody; a Deferred of its result.
InThread = Callable[[Callable[[], Any]], Deferred[Any]]
#: A request that is read when the reactor's turn is longer than this waits for the next turn, in seconds.
TURN_MAX_S: Final = 0.03
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


def make_site_root(
    agent: "AgentInterface",
    headers: dict[str, str],
    cache: AuthorizedCache | None = None,
    guard: AccessRules | None = None,
    origins: Origins | None = None,
    debugging: Callable[[], bool] = lambda: True,
    in_thread: InThread = maybeDeferred,
) -> "RootResource":
    """The root of the API; `headers` are added to what routes answer, `cache` is what `?cached` reads.

    `debugging()`: whether a line is logged for each request. `in_thread`: runs the rendering of a large answer.
    """
    assert routes
    endpoints = {
        path: _Endpoint(agent, path, handlers, cache, debugging, in_thread) for path, handlers in ROUTES.items()
    }
    added = [(name.encode(), value.encode()) for name, value in headers.items()]

    def respond(request: Any, path: str, tail: str) -> Any:
        for name, value in added:
            request.setHeader(name, value)
        whole = path + tail
        refused = guard.refuses(request.method.decode("latin-1"), whole, _client_of(request)) if guard else ""
        refused = refused or (origins.refuses(request) if origins else "")
        return endpoints[path].refuse(request, refused) if refused else endpoints[path].serve(request, tail)

    def serve(request: Any, path: str) -> Any:
        found, tail = _find(endpoints, path)
        return _not_found(request, path) if found is None else respond(request, found, tail)

    def make_api() -> Resource:
        return klein_resource(endpoints, respond, lambda request: _not_found(request, request.text), _redirect)

    return RootResource(make_api, serve)


def _find(endpoints: Mapping[str, "_Endpoint"], path: str) -> tuple[str | None, str]:
    """The path of the endpoint that answers `path`, and what follows it; the longest one wins, as in Klein's routes."""
    if path in endpoints:
        return path, ""
    if f"{path}/" in endpoints:  # what lacks only the slash is sent there, whatever shorter path there is
        return None, ""
    end = path.rfind("/")
    while end > 0:
        if path[: end + 1] in endpoints:
            return path[: end + 1], path[end + 1 :]
        end = path.rfind("/", 0, end)
    return None, ""


@implementer(IResource)
class RootResource:
    """What is answered before any route is looked for. `make_api()`: Klein's routes, made when first needed.

    `serve(request, path)`: the same routes, for `consulpy.http.fast_path`.
    """

    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, make_api: Callable[[], Resource], serve: Callable[[Any, str], Any]) -> None:
        self._make_api = make_api
        self._api: Resource | None = None
        self.serve = serve

    def putChild(self, path: bytes, child: IResource) -> None:
        raise NotImplementedError

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        raise NotImplementedError

    def render(self, request: Any) -> Any:
        """Answer, or let Klein do it."""
        request.defaultContentType = None
        request.setHeader(b"server", b"consulpy")
        hosts = request.requestHeaders.getRawHeaders(b"host") or []
        if request.clientproto == b"HTTP/1.1" and not hosts:
            return _refuse(request, ": missing required Host header")
        if len(hosts) > 1:
            return _refuse(request, ": too many Host headers")
        if hosts and not HOST.fullmatch(hosts[0]):
            return _refuse(request, ": malformed Host header")
        if (request.getHeader(b"expect") or b"100-continue").lower() != b"100-continue":
            request.setResponseCode(417)
            return _whole(request, b"")
        if _BAD_ESCAPE.search(request.path) or not request.path.startswith(b"/"):
            return _refuse(request)
        if request.path == b"/":
            request.setHeader(b"content-type", _TEXT.encode())
            return _whole(request, _ROOT)
        path = b"/" + b"/".join(request.postpath)
        text = path.decode("utf-8", "surrogateescape")
        if not _printable(text):
            request.setResponseCode(400)
            return _whole(request, b"")
        if _UNCLEAN.search(text):
            return _redirect(request, _clean(text))
        if self._api is None:
            self._api = self._make_api()
        # Klein matches texts only: bytes that are no UTF-8 are in `text`
        request.text, request.postpath = text, text.encode("utf-8", "replace").split(b"/")[1:]
        return self._api.render(request)


def _printable(path: str) -> bool:
    """Whether Go would print all of a path; it prints bytes that are no UTF-8 as U+FFFD."""
    return path.isprintable() or _NO_TEXT.sub("", path).isprintable()


def _refuse(request: Any, why: str = "") -> int:
    """What Go's server does not accept."""
    from twisted.web.server import NOT_DONE_YET  # loaded: the request is one of its own

    status = f"400 Bad Request{why}"
    request.channel.refuse(error_response(status, status))
    return NOT_DONE_YET


def _clean(path: str) -> str:
    """The path without empty, `.` and `..` parts."""
    cleaned = posixpath.normpath(path)
    cleaned = "/" + cleaned.lstrip("/")
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


def _whole(request: Any, body: bytes) -> bytes:
    """`body` as all that is sent."""
    request.setHeader(b"content-length", str(len(body)).encode())
    return b"" if request.method == b"HEAD" else body


def _redirect(request: Any, path: str) -> bytes:
    """301, with a line of HTML where somebody may read it."""
    query = request.uri.partition(b"?")[2].decode("latin-1")
    location = quote(path, safe="/:@!$&'()*+,;=-._~", errors="surrogateescape") + (f"?{query}" if query else "")
    request.setResponseCode(301)
    request.setHeader(b"location", location.encode())
    if request.method not in (b"GET", b"HEAD"):
        return _whole(request, b"")
    request.setHeader(b"content-type", b"text/html; charset=utf-8")
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;")):
        location = location.replace(plain, escaped)
    return _whole(request, f'<a href="{location}">Moved Permanently</a>.\n\n'.encode())


def _not_found(request: Any, path: str) -> bytes:
    """No such path: an empty 404, or a redirect where only the slash at the end is missing."""
    if path + "/" in ROUTES:
        return _redirect(request, path + "/")
    request.setResponseCode(404)
    return _whole(request, b"")


def _client_of(web: Any) -> str:
    """The IP address of the client; empty on a unix socket."""
    return str(getattr(web.getClientAddress(), "host", ""))


class _Endpoint:
    """A path, and its handlers by method."""

    def __init__(
        self,
        agent: "AgentInterface",
        path: str,
        handlers: dict[str, Handler],
        cache: AuthorizedCache | None,
        debugging: Callable[[], bool],
        in_thread: InThread,
    ) -> None:
        self.agent = agent
        self.in_thread = in_thread
        self.cache = cache
        self.debugging = debugging
        words = path.strip("/").replace("/", ".") + ("._" if path.endswith("/") else "")
        #: By method, with the name under which it is measured.
        self._handlers = {
            method: (handler, f"http.{method}.{words}", refused_unless_named(rights_of(method, path)))
            for method, handler in handlers.items()
        }
        self._allowed = ",".join(["OPTIONS", *(method for method in METHODS if method in handlers)]).encode()

    def refuse(self, web: Any, why: str) -> Any:
        """Answer that this agent does not answer that."""
        web.setHeader(b"vary", b"Accept-Encoding")
        return _finish(web, Answer(text=why, status=403))

    def serve(self, web: Any, tail: str = "") -> Any:
        """What Klein calls."""
        web.setHeader(b"vary", b"Accept-Encoding")
        method = web.method.decode("latin-1")
        found = self._handlers.get(method)
        if found is not None:
            handler, metric, rights = found
            return _RequestHandler(self, web, metric).run(handler, tail, rights)
        if _query(web) is None:
            return _finish(web, Answer(status=500))
        web.setHeader(b"allow", self._allowed)
        if method == "OPTIONS":
            return _finish(web, Answer())
        return _finish(web, Answer(text=f"method {method} not allowed", status=405))


def _query(web: Any) -> Query | None:
    """The parameters of a request; None if one has a bad escape."""
    try:
        return Query(web.uri.partition(b"?")[2].decode("utf-8", "surrogateescape"))
    except (BadQuery, ValueError):
        return None


class _RequestHandler:
    """One request and its answer."""

    def __init__(self, endpoint: _Endpoint, web: Any, metric: str) -> None:
        self._agent = endpoint.agent
        self._cache = endpoint.cache
        self._debugging = endpoint.debugging
        self._web = web
        self._metric = metric
        self._began_s = self._agent.clock.seconds()
        self._is_disconnected = False
        self._pretty = False
        self._running: Deferred[Any] | None = None
        self._rendering: Rendering | None = None
        self._in_thread = endpoint.in_thread

    def run(self, handler: Handler, tail: str, rights: Rights) -> Any:
        """Ask the handler; the body to be sent, or a Deferred of it."""
        web = self._web
        if self._began_s - self._agent.turn.began_s > TURN_MAX_S and not web.is_internal:
            return self._run_later(handler, tail, rights)
        web.on_disconnect(self._disconnected)
        return self._run(handler, tail, rights)

    def _run(self, handler: Handler, tail: str, rights: Rights) -> Any:
        web = self._web
        query = _query(web)
        if query is None:
            return _finish(web, Answer(status=500))
        self._pretty = "pretty" in query
        request = Request(
            method=web.method.decode(),
            path=web.path.decode("utf-8", "surrogateescape"),
            tail=tail,
            query=query,
            header=lambda name: web.getHeader(name) or "",
            body=web.content.read(),
            remote_ip=_client_of(web),
            cache=self._cache,
            default_token=self._agent.access.tokens.default,
            dependencies=web.dependencies,
        )
        try:
            if rights.is_judged_here and self._agent.access.is_on:
                answer: Any = self._judged(handler, request, rights)
            else:
                answer = handler(self._agent, request)
        except Exception:
            return self._finished(Failure())
        if isinstance(answer, Answer):
            return self._finished(answer)
        self._running = answer if isinstance(answer, Deferred) else Deferred.fromCoroutine(answer)
        return self._running.addBoth(self._finished)

    def _run_later(self, handler: Handler, tail: str, rights: Rights) -> "Deferred[Any]":
        """The turn has been long: gossip and DNS come first, then this, in the next turn or a later one."""
        clock = self._agent.clock

        def next_turn() -> None:
            if clock.seconds() - self._agent.turn.began_s > TURN_MAX_S:  # others of its kind were first
                waiting[0] = clock.callLater(0, next_turn)
            else:
                done.callback(None)

        waiting = [clock.callLater(0, next_turn)]
        done: Deferred[Any] = Deferred(lambda _: waiting[0].cancel())
        self._running = done
        self._web.on_disconnect(self._disconnected)
        return done.addCallbacks(lambda _: self._run(handler, tail, rights), self._finished)

    async def _judged(self, handler: Handler, request: Request, rights: Rights) -> Answer:
        """The answer, if the agent lets the caller have it."""
        agent, secret = self._agent, token(request)
        identity = await agent.access.identity(secret)
        try:
            if rights.before is not None:
                rights.before(identity.authorizer, agent, request)
            answer = handler(agent, request)
            if not isinstance(answer, Answer):
                answer = await answer
            if rights.after is not None:
                identity = await agent.access.identity(secret)  # it may have waited for long
                answer = rights.after(identity.authorizer, agent, answer)
        except Denied as error:
            error.accessor = error.accessor or identity.token.accessor_id
            raise
        return answer

    def _disconnected(self) -> None:
        self._is_disconnected = True
        if self._rendering is not None:
            self._rendering.cancelled = True
        if self._running is not None:
            self._running.cancel()

    def _finished(self, result: Any) -> Any:
        """One callback for all: a chain of them costs as much as the smallest handlers."""
        try:
            body = self._failed(result) if isinstance(result, Failure) else self._answered(result)
        except Exception:
            body = self._failed(Failure())
        if isinstance(body, Deferred):
            return body.addErrback(self._failed).addBoth(self._ended)
        return self._ended(body)

    def _answered(self, answer: Answer) -> Any:
        if self._is_disconnected:
            return b""
        if answer.stream is not None:
            return self._stream(answer)
        if answer.raw is None and is_large(answer.body):
            return self._render(answer, json_parts(answer.body, self._pretty))
        body = _body(answer, self._pretty)
        if len(body) > LARGE_BYTES:
            return self._render(answer, sliced(body))
        if _starts(self._web, answer, bool(body)):
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        return _whole(self._web, body)

    def _render(self, answer: Answer, parts: Iterable[bytes]) -> "Deferred[Any]":
        """Have a large body made and compressed in a thread; then it is sent in parts."""
        web = self._web
        rendering = self._rendering = Rendering(parts, compress=_starts(web, answer, has_body=True))
        return self._in_thread(rendering.run).addCallback(self._rendered)

    def _rendered(self, body: Parts) -> Any:
        if self._is_disconnected:
            return b""
        self._web.setHeader(b"content-length", str(body.size).encode())
        return b"" if self._web.method == b"HEAD" else self._web.send_parts(body)

    def _stream(self, answer: Answer) -> "Deferred[bytes]":
        web = self._web
        web.setResponseCode(answer.status)
        if answer.content_type:
            web.setHeader(b"content-type", answer.content_type.encode())
        assert answer.stream is not None
        return Stream(web, answer.stream).ended

    def _failed(self, failure: Failure) -> Any:
        return b"" if self._is_disconnected else _finish(self._web, _answer_to(failure))

    def _ended(self, result: Any) -> Any:
        if self._web.is_internal:
            return result  # those for whom this was asked are counted
        took_ms = 1000 * (self._agent.clock.seconds() - self._began_s)
        self._agent.metrics.sample(self._metric, took_ms)
        if self._debugging():
            _log.debug(
                "Request finished: method={method} url={url} from={source} latency={latency:.3f}ms",
                method=self._web.method.decode("latin-1"),
                url=target_without_secrets(self._web.uri.decode("latin-1")),
                source=_client_of(self._web),
                latency=took_ms,
            )
        return result


def _answer_to(failure: Failure) -> Answer:
    error = failure.value
    if isinstance(error, RPCError):
        status, headers = error.http_status, denied_headers(error)
        if isinstance(error, HttpError):
            status, headers = error.status, error.headers
        text = str(error)
        # Errors of servers keep only their text on the way here.
        if is_refusal(text) and not isinstance(error, PlainError):
            status = 403
        elif "RPC rate limit exceeded" in text:
            status = 429
        return Answer(text=text, status=status, headers=headers)
    if isinstance(error, CancelledError):
        return Answer(text="the request was given up", status=500)
    _log.failure("an answer failed", failure)
    return Answer(text=f"internal error: {type(error).__name__}", status=500)


def _finish(web: Any, answer: Answer, pretty: bool = False) -> bytes:
    """Set status and headers; the body."""
    body = _body(answer, pretty)
    if _starts(web, answer, bool(body)):
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
    return _whole(web, body)


def _body(answer: Answer, pretty: bool) -> bytes:
    if answer.raw is not None:
        return answer.raw
    if answer.text is not None:
        return text_bytes(answer.text)
    return to_bytes(answer.body, pretty) if answer.body is not None or answer.null else b""


def _starts(web: Any, answer: Answer, has_body: bool) -> bool:
    """Set status and headers, but for the length; whether the body is to be compressed."""
    web.setResponseCode(answer.status, _REASONS.get(answer.status, b"Unknown"))
    for name, value in answer.headers.items():
        if name.startswith(OWN) and not web.getHeader("user-agent"):
            continue
        web.setHeader(name.encode(), value.encode("utf-8", "replace"))
    content_type = answer.content_type
    if not content_type and answer.raw is None:
        if answer.text is not None:
            content_type = _TEXT
        elif answer.body is not None or answer.null:
            content_type = "application/json"
    if content_type:
        web.setHeader(b"content-type", content_type.encode())
    accepted = web.getHeader("accept-encoding")
    if not (has_body and accepted and _GZIP.search(accepted)) or web.method == b"HEAD":
        return False
    web.setHeader(b"content-encoding", b"gzip")
    return True


__all__ = ["InThread", "make_site_root"]
