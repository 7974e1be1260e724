"""Writes responses: status, headers and body, for Twisted's requests and those of the fast path alike."""

import gzip
import re
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from consulpy.http.api.extra_headers import is_extra
from consulpy.http.api.large_body import GZIP_LEVEL
from consulpy.http.api.render import text_bytes, to_bytes
from consulpy.http.api.routing import ROUTES, Response

TEXT: Final = "text/plain; charset=utf-8"
#: gzip in `Accept-Encoding`, unless its weight is 0.
_GZIP: Final = re.compile(
    r"(?:^|[,\s])gzip\s*(?:;\s*q\s*=\s*(?!0(?:\.0*)?\s*(?:,|$))[0-9.]+\s*)?(?:,|$)", re.IGNORECASE
)
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


def whole(request: Any, body: bytes) -> bytes:
    """Set Content-Length; the body, b"" for HEAD."""
    request.setHeader(b"content-length", str(len(body)).encode())
    return b"" if request.method == b"HEAD" else body


def accepts_gzip(request: Any) -> bool:
    """Whether the client takes a body that is compressed with gzip."""
    accepted = request.getHeader("accept-encoding")
    return bool(accepted and _GZIP.search(accepted))


def redirect(request: Any, path: str, *, with_query: bool = True) -> bytes:
    """301 to `path`, with the same query if so told; for GET and HEAD with a line of HTML, as Go's."""
    query = request.uri.partition(b"?")[2].decode("latin-1") if with_query else ""
    location = quote(path, safe="/:@!$&'()*+,;=-._~", errors="surrogateescape") + (f"?{query}" if query else "")
    request.setResponseCode(301)
    request.setHeader(b"location", location.encode())
    if request.method not in (b"GET", b"HEAD"):
        return whole(request, b"")
    request.setHeader(b"content-type", b"text/html; charset=utf-8")
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;")):
        location = location.replace(plain, escaped)
    return whole(request, f'<a href="{location}">Moved Permanently</a>.\n\n'.encode())


def with_slash(path: str) -> str:
    """The path of a route, where only the slash at its end is missing; else the path as it is."""
    return path + "/" if path not in ROUTES and path + "/" in ROUTES else path


def not_found(request: Any, path: str) -> bytes:
    """404 without a body; 301 where only the slash at the end is missing."""
    if (whole_path := with_slash(path)) != path:
        return redirect(request, whole_path)
    request.setResponseCode(404)
    return whole(request, b"")


def finish(web: Any, response: Response, pretty: bool = False) -> bytes:
    """Set status and headers; the body, compressed if the client accepts gzip."""
    body = body_of(response, pretty)
    if start(web, response, bool(body)):
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
    return whole(web, body)


def body_of(response: Response, pretty: bool) -> bytes:
    """The body of a response, not compressed."""
    if response.raw is not None:
        return response.raw
    if response.text is not None:
        return text_bytes(response.text)
    return to_bytes(response.body, pretty) if response.body is not None or response.null else b""


def start(web: Any, response: Response, has_body: bool) -> bool:
    """Set status and headers without Content-Length; whether the body is to be compressed."""
    web.setResponseCode(response.status, _REASONS.get(response.status, b"Unknown"))
    for name, value in response.headers.items():
        if is_extra(name) and not web.getHeader("user-agent"):
            continue
        web.setHeader(name.encode(), value.encode("utf-8", "surrogateescape"))
    content_type = response.content_type
    if not content_type and response.raw is None:
        if response.text is not None:
            content_type = TEXT
        elif response.body is not None or response.null:
            content_type = "application/json"
    if content_type:
        web.setHeader(b"content-type", content_type.encode())
    if not (has_body and accepts_gzip(web)) or web.method == b"HEAD":
        return False
    web.setHeader(b"content-encoding", b"gzip")
    return True
