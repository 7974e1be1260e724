"""The frames that an HTTP/2 server sends, before the library h2 reads them (RFC 9113, 4.1). Pure.

h2 reads nothing more after a GOAWAY, while a server that shuts down completes the requests that it has begun (6.8).
"""

from collections.abc import Iterator
from typing import Final

from consulpy.checks.result import CheckFailed

_HEADER_BYTES: Final = 9
#: Largest payload that a server may send, as nothing else was announced to it (6.5.2).
FRAME_MAX_BYTES: Final = 16384
#: Types of frames.
_SETTINGS: Final = 4
_GOAWAY: Final = 7
_STREAM_MASK: Final = 0x7FFFFFFF


class NotHttp2(CheckFailed):
    """The server speaks another protocol."""


class GoesAway(CheckFailed):
    """The server will not complete the request. `last`: the last stream that it completes. `code`: HTTP/2's error."""

    def __init__(self, last: int, code: int) -> None:
        super().__init__(f"the server ended the connection, code {code}")
        self.last = last
        self.code = code


class ServerFrames:
    """Splits a stream of bytes into frames, without the GOAWAY of a server that completes `stream`."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._buffer = b""
        self._is_http2 = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that are complete now, whole. Raises `NotHttp2` and `GoesAway`."""
        self._buffer += data
        while frame := self._next():
            if frame[3] != _GOAWAY:
                yield frame
                continue
            last, code = (int.from_bytes(frame[at : at + 4], "big") for at in (_HEADER_BYTES, _HEADER_BYTES + 4))
            if code or last & _STREAM_MASK < self._stream:
                raise GoesAway(last & _STREAM_MASK, code)

    def _next(self) -> bytes:
        """The next frame; empty if it is not complete."""
        head = self._buffer[:_HEADER_BYTES]
        if not self._is_http2 and len(head) > 3:  # another protocol may never complete a frame
            if head[3] != _SETTINGS:
                raise NotHttp2("the server does not speak HTTP/2")
            self._is_http2 = True
        size = int.from_bytes(head[:3], "big")
        if size > FRAME_MAX_BYTES and len(head) == _HEADER_BYTES:
            raise NotHttp2(f"no HTTP/2: a frame of {size} bytes")
        end = _HEADER_BYTES + size
        if len(self._buffer) < end:
            return b""
        frame, self._buffer = self._buffer[:end], self._buffer[end:]
        return frame
