"""The API on Klein: from a request to its handler, and from what the handler gives or raises to an answer.

The front checks what Go's HTTP server checks before any route (escapes, doubled slashes), Klein finds the route, and
`_serve` turns errors into Consul's status and text.
"""

import gzip
import posixpath
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from consulpy.errors import RPCError
from consulpy.http import routes
from consulpy.http.render import to_bytes
from consulpy.http.routing import METHODS, ROUTES, Answer, BadQuery, Handler, HttpError, Query, Request

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent

_log = Logger()

_TEXT: Final = "text/plain; charset=utf-8"


def make_site_root(agent: "LocalAgent", headers: dict[str, str]) -> IResource:
    """The root of the API; `headers` are added to every answer."""
    assert routes
    app = Klein()
    app.url_map.merge_slashes = False
    for path, handlers in ROUTES.items():
        prefix = path.endswith("/") and path != "/"
        endpoint = _endpoint(agent, handlers, headers)
        if prefix:
            app.route(f"{path}<path:tail>", endpoint=f"{path}*")(endpoint)
        app.route(path, endpoint=path)(endpoint)
    app.handle_errors(Exception)(lambda request, failure: _not_found(request, failure, headers))
    return _Front(app.resource(), headers)


@implementer(IResource)
class _Front:
    """What is refused before any route is looked for."""

    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, api: Resource, headers: dict[str, str]) -> None:
        self._api = api
        self._headers = headers

    def putChild(self, path: bytes, child: IResource) -> None:
        raise NotImplementedError

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        raise NotImplementedError

    def render(self, request: Any) -> Any:
        """Answer, or let Klein do it."""
        request.defaultContentType = None
        request.setHeader(b"server", b"consulpy")
        for name, value in self._headers.items():
            request.setHeader(name.encode(), value.encode())
        path = b"/" + b"/".join(request.postpath)
        if any(byte < 0x20 or byte == 0x7F for byte in path):
            request.setResponseCode(400)
            request.setHeader(b"content-length", b"0")
            return b""
        cleaned = posixpath.normpath(path.decode("utf-8", "surrogateescape"))
        if cleaned.startswith("//"):
            cleaned = cleaned[1:]
        if path.endswith(b"/") and cleaned != "/":
            cleaned += "/"
        if cleaned.encode("utf-8", "surrogateescape") != path:
            return _redirect(request, cleaned)
        return self._api.render(request)


def _redirect(request: Any, path: str) -> bytes:
    """301, with a line of HTML where somebody may read it."""
    query = request.uri.partition(b"?")[2].decode("latin-1")
    location = quote(path, safe="/:@!$&'()*+,;=-._~") + (f"?{query}" if query else "")
    request.setResponseCode(301)
    request.setHeader(b"location", location.encode())
    if request.method not in (b"GET", b"HEAD"):
        request.setHeader(b"content-length", b"0")
        return b""
    request.setHeader(b"content-type", b"text/html; charset=utf-8")
    return f'<a href="{escape(location)}">Moved Permanently</a>.\n\n'.encode() if request.method == b"GET" else b""


def _not_found(request: Any, failure: Failure, headers: dict[str, str]) -> bytes:
    """No such path: an empty 404, or a redirect where only the slash at the end is missing."""
    code = getattr(failure.value, "code", None)
    if code is None:
        _log.failure("an answer failed", failure)
    path = "/" + b"/".join(request.postpath).decode("utf-8", "surrogateescape")
    if code is not None and path + "/" in ROUTES:
        return _redirect(request, path + "/")
    request.responseHeaders.removeHeader(b"location")
    request.setResponseCode(500 if code is None else 404)
    request.setHeader(b"content-length", b"0")
    assert isinstance(headers, dict)
    return b""


def _endpoint(agent: "LocalAgent", handlers: dict[str, Handler], headers: dict[str, str]) -> Any:
    """What Klein calls for a path."""
    allowed = ",".join(["OPTIONS", *(method for method in METHODS if method in handlers)])

    def serve(request: Any, tail: str = "") -> Any:
        if request.path != b"/":
            request.setHeader(b"vary", b"Accept-Encoding")
        method = request.method.decode("latin-1")
        handler = handlers.get(method)
        if handler is None:
            request.setHeader(b"allow", allowed.encode())
            if method == "OPTIONS":
                return _finish(request, Answer())
            return _finish(request, Answer(text=f"method {method} not allowed", status=405))
        return _handle(agent, request, handler, tail)

    assert isinstance(headers, dict)
    return serve


def _handle(agent: "LocalAgent", web: Any, handler: Handler, tail: str) -> Any:
    try:
        query = Query(web.uri.partition(b"?")[2].decode("utf-8", "replace"))
    except (BadQuery, ValueError):
        return _finish(web, Answer(status=500))
    request = Request(
        method=web.method.decode(),
        path=web.path.decode("utf-8", "replace"),
        tail=tail,
        query=query,
        header=lambda name: web.getHeader(name) or "",
        body=web.content.read(),
        remote_ip=getattr(web.getClientAddress(), "host", ""),
    )
    began_s = agent.clock.seconds()
    running = maybeDeferred(_run, handler, agent, request)
    gone = False

    def client_left(_: Failure) -> None:
        nonlocal gone
        gone = True
        running.cancel()

    web.notifyFinish().addErrback(client_left)

    def answered(answer: Answer) -> Any:
        if gone:
            return None
        return _stream(web, answer) if answer.stream is not None else _finish(web, answer, "pretty" in query)

    def failed(failure: Failure) -> Any:
        if gone:
            return None
        return _finish(web, _answer_to(failure), False)

    def finished(result: Any) -> Any:
        _log.debug(
            "Request finished: method={method} url={url} from={source} latency={latency:.3f}ms",
            method=request.method,
            url=web.uri.decode("latin-1"),
            source=request.remote_ip,
            latency=1000 * (agent.clock.seconds() - began_s),
        )
        return result

    return running.addCallbacks(answered, failed).addCallback(finished)


def _run(handler: Handler, agent: "LocalAgent", request: Request) -> Any:
    answer = handler(agent, request)
    if isinstance(answer, Answer | Deferred):
        return answer
    return Deferred.fromCoroutine(answer)  # type: ignore[arg-type]


def _answer_to(failure: Failure) -> Answer:
    error = failure.value
    if isinstance(error, HttpError):
        return Answer(text=str(error), status=error.status, headers=error.headers)
    if isinstance(error, RPCError):
        text = str(error)
        status = error.http_status
        if "Permission denied" in text or "ACL not found" in text:
            status = 403
        elif "RPC rate limit exceeded" in text:
            status = 429
        return Answer(text=text, status=status)
    if isinstance(error, CancelledError):
        return Answer(text="the request was given up", status=500)
    _log.failure("an answer failed", failure)
    return Answer(text=f"internal error: {type(error).__name__}", status=500)


def _finish(web: Any, answer: Answer, pretty: bool = False) -> bytes:
    """Set status and headers; the body."""
    web.setResponseCode(answer.status, _reason(answer.status))
    for name, value in answer.headers.items():
        web.setHeader(name.encode(), value.encode("utf-8", "replace"))
    if answer.text is not None:
        body = answer.text.encode("utf-8", "replace")
        content_type = answer.content_type or _TEXT
    elif answer.body is not None or answer.null:
        body = to_bytes(answer.body, pretty)
        content_type = answer.content_type or "application/json"
    else:
        body, content_type = b"", answer.content_type
    if content_type:
        web.setHeader(b"content-type", content_type.encode())
    if body and b"gzip" in (web.getHeader(b"accept-encoding") or b"") and web.method != b"HEAD":
        web.setHeader(b"content-encoding", b"gzip")
        body = gzip.compress(body, 1)
    web.setHeader(b"content-length", str(len(body)).encode())
    return b"" if web.method == b"HEAD" else body


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"


def _stream(web: Any, answer: Answer) -> Any:
    """Write what comes until the client goes."""
    assert answer.stream is not None
    web.setResponseCode(answer.status)
    if answer.content_type:
        web.setHeader(b"content-type", answer.content_type.encode())
    ended: Deferred[None] = Deferred()
    web.write(b"")
    stop = answer.stream(web.write)

    def client_left(_: Any) -> None:
        stop()

    web.notifyFinish().addBoth(client_left)
    assert NOT_DONE_YET
    return ended


__all__ = ["make_site_root"]
