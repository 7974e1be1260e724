"""The response to a call of gRPC's health service, judged as by Go's gRPC client, with its error texts. Pure.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from consulpy.checks.result import CheckFailed
from consulpy.codec.protobuf import fields
from consulpy.errors import WireError
from consulpy.gocompat.literals import quoted

#: Largest response in bytes; a valid one has less than ten.
RESPONSE_MAX_BYTES: Final = 65536
_PREFIX_BYTES: Final = 5
_GRPC: Final = re.compile(r"application/grpc([+;].*)?", re.IGNORECASE | re.DOTALL)
#: Names of gRPC's status codes, by number.
_CODES: Final = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
#: The code for an HTTP status, where the server does not speak gRPC; for others it is Unknown.
_OF_HTTP: Final = {
    400: "Internal",
    401: "Unauthenticated",
    403: "PermissionDenied",
    404: "Unimplemented",
    429: "Unavailable",
    502: "Unavailable",
    503: "Unavailable",
    504: "Unavailable",
}
#: Names of HTTP/2's error codes, by number, and the gRPC code of a stream that is reset with it.
_RESETS: Final = (
    ("NO_ERROR", "Internal"),
    ("PROTOCOL_ERROR", "Internal"),
    ("INTERNAL_ERROR", "Internal"),
    ("FLOW_CONTROL_ERROR", "ResourceExhausted"),
    ("SETTINGS_TIMEOUT", "Internal"),
    ("STREAM_CLOSED", "Unknown"),
    ("FRAME_SIZE_ERROR", "Internal"),
    ("REFUSED_STREAM", "Unavailable"),
    ("CANCEL", "Canceled"),
    ("COMPRESSION_ERROR", "Internal"),
    ("CONNECT_ERROR", "Internal"),
    ("ENHANCE_YOUR_CALM", "ResourceExhausted"),
    ("INADEQUATE_SECURITY", "PermissionDenied"),
)


class RpcFailed(CheckFailed):
    """A call that failed: `rpc error: code = NotFound desc = unknown service`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {text}")


def stream_reset(number: int) -> RpcFailed:
    """The error for a stream that the server reset. `number`: HTTP/2's error code."""
    name, code = _RESETS[number] if number < len(_RESETS) else (f"unknown error code {number}", "Unknown")
    return RpcFailed(code, f"stream terminated by RST_STREAM with error code: {name}")


class GrpcResponse:
    """What came of a response so far. All methods raise `RpcFailed` or `CheckFailed`."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._encoding = ""
        self._status: Mapping[str, str] | None = None

    def start(self, headers: Mapping[str, str], *, is_all: bool) -> None:
        """The first header block. `is_all`: it has the call's status too."""
        kind = headers.get("content-type", "")
        if not _GRPC.fullmatch(kind):
            code = int(re.sub("[^0-9]", "", headers.get(":status", ""))[:3] or "0")
            phrase = next((each.phrase for each in HTTPStatus if each == code), "")
            what = f"received the unexpected content-type {quoted(kind)}" if kind else "missing content-type field"
            raise RpcFailed(_OF_HTTP.get(code, "Unknown"), f"{phrase}: HTTP status code {code}; transport: {what}")
        self._encoding = headers.get("grpc-encoding", "identity")
        if is_all:
            self.trailers(headers)

    def trailers(self, headers: Mapping[str, str]) -> None:
        """The header block with the call's status."""
        self._status = headers

    def data(self, data: bytes) -> None:
        """A part of the messages."""
        self._body += data
        if len(self._body) > RESPONSE_MAX_BYTES:
            raise RpcFailed("ResourceExhausted", "the answer is too long")

    def end(self) -> int:
        """The serving status, when the stream has ended."""
        message = self._message() if self._body else None
        if self._status is None:
            raise RpcFailed("Internal", "server closed the stream without sending trailers")
        number = self._status.get("grpc-status", "2")
        if not re.fullmatch("[+-]?[0-9]{1,9}", number):
            fault = f"strconv.Atoi: parsing {quoted(number)}: invalid syntax"
            raise RpcFailed("Internal", f"transport: malformed grpc-status: {fault}")
        code = int(number)
        if code:
            name = _CODES[code] if 0 < code < len(_CODES) else f"Code({code})"
            raise RpcFailed(name, unquote(self._status.get("grpc-message", "")))
        if message is None:
            raise CheckFailed("EOF")
        try:
            found = [value for number, value in fields(message) if number == 1 and isinstance(value, int)]
        except WireError as error:
            raise RpcFailed("Internal", f"grpc: failed to unmarshal the received message {error}") from None
        return found[-1] if found else 0  # other fields are of newer versions

    def _message(self) -> bytes:
        """The one message: a flag for compression, the length, the data."""
        size = int.from_bytes(self._body[1:_PREFIX_BYTES], "big")
        if len(self._body) < _PREFIX_BYTES + size:
            raise RpcFailed("Internal", "unexpected EOF")
        if self._body[0] and self._encoding != "identity":
            text = f"grpc: Decompressor is not installed for grpc-encoding {quoted(self._encoding)}"
            raise RpcFailed("Unimplemented", text)
        if self._body[0]:
            raise RpcFailed("Internal", "grpc: compressed flag set with identity or empty encoding")
        if len(self._body) > _PREFIX_BYTES + size:
            raise RpcFailed("Unknown", "grpc: client streaming protocol violation: get <nil>, want <EOF>")
        return bytes(self._body[_PREFIX_BYTES:])
