"""gRPC over HTTP/2: length-prefixed messages, statuses, headers (grpc/doc/PROTOCOL-HTTP2.md).

message = u8 compressed (0), u32 length, bytes
"""

from enum import IntEnum
from typing import Final
from urllib.parse import quote

from consulpy.errors import WireError

#: Flag and length in front of a message, in bytes.
PREFIX_BYTES: Final = 5
CONTENT_TYPE: Final = "application/grpc"
#: Characters of a status text that are not escaped: printable ASCII but "%".
_PLAIN: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

Headers = list[tuple[str, str]]


class Code(IntEnum):
    """Status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    RESOURCE_EXHAUSTED = 8
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class CallError(Exception):
    """A call that ends with a status other than OK."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


def framed(message: bytes) -> bytes:
    """A message with its prefix, not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def only_message(body: bytes) -> bytes:
    """The message of a call that sends one. Raises `CallError`."""
    if len(body) < PREFIX_BYTES:
        raise CallError(Code.INTERNAL, "a call without a message")
    if body[0]:
        raise CallError(Code.UNIMPLEMENTED, "grpc: Decompressor is not installed for grpc-encoding")
    if int.from_bytes(body[1:PREFIX_BYTES], "big") != len(body) - PREFIX_BYTES:
        raise CallError(Code.INTERNAL, "a call of more or less than one message")
    return body[PREFIX_BYTES:]


def response_headers() -> Headers:
    """The headers in front of the messages of a response."""
    return [(":status", "200"), ("content-type", CONTENT_TYPE)]


def trailers(code: Code, text: str) -> Headers:
    """The status at the end of a response."""
    message = quote(text, safe=_PLAIN, errors="replace")
    return [("grpc-status", str(int(code))), *([("grpc-message", message)] if message else [])]


def names_in(path: str) -> tuple[str, str]:
    """Service and method of "/service/method". Raises `CallError` for another path."""
    service, slash, method = path.removeprefix("/").rpartition("/")
    if not path.startswith("/") or not slash:
        raise CallError(Code.UNIMPLEMENTED, f"malformed method name: {path!r}")
    return service, method


def refusal(headers: dict[str, str]) -> Headers | None:
    """The response to a request that is not gRPC; None if it is."""
    if headers.get(":method") != "POST":
        return [(":status", "405"), ("allow", "POST")]
    kind = headers.get("content-type", "")
    if kind != CONTENT_TYPE and not kind.startswith((f"{CONTENT_TYPE}+", f"{CONTENT_TYPE};")):
        return [(":status", "415")]
    return None


def check_is_http2(start: bytes) -> None:
    """Raises `WireError` if the first bytes of a connection are not those of HTTP/2."""
    if not _PREFACE.startswith(start[: len(_PREFACE)]):
        raise WireError("no HTTP/2 after the byte 8 of gRPC")


_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
