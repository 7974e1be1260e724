"""Responses before the body: a request whose endpoint does not read its body need not wait for it.

As in Go, whose handlers read bodies themselves. An endpoint is called with a request whose body raises `BodyNeeded`
when it is read; then the body is awaited after all, and the endpoint is called again with it.

The module is imported when the first body is late, or large.
"""

import re
from collections.abc import Callable
from typing import Any, Final, Protocol
from urllib.parse import unquote_to_bytes

from consulpy.http.api.large_body import Parts, SpooledBody
from consulpy.http.api.root_resource import host_fault, is_clean
from consulpy.http.api.routing import BodyNeeded, RequestWithoutBody
from consulpy.http.fast_path import STREAMED, FastRequest, Fields, Serve

_API: Final = b"/v1/"
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9a-fA-F]{2})")


class Channel(Protocol):
    """The connection of the request."""

    transport: Any
    peer: Any

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As a transport's."""

    def early_response(self, response: bytes) -> None:
        """Write the response, or the rest of it; the connection ends with it."""

    def body_needed(self) -> None:
        """There is no response before the body."""


class EarlyRequest(FastRequest):
    """A request of which only the head has arrived. `length`: of the body as announced, None if it is chunked."""

    __slots__ = ("_body_is_needed", "_on_body_needed")

    request_type = RequestWithoutBody

    def __init__(
        self,
        method: bytes,
        target: bytes,
        path: str,
        fields: Fields,
        length: int | None,
        on_body_needed: Callable[[], None],
    ) -> None:
        body: Any = length
        super().__init__(method, target, b"", fields, body, closes=True)
        self.path, self.text = target.partition(b"?")[0], path
        self._body_is_needed = False
        self._on_body_needed = on_body_needed

    def upload(self) -> Any:
        """Raises `BodyNeeded`."""
        raise BodyNeeded

    def needs_body(self) -> None:
        """The endpoint reads the body."""
        self._body_is_needed = self.is_internal = True  # such a call is not counted

    def _finish(self, body: bytes | Parts | SpooledBody) -> None:
        if not self._body_is_needed:
            super()._finish(body)
        elif self._connection is not None:
            self._connection = self._on_disconnect = None
            self._on_body_needed()


class EarlyAttempt:
    """One attempt to respond before the body."""

    def __init__(self, channel: Channel, request: EarlyRequest) -> None:
        self.peer = channel.peer
        self._channel = channel
        self._request = request

    def begin(self, serve: Serve) -> None:
        """Call the endpoint."""
        self._request.begin(self, serve)

    def cancel(self) -> None:
        """The client has disconnected."""
        self._request.disconnected()

    def response_ready(self, response: bytes) -> None:
        """Write the whole response."""
        self._channel.early_response(response)

    def response_in_parts(self, head: bytes, body: Parts | SpooledBody) -> None:
        """Write a large response."""
        self._channel.transport.write(head)
        body.send(self._channel, lambda: self._channel.early_response(b""))


def attempt(channel: Channel, web: Any, line: tuple[bytes, bytes, bytes], length: int | None) -> EarlyAttempt | None:
    """An attempt for the head that Twisted parsed into `web`; None if the response is none of an endpoint that may read
    the body. `line`: method, target, version.
    """
    method, target, version = line
    path = target.partition(b"?")[0]
    if not path.startswith(_API) or path.startswith(STREAMED) or _BAD_ESCAPE.search(path):
        return None
    text = unquote_to_bytes(path).decode("utf-8", "surrogateescape")
    if host_fault(version, web.requestHeaders.getRawHeaders(b"host") or []) or not is_clean(text):
        return None
    fields = {
        name.decode("latin-1").lower(): values[0].decode("utf-8", "surrogateescape")
        for name, values in web.requestHeaders.getAllRawHeaders()
    }
    request = EarlyRequest(method, target, text, Fields(fields), length, channel.body_needed)
    return EarlyAttempt(channel, request)
