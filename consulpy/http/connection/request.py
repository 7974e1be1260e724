"""A request of the HTTP API as it arrives: the limit of its body.

Only what goes the plain way needs Twisted's request, so this is imported for the first of those."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from consulpy.http.api.large_body import Parts, Producer
from consulpy.http.errors import error_response
from consulpy.rpc.snapshots import ARCHIVE_LIMIT

#: Bodies above this size are refused before they are read: more than any endpoint takes.
BODY_MAX_BYTES: Final = 8 * 1024 * 1024
#: The only larger body is the state of a whole cluster.
SNAPSHOT_PATH: Final = b"/v1/snapshot"


def _relative(uri: bytes) -> bytes:
    """A request target without scheme and authority (`GET http://host/v1/...`, as clients of proxies ask)."""
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

    #: Only plain requests are the agent's own (`consulpy.http.fast_path`).
    is_inner = False

    def gotLength(self, length: int | None) -> None:
        """The headers are there. `length` of the body, None if it comes in chunks."""
        if length is not None and length > self._limit:
            self._refuse()
            length = 0
        self.content = BytesIO()  # Twisted would have a file on disk for a large one, and the reactor wait for it

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body came."""
        self._size += len(data)
        if self._size > self._limit:
            self._refuse()
        else:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    @property
    def _limit(self) -> int:
        path = getattr(self.channel, "_path", b"").partition(b"?")[0]
        return ARCHIVE_LIMIT if path == SNAPSHOT_PATH else BODY_MAX_BYTES

    def _refuse(self) -> None:
        text = f"Request body too large, max size: {self._limit} bytes."
        self.channel.refuse(error_response("413 Request Entity Too Large", text))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is whole. (Twisted's own would take bodies of forms apart, which no endpoint wants.)"""
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, _relative(path), version
        self.path = self.uri.partition(b"?")[0]
        self.args = {}
        self.process()  # type: ignore[no-untyped-call]

    def when_gone(self, call: Callable[[], None]) -> None:
        """Call this if the client goes before it is answered."""
        self.notifyFinish().addErrback(lambda _: call())

    def send_parts(self, body: Parts) -> "Deferred[bytes]":
        """Write a large body as the client takes it; fires, with nothing more to write, at its end."""
        sent: Deferred[bytes] = Deferred()
        Producer(body, self, lambda: sent.callback(b"")).start()
        return sent

    def getRequestHostname(self) -> bytes:
        """What `Host` says means nothing here, and Klein stumbles over odd ones."""
        return b"localhost"
