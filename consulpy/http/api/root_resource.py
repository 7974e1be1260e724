"""The root resource of the full path: what Go's HTTP server checks before it looks for a route."""

import posixpath
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from consulpy.http.api.write_response import TEXT, redirect, whole, with_slash
from consulpy.http.errors import error_response
from consulpy.http.fast_path import HOST

_log = Logger()

#: The body of `GET /` without the web page.
_ROOT: Final = b"Consul Agent"
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9a-fA-F]{2})")
#: Bytes of a path that are not UTF-8.
_NO_TEXT: Final = re.compile("[\udc80-\udcff]")
#: A path with empty, `.` or `..` parts.
_UNCLEAN: Final = re.compile(r"//|/\.\.?(?:/|$)")


class WebPage(Protocol):
    """The web page (`consulpy.http.ui`)."""

    def serve(self, web: Any, path: str) -> Any:
        """The body, or a Deferred of it; None: the path (decoded) is not the page's."""


@implementer(IResource)
class RootResource:
    """Root resource: answers malformed requests (400) and unclean paths (301), passes the rest to Klein.

    `prepare_api()`: loads what Klein's routes need when the first request needs them; requests wait until it fires.
    `make_api()`: builds the routes then. `serve(request, path)`: the same endpoints for the fast path. `make_page()`:
    builds the web page, when first needed; None: there is none. Source: Go's net/http, `ServeMux`.
    """

    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(
        self,
        prepare_api: Callable[[], "Deferred[Any]"],
        make_api: Callable[[], Resource],
        serve: Callable[[Any, str], Any],
        make_page: Callable[[], WebPage] | None = None,
    ) -> None:
        self._prepare_api = prepare_api
        self._make_api = make_api
        self._api: Resource | None = None
        #: Requests that wait for Klein's routes.
        self._waiting: list[Any] = []
        self._is_preparing = False
        self._make_page = make_page
        self._page: WebPage | None = None
        self.serve = serve

    def putChild(self, path: bytes, child: IResource) -> None:
        """Not supported: `isLeaf`."""
        raise NotImplementedError

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        """Not supported: `isLeaf`."""
        raise NotImplementedError

    def render(self, request: Any) -> Any:
        """Check the request, then have Klein serve it."""
        request.defaultContentType = None
        request.setHeader(b"server", b"consulpy")
        fault = host_fault(request.clientproto, request.requestHeaders.getRawHeaders(b"host") or [])
        if fault:
            return _refuse(request, fault)
        if _BAD_ESCAPE.search(request.path) or not request.path.startswith(b"/"):
            return _refuse(request)
        path = b"/" + b"/".join(request.postpath)
        text = path.decode("utf-8", "surrogateescape")
        if self._make_page is not None:
            self._page = self._page or self._make_page()
            served = self._page.serve(request, text)
            if served is not None:
                return _finish_later(request, served) if isinstance(served, Deferred) else served
        if request.path == b"/":
            request.setHeader(b"content-type", TEXT.encode())
            return whole(request, _ROOT)
        if not _printable(text):
            request.setResponseCode(400)
            return whole(request, b"")
        if self._api is None:
            return self._wait_for_api(request)
        if not is_clean(text):
            return redirect(request, with_slash(_clean(text)))
        # Klein matches texts only: bytes that are not UTF-8 are in `text`
        request.text, request.postpath = text, text.encode("utf-8", "replace").split(b"/")[1:]
        return self._api.render(request)

    def _wait_for_api(self, request: Any) -> int:
        from twisted.web.server import NOT_DONE_YET  # loaded already: the request is its own

        def gone() -> None:
            if request in self._waiting:
                self._waiting.remove(request)

        request.on_disconnect(gone)
        self._waiting.append(request)
        if not self._is_preparing:
            self._is_preparing = True
            self._prepare_api().addCallback(self._prepared).addErrback(self._not_prepared)
        return NOT_DONE_YET

    def _prepared(self, _loaded: Any) -> None:
        self._api = self._make_api()
        self._answer_waiting(lambda request: request.render(self))

    def _not_prepared(self, failure: Failure) -> None:
        """Respond 500 to those that wait; the next request tries again."""
        self._is_preparing = False
        self._answer_waiting(lambda request: request.processingFailed(failure))

    def _answer_waiting(self, answer: Callable[[Any], None]) -> None:
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            try:
                answer(request)
            except Exception:
                request.processingFailed(Failure())


def host_fault(version: bytes, hosts: Sequence[bytes]) -> str:
    """The fault of the `Host` fields of a request, behind the status of the response; "" if there is none."""
    if version == b"HTTP/1.1" and not hosts:
        return ": missing required Host header"
    if len(hosts) > 1:
        return ": too many Host headers"
    return ": malformed Host header" if hosts and not HOST.fullmatch(hosts[0]) else ""


def is_clean(path: str) -> bool:
    """Whether a path leads to a route: all is printable, nothing redirects."""
    return _printable(path) and not _UNCLEAN.search(path)


def _printable(path: str) -> bool:
    """Whether all characters of a path are printable for Go, which takes bytes that are not UTF-8 as U+FFFD."""
    return path.isprintable() or _NO_TEXT.sub("", path).isprintable()


def _finish_later(request: Any, body: "Deferred[bytes]") -> int:
    """Write the body when it is there, unless the client has gone."""
    from twisted.web.server import NOT_DONE_YET  # loaded already: the request is its own

    gone: list[bool] = []
    request.on_disconnect(lambda: gone.append(True))

    def finish(data: bytes) -> None:
        if not gone:
            request.write(data)
            request.finish()

    def failed(failure: Failure) -> bytes:
        _log.failure("the web page cannot be served", failure)
        request.setResponseCode(500)
        return whole(request, b"")

    body.addErrback(failed).addCallback(finish)
    return NOT_DONE_YET


def _refuse(request: Any, why: str = "") -> int:
    """Respond 400 and close, as Go's server does. `why`: continues the status line."""
    from twisted.web.server import NOT_DONE_YET  # loaded already: the request is its own

    status = f"400 Bad Request{why}"
    request.channel.refuse(error_response(status, status))
    return NOT_DONE_YET


def _clean(path: str) -> str:
    """The path without empty, `.` and `..` parts."""
    cleaned = posixpath.normpath(path)
    cleaned = "/" + cleaned.lstrip("/")
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned
