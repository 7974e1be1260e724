"""Responses to HTTP checks, read as Go 1.14's HTTP client does, with its error texts. Pure.

It takes header fields that RFC 9110 forbids (odd names, control characters, lines of any length), and refuses what is
ambiguous about the length of the body.
"""

import re
from collections.abc import Sequence
from typing import Final

from consulpy.checks.result import CheckFailed
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.gocompat.literals import quoted

#: Bytes of a response's head; above it the response fails.
HEAD_MAX_BYTES: Final = 10 << 20
#: Informational responses (1xx) before the final one.
INFORMATIONAL_MAX: Final = 5
#: Bytes of a malformed line that an error shows.
SHOWN_MAX_BYTES: Final = 4096
#: Bytes of the line that precedes a chunk.
CHUNK_LINE_MAX_BYTES: Final = 4096
_SWITCHING_PROTOCOLS: Final = 101
_NUMBER: Final = re.compile(rb"[+-]?[0-9]+")
_VERSION: Final = re.compile(rb"HTTP/(\+?[0-9]{1,7}|-0+)\.(\+?[0-9]{1,7}|-0+)")
_VERSION_MAX: Final = 1_000_000
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{0,16}")
_BAD_TRAILERS: Final = {
    b"transfer-encoding": "Transfer-Encoding",
    b"trailer": "Trailer",
    b"content-length": "Content-Length",
}


class MalformedResponse(CheckFailed):
    """A response that Go's client refuses."""

    def __init__(self, why: str) -> None:
        super().__init__(f"net/http: HTTP/1.x transport connection broken: {why}")


class Body:
    """A body of `length` bytes; None: up to the end of the connection."""

    def __init__(self, length: int | None) -> None:
        self._left = length
        #: Whether nothing more belongs to it.
        self.is_complete = length == 0

    def decode(self, data: bytes) -> bytes:
        """The part of the body in the next bytes of the connection."""
        if self._left is None:
            return data
        data = data[: self._left]
        self._left -= len(data)
        self.is_complete = not self._left
        return data


class ChunkedBody(Body):
    """A body in chunks; it ends with the last one, or with an error, which is ignored."""

    def __init__(self) -> None:
        super().__init__(None)
        self._line = b""
        #: Bytes of the chunk that are missing, and of the line end behind it.
        self._chunk_left = 0
        self._line_end: bytes | None = None

    def decode(self, data: bytes) -> bytes:
        """See `Body.decode`."""
        parts = []
        while data and not self.is_complete:
            if self._chunk_left:
                parts.append(data[: self._chunk_left])
                data = data[self._chunk_left :]
                self._chunk_left -= len(parts[-1])
            elif self._line_end is not None:
                data = self._read_line_end(self._line_end, data)
            else:
                data = self._read_size(data)
        return b"".join(parts)

    def _read_line_end(self, known: bytes, data: bytes) -> bytes:
        missing = 2 - len(known)
        self._line_end, data = known + data[:missing], data[missing:]
        if len(self._line_end) == 2:
            self.is_complete = self._line_end != b"\r\n"
            self._line_end = None
        return data

    def _read_size(self, data: bytes) -> bytes:
        line, end, data = data.partition(b"\n")
        self._line += line
        if len(self._line) >= CHUNK_LINE_MAX_BYTES:
            self.is_complete = True
        elif end:
            size = self._line.rstrip(b" \t\r\n").partition(b";")[0]
            self._chunk_left = int(size or b"0", 16) if _CHUNK_SIZE.fullmatch(size) else 0
            self.is_complete = not self._chunk_left
            self._line, self._line_end = b"", b""
        return data


@dataclass(slots=True)
class HttpResponse:
    """A response's head. `status`: code and reason as the server wrote them. `fields`: names in lower case."""

    code: int
    status: str
    fields: Sequence[tuple[bytes, bytes]]
    body: Body

    def field(self, name: bytes) -> bytes:
        """The first value of a header field."""
        return next((value for known, value in self.fields if known == name), b"")


class ResponseParser:
    """Parses the response to a request with `method`."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._buffer = bytearray()
        #: Bytes of the buffer without a line end, and of the head in all.
        self._searched = 0
        self._head_bytes = 0
        self._informational = 0
        self._status: tuple[int, str, bool] | None = None
        self._lines: list[bytes] = []
        #: The final response, and the bytes behind its head.
        self.response: HttpResponse | None = None
        self.rest = b""

    def feed(self, data: bytes) -> None:
        """Parse the next bytes, until there is a `response`. Raises `CheckFailed`."""
        self._buffer += data
        self._head_bytes += len(data)
        start = 0
        while self.response is None:
            end = self._buffer.find(b"\n", max(start, self._searched))
            if end < 0:
                break
            line = bytes(self._buffer[start:end])
            start, self._searched = end + 1, 0
            self._read_line(line.removesuffix(b"\r"))
        del self._buffer[:start]
        self._searched = len(self._buffer)
        if self.response is not None:
            self.rest = bytes(self._buffer)
        elif self._head_bytes > HEAD_MAX_BYTES:
            raise CheckFailed(f"net/http: server response headers exceeded {HEAD_MAX_BYTES} bytes; aborted")

    def data_to_send(self) -> bytes:
        """Nothing: the request is sent at once."""
        return b""

    def end(self) -> None:
        """The connection ended before the response. Raises `CheckFailed`."""
        if not self._head_bytes:
            raise CheckFailed("EOF")
        if self._buffer:
            self._read_line(bytes(self._buffer))
        raise MalformedResponse("unexpected EOF")

    def _read_line(self, line: bytes) -> None:
        if self._status is None:
            self._status = _status(line)
        elif not line:
            self._head_complete(*self._status)
        elif line[:1] in (b" ", b"\t"):
            if not self._lines:
                shown = line[:SHOWN_MAX_BYTES].decode("utf-8", "replace")
                raise MalformedResponse(f"malformed MIME header initial line: {shown}")
            self._lines[-1] += b" " + line.strip(b" \t")
        elif b":" not in line:
            raise MalformedResponse(f"malformed MIME header: missing colon: {_quoted(line)}")
        else:
            self._lines.append(line.strip(b" \t"))

    def _head_complete(self, code: int, status: str, is_modern: bool) -> None:
        split = (line.partition(b":") for line in self._lines)
        fields = [(name.lower(), value.lstrip(b" \t")) for name, _, value in split if name]
        body = self._body(code, fields, is_modern)
        if 100 <= code <= 199 and code != _SWITCHING_PROTOCOLS:
            self._informational += 1
            if self._informational > INFORMATIONAL_MAX:
                raise MalformedResponse("net/http: too many 1xx informational responses")
            self._status, self._lines, self._head_bytes = None, [], 1
            return
        self.response = HttpResponse(code, status, fields, body)

    def _body(self, code: int, fields: Sequence[tuple[bytes, bytes]], is_modern: bool) -> Body:
        """How the body is delimited (Go's `readTransfer`)."""
        has_none = self._method == "HEAD" or 100 <= code <= 199 or code in (204, 304)
        encodings = [value for name, value in fields if name == b"transfer-encoding"] if is_modern else []
        if encodings:
            if len(encodings) > 1:
                raise MalformedResponse(f"too many transfer encodings: {_list(encodings)}")
            if encodings[0].strip().lower() != b"chunked":
                raise MalformedResponse(f"unsupported transfer encoding: {_quoted(encodings[0])}")
            for trailer in b",".join(value for name, value in fields if name == b"trailer").split(b","):
                bad = _BAD_TRAILERS.get(trailer.strip().lower())
                if bad is not None:
                    raise MalformedResponse(f"bad trailer key {quoted(bad)}")
            return Body(0) if has_none else ChunkedBody()
        lengths = [value for name, value in fields if name == b"content-length"]
        if len({each.strip() for each in lengths}) > 1:
            shown = _list(lengths)
            raise MalformedResponse(f"http: message cannot contain multiple Content-Length headers; got {shown}")
        text = lengths[0].strip() if lengths and (self._method == "HEAD" or not has_none) else b""
        if not text:
            return Body(0 if has_none else None)
        length = int(text) if text.isdigit() and len(text.lstrip(b"0")) < 20 else 1 << 63
        if length >= 1 << 63:
            raise MalformedResponse(f"bad Content-Length {_quoted(text)}")
        return Body(0 if has_none else length)


def _status(line: bytes) -> tuple[int, str, bool]:
    """Code, code with reason, and whether the version is 1.1 or later. Raises `MalformedResponse`."""
    version, space, rest = line.partition(b" ")
    if not space:
        raise MalformedResponse(f"malformed HTTP response {_quoted(line)}")
    status = rest.lstrip(b" ")
    code = status.partition(b" ")[0]
    if len(code) != 3 or not _NUMBER.fullmatch(code) or int(code) < 0:
        raise MalformedResponse(f"malformed HTTP status code {_quoted(code)}")
    found = _VERSION.fullmatch(version)
    numbers = [int(part) for part in found.groups()] if found else [_VERSION_MAX + 1]
    if max(numbers) > _VERSION_MAX:
        raise MalformedResponse(f"malformed HTTP version {_quoted(version)}")
    return int(code), status.decode("utf-8", "replace"), numbers >= [1, 1]


def _quoted(shown: bytes) -> str:
    return quoted(shown[:SHOWN_MAX_BYTES].decode("utf-8", "surrogateescape"))


def _list(values: Sequence[bytes]) -> str:
    return f"[{' '.join(_quoted(value) for value in values)}]"
