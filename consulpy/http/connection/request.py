"""The request of the full path: Twisted's, with a limit of its body.

The module is imported when the first request takes the full path."""

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from consulpy.http.api.large_body import Parts, SpooledBody
from consulpy.http.api.routing import Request as ApiCall
from consulpy.http.errors import error_response
from consulpy.rpc.dependencies import DependencySet
from consulpy.rpc.snapshots import ARCHIVE_LIMIT
from consulpy.rpc.spool_file import MEMORY_BYTES, Spool, SpoolWriter

#: The route with larger bodies: `ARCHIVE_LIMIT`.
SNAPSHOT_PATH: Final = b"/v1/snapshot"
#: Large bodies that are stored at the same time.
UPLOADS_MAX: Final = 8


#: A request target in absolute form whose authority is sound.
_ABSOLUTE: Final = re.compile(
    rb"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9!$&'()*+,.;=_~%@-]*)(?::[0-9]*)?(?:[/?]|\Z)", re.IGNORECASE
)


def relative(uri: bytes) -> bytes:
    """A request target without scheme and authority (absolute form, RFC 9112 3.2.2: `GET http://host/v1/...`)."""
    scheme, there, rest = uri.partition(b"://")
    if there and scheme.lower() in (b"http", b"https"):
        return b"/" + rest.partition(b"/")[2]
    return uri


class ApiRequest(Request):
    """A request whose body has a limit."""

    channel: Any
    content: Any

    #: The path as text, once it is known to be one of the API.
    text = ""

    _size = 0
    #: The body of a request whose body may be large; `content` is empty then.
    _upload: SpoolWriter | None = None
    _is_upload_taken = False
    #: Whether it is on the disk, and counted there.
    _is_upload_large = False

    #: Whether a body is announced that is above the limit.
    is_too_large = False
    #: What endpoints are called with.
    request_type = ApiCall
    #: The agent's own requests take the fast path only (`FastRequest.is_internal`).
    is_internal = False
    #: Receives the dependencies of the response; None: it is not cached.
    dependencies: DependencySet | None = None

    def gotLength(self, length: int | None) -> None:
        """Check the length of the body; None if it is chunked."""
        self.is_too_large = length is not None and length > self._limit
        self.content = BytesIO()  # Twisted's own would be a file on disk if large
        if self._is_snapshot:
            factory = self.channel.factory
            self._upload = SpoolWriter(factory.in_thread, self.channel.set_reading)
            self.on_end(lambda: self._forget_upload(factory))

    def handleContentChunk(self, data: bytes) -> None:
        """Append to the body, up to the limit."""
        self._size += len(data)
        if self._size > self._limit:
            self.refuse_too_large()
        elif self._upload is not None:
            if self._size > MEMORY_BYTES and not self._is_upload_large:
                self._count_upload()
            self._upload.write(data)
        else:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def chunk_begun(self, left_bytes: int) -> None:
        """Refuse a chunk that makes the body too large."""
        if self._size + left_bytes > self._limit:
            self.refuse_too_large()

    @property
    def _is_snapshot(self) -> bool:
        return bool(getattr(self.channel, "_path", b"").partition(b"?")[0] == SNAPSHOT_PATH)

    @property
    def _limit(self) -> int:
        return ARCHIVE_LIMIT if self._is_snapshot else self.channel.limits.body_bytes

    def upload(self) -> "Deferred[Spool]":
        """The body, once it is stored, of a request whose body may be large; the caller closes it."""
        assert self._upload is not None
        self._is_upload_taken = True
        return self._upload.finish()

    def _count_upload(self) -> None:
        """Large bodies come before the client's rights are known: a limit keeps them from filling the disk."""
        factory = self.channel.factory
        if factory.uploads >= UPLOADS_MAX:
            text = f"More than {UPLOADS_MAX} snapshots are being received, try again later."
            self.channel.refuse(error_response("503 Service Unavailable", text))
        else:
            factory.uploads += 1
            self._is_upload_large = True

    def _forget_upload(self, factory: Any) -> None:
        factory.uploads -= self._is_upload_large
        self._is_upload_large = False
        if self._upload is not None and not self._is_upload_taken:
            self._upload.abandon()

    def refuse_too_large(self) -> None:
        """Respond 413 and close."""
        text = f"Request body too large, max size: {self._limit} bytes."
        self.channel.refuse(error_response("413 Request Entity Too Large", text))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Process a whole request. Unlike Twisted's method this parses no forms."""
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, relative(path), version
        self.path = self.uri.partition(b"?")[0]
        self.args = {}
        is_unsound = self.uri != path and not _ABSOLUTE.match(path)
        if is_unsound or (self.path == b"*" and command != b"OPTIONS"):  # only these ask the whole server (3.2.4)
            self.channel.refuse(error_response("400 Bad Request", "400 Bad Request"))
            return
        if not self.channel.holds(self.process):
            self.process()  # type: ignore[no-untyped-call]

    def _handleStar(self) -> None:
        """Respond to `OPTIONS *`."""
        self.responseHeaders.setRawHeaders(b"server", [b"consulpy"])
        super()._handleStar()  # type: ignore[no-untyped-call]

    def on_end(self, call: Callable[[], None]) -> None:
        """Call `call` when the response is written or the client has disconnected."""
        self.notifyFinish().addBoth(lambda _: call())

    @property
    def body(self) -> bytes:
        """The whole body."""
        found: bytes = self.content.getvalue()
        return found

    def header(self, name: str) -> str:
        """The first value of a header, "" if it is not there; bytes that are no UTF-8 are escaped as surrogates."""
        values = self.requestHeaders.getRawHeaders(name.encode("latin-1"))
        return values[0].decode("utf-8", "surrogateescape") if values else ""

    def getHeader(self, key: Any) -> Any:
        """The last value of a header, None if it is not there; Twisted's own fails for bytes that are no UTF-8."""
        if not isinstance(key, str):
            return super().getHeader(key)
        values = self.requestHeaders.getRawHeaders(key.encode("latin-1"))
        return values[-1].decode("utf-8", "surrogateescape") if values else None

    def on_disconnect(self, call: Callable[[], None]) -> None:
        """Call `call` if the client disconnects before its response is written."""
        self.notifyFinish().addErrback(lambda _: call())

    def send_parts(self, body: Parts | SpooledBody) -> "Deferred[bytes]":
        """Write a large body with backpressure; fires with b"" at its end."""
        sent: Deferred[bytes] = Deferred()
        body.send(self, lambda: sent.callback(b""))
        return sent

    def cut(self) -> None:
        """Close without the rest of the response."""
        self.channel.transport.abortConnection()

    def getRequestHostname(self) -> bytes:
        """A constant for Klein, which rejects unusual `Host` values."""
        return b"localhost"
