"""Serves the web page: asked before any route of the API, GET and HEAD only."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from consulpy.http.api.endpoint import InThread
from consulpy.http.api.large_body import PART_BYTES, Parts, sliced
from consulpy.http.api.write_response import TEXT, accepts_gzip, redirect, whole
from consulpy.http.ui.content import Content, content, is_unchanged
from consulpy.http.ui.headers import ASK, FOREVER, NEVER, security_headers
from consulpy.http.ui.index_template import TemplateError, render
from consulpy.http.ui.paths import ASSETS, INDEX, Wanted, wanted

_log = Logger()

_CONTENT_PATH: Final = "{{.ContentPath}}"


class Files(Protocol):
    """Files by name (`disk`)."""

    @property
    def is_loaded(self) -> bool:
        """Whether `find` may be called in the reactor's thread."""

    @property
    def version(self) -> str:
        """Stands in the addresses of assets; "": nothing does."""

    def load(self) -> None:
        """Read what is read only once."""

    def find(self, name: str) -> Content | None:
        """A file; None if there is none."""


class Pages:
    """The page below `content_path`, which begins and ends with a slash.

    `is_own`: the files are those of this package. `values()`: of the template `index.html`, beside `ContentPath`.
    `added`: headers of all responses but redirects, as in Consul (`http_config.response_headers`).
    `in_thread`: reads files.
    """

    def __init__(
        self,
        files: Files,
        content_path: str,
        *,
        is_own: bool,
        values: Callable[[], Mapping[str, str | bool]],
        added: Iterable[tuple[bytes, bytes]] = (),
        in_thread: InThread,
    ) -> None:
        self.content_path = content_path
        self._files = files
        self._values = values
        self._headers = (*security_headers(is_own=is_own), *added)
        self._added = tuple(added)
        self._in_thread = in_thread
        #: The last index.html with what it was made from.
        self._index: tuple[Content, Mapping[str, str | bool], Content] | None = None

    def serve(self, web: Any, path: str) -> Any:
        """The body, or a Deferred of it; None: the path (decoded) is not the page's."""
        if path in ("/", self.content_path[:-1]):
            return redirect(web, self.content_path, with_query=path != "/")
        first = wanted(path, self.content_path)
        if first is None:
            return None
        for name, value in self._headers:
            web.setHeader(name, value)
        if web.method not in (b"GET", b"HEAD"):
            web.setHeader(b"allow", b"GET, HEAD")
            return self._text(web, 405, f"method {web.method.decode('latin-1')} not allowed")
        if self._files.is_loaded:
            return self._write(web, *self._find(path))
        gone: list[bool] = []
        web.on_disconnect(lambda: gone.append(True))
        return self._in_thread(lambda: self._find(path)).addCallbacks(
            lambda found: b"" if gone else self._write(web, *found),
            lambda failure: self._failed(web, failure),
        )

    def _find(self, path: str) -> tuple[Wanted, Content | None]:
        """The file for a path. Called in a thread, unless all files are in memory."""
        self._files.load()
        what = wanted(path, self.content_path, self._files.version)
        assert what is not None
        found = None if what.name == INDEX else self._files.find(what.name)
        if found is None and (what.or_index or what.name == INDEX):
            what = Wanted(INDEX)
            found = self._rendered(self._files.find(INDEX))
        return what, found

    def _rendered(self, template: Content | None) -> Content | None:
        """`index.html`, filled in. Raises `TemplateError`."""
        if template is None:
            return None
        values = self._values()
        last = self._index
        if last is not None and last[0] is template and last[1] == values:
            return last[2]
        text = template.body.decode("utf-8", "surrogateescape")
        version = self._files.version
        if version:
            text = text.replace(f"{_CONTENT_PATH}{ASSETS}", f"{_CONTENT_PATH}{ASSETS}{version}/")
        text = render(text, {**values, "ContentPath": self.content_path})
        made = content(INDEX, text.encode("utf-8", "surrogateescape"))
        self._index = (template, values, made)
        return made

    def _write(self, web: Any, what: Wanted, found: Content | None) -> Any:
        if found is None:
            why = f"There is no {what.name} here"
            return self._text(web, 404, f"{why}: ui_dir is not the folder of a page" if what.name == INDEX else why)
        compressed = found.compressed if accepts_gzip(web) else None
        etag = found.etag(is_compressed=compressed is not None)
        headers = {
            b"etag": etag.encode(),
            b"cache-control": (FOREVER if what.is_pinned else ASK).encode(),
            b"content-type": found.media_type.encode(),
        }
        if found.compressed is not None:
            headers[b"vary"] = b"Accept-Encoding"
        if compressed is not None:
            headers[b"content-encoding"] = b"gzip"
        self._set(web, headers)
        if is_unchanged(web.getHeader("if-none-match") or "", etag):
            web.setResponseCode(304)
            return b""
        body = found.body if compressed is None else compressed
        if len(body) <= PART_BYTES or web.method == b"HEAD":
            return whole(web, body)
        whole(web, body)
        return web.send_parts(Parts(list(sliced(body))))

    def _text(self, web: Any, status: int, text: str) -> bytes:
        web.setResponseCode(status)
        self._set(web, {b"content-type": TEXT.encode(), b"cache-control": NEVER.encode()})
        return whole(web, text.encode("utf-8", "replace"))

    def _set(self, web: Any, headers: Mapping[bytes, bytes]) -> None:
        """Set headers that the configured ones do not override."""
        taken = {name.lower() for name, _ in self._added}
        for name, value in headers.items():
            if name not in taken:
                web.setHeader(name, value)

    def _failed(self, web: Any, failure: Failure) -> bytes:
        _log.error("the web page's files cannot be served: {why}", why=str(failure.value))
        if failure.check(TemplateError):
            return self._text(web, 500, f"{INDEX}: {failure.value}")
        return self._text(web, 500, "The page's files cannot be read: the agent's log says why")
