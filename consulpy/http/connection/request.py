"""The request of the full path: Twisted's, with a limit of its body.

The module is imported when the first request takes the full path."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from consulpy.http.api.large_body import Parts, Producer
from consulpy.http.errors import error_response
from consulpy.rpc.dependencies import DependencySet
from consulpy.rpc.snapshots import ARCHIVE_LIMIT

#: The route with larger bodies: `ARCHIVE_LIMIT`.
SNAPSHOT_PATH: Final = b"/v1/snapshot"


def _relative(uri: bytes) -> bytes:
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

    #: The agent's own requests take the fast path only (`FastRequest.is_internal`).
    is_internal = False
    #: Receives the dependencies of the response; None: it is not cached.
    dependencies: DependencySet | None = None

    def gotLength(self, length: int | None) -> None:
        """Check the length of the body; None if it is chunked."""
        if length is not None and length > self._limit:
            self._refuse()
            length = 0
        self.content = BytesIO()  # Twisted's own would be a file on disk if large

    def handleContentChunk(self, data: bytes) -> None:
        """Append to the body, up to the limit."""
        self._size += len(data)
        if self._size > self._limit:
            self._refuse()
        else:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def chunk_begun(self, left_bytes: int) -> None:
        """Refuse a chunk that makes the body too large."""
        if self.content.tell() + left_bytes > self._limit:
            self._refuse()

    @property
    def _limit(self) -> int:
        path = getattr(self.channel, "_path", b"").partition(b"?")[0]
        return ARCHIVE_LIMIT if path == SNAPSHOT_PATH else self.channel.limits.body_bytes

    def _refuse(self) -> None:
        text = f"Request body too large, max size: {self._limit} bytes."
        self.channel.refuse(error_response("413 Request Entity Too Large", text))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Process a whole request. Unlike Twisted's method this parses no forms."""
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, _relative(path), version
        self.path = self.uri.partition(b"?")[0]
        self.args = {}
        self.process()  # type: ignore[no-untyped-call]

    def on_disconnect(self, call: Callable[[], None]) -> None:
        """Call `call` if the client disconnects before its response is written."""
        self.notifyFinish().addErrback(lambda _: call())

    def send_parts(self, body: Parts) -> "Deferred[bytes]":
        """Write a large body with backpressure; fires with b"" at its end."""
        sent: Deferred[bytes] = Deferred()
        Producer(body, self, lambda: sent.callback(b"")).start()
        return sent

    def getRequestHostname(self) -> bytes:
        """A constant for Klein, which rejects unusual `Host` values."""
        return b"localhost"
