"""The fast path: parses a whole GET or PUT with a simple head, and calls its endpoint without Twisted and Klein.

The endpoint is the same as on the full path, called with a `FastRequest`, and the response has the same bytes. Only a
request that arrived whole and alone, with a head of common fields, is served here; everything else takes the full path
(`channel` and `app`). Many clients (Python's `http.client` is one) send head and body apart: such a head waits for its
body for a moment (`needs_body`).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from time import time  # noqa: TID251 - a response has the date of the wall clock, as Twisted writes it
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, datetimeToString
from twisted.web.http_headers import Headers

from consulpy.http.api.large_body import Parts, SpooledBody
from consulpy.http.api.routing import Request
from consulpy.log import Logger
from consulpy.rpc.dependencies import DependencySet

_log = Logger()

#: Longest head, in bytes; longer ones take the full path.
HEAD_MAX_BYTES: Final = 4096
#: Parsed heads (without request lines) that are cached.
HEADS_MAX: Final = 512
#: Longest body that a head waits for, in bytes.
BODY_MAX_BYTES: Final = 64 * 1024
#: First bytes of the requests that are served here.
BEGINS: Final = (b"PUT /v1/", b"GET /v1/")
#: The routes with endless responses.
STREAMED: Final = (b"/v1/agent/monitor", b"/v1/agent/metrics/stream")

#: A target without escapes or dot segments in its path, and any query.
_TARGET: Final = re.compile(rb"(?!.*/\.\.?(?:[/?]|\Z))(/v1(?:/[A-Za-z0-9_.~:@!$&'()*+,;=-]+)+/?)(?:\?[!-~]*)?")
_NAME: Final = re.compile(rb"[A-Za-z0-9-]+")
_VALUE: Final = re.compile(rb"[!-~](?:[ -~]*[!-~])?|")
#: What may stand in `Host` (as Go's `httpguts.ValidHostHeader`).
HOST: Final = re.compile(rb"[A-Za-z0-9!$%&'()*+,.:;=\[\]_~-]*")
_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,8}")
#: Fields that need the full path.
_SPECIAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer", b"http2-settings"})

#: Serves a request, given its path: the body, or a Deferred of it.
Serve = Callable[["FastRequest", str], Any]


class Connection(Protocol):
    """The connection of a request."""

    @property
    def peer(self) -> Any:
        """The client's address, an `IAddress`."""

    def response_ready(self, response: bytes) -> None:
        """Write the whole response. Not called after `FastRequest.disconnected`."""

    def response_in_parts(self, head: bytes, body: Parts | SpooledBody) -> None:
        """Write a large response: its head, and its body with backpressure."""


class Fields(dict[str, str]):
    """The fields of a head by lower-case name. Indexed by any spelling; "" for a field that is not there.

    The spellings are those of the code, so few, and a head is parsed once for many requests.
    """

    __slots__ = ()

    def __missing__(self, name: str) -> str:
        value = self.get(name.lower(), "")
        if not name.islower():
            self[name] = value
        return value


class FastRequest:
    """A request with the part of Twisted's request interface that endpoints use."""

    __slots__ = (
        "_connection",
        "_fields",
        "_on_disconnect",
        "_out",
        "_status",
        "body",
        "closes",
        "dependencies",
        "header",
        "is_internal",
        "method",
        "path",
        "text",
        "uri",
    )

    def __init__(self, method: bytes, target: bytes, path: bytes, fields: Fields, body: bytes, closes: bool) -> None:
        #: Whether the connection ends with its response.
        self.closes = closes
        #: Whether the agent itself sends it, for a group of blocking queries; such requests are not counted.
        self.is_internal = False
        #: Receives the dependencies of the response; None: it is not cached.
        self.dependencies: DependencySet | None = None
        self.method = method
        self.uri = target
        self.path = path
        #: The path as text.
        self.text = path.decode("ascii")
        self.body = body
        #: The value of a header, "" if it is not there.
        self.header: Callable[[str], str] = fields.__getitem__
        self._fields = fields
        self._out = {b"Connection": b"close"} if closes else {}
        self._out |= {b"Server": b"consulpy", b"Date": _date(int(time()))}
        self._status = b"200 OK"
        self._on_disconnect: Callable[[], None] | None = None
        self._connection: Connection | None = None

    def getHeader(self, name: str) -> str | None:
        """The value of a header, None if it is not there."""
        return self._fields.get(name.lower())

    def setHeader(self, name: bytes, value: bytes) -> None:
        """Set a header of the response."""
        self._out[_canonical(name)] = value

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Set the status of the response."""
        self._status = b"%d %b" % (code, message or RESPONSES.get(code, b"Unknown Status"))

    def getClientAddress(self) -> Any:
        """The address of the client."""
        return None if self._connection is None else self._connection.peer

    def on_disconnect(self, call: Callable[[], None]) -> None:
        """Call `call` if the client disconnects before its response is written."""
        self._on_disconnect = call

    def disconnected(self) -> None:
        """The connection is lost: cancel the endpoint."""
        self._connection = None
        call, self._on_disconnect = self._on_disconnect, None
        if call is not None:
            call()

    def begin(self, connection: Connection, serve: Serve) -> None:
        """Call the endpoint; the response is written to `connection`."""
        self._connection = connection
        try:
            body = serve(self, self.text)
        except Exception:
            self._fail(Failure())
            return
        if isinstance(body, Deferred):
            body.addBoth(self._ended)
        else:
            self._finish(body)

    #: Bodies are small here.
    upload: Any = None
    #: What endpoints are called with.
    request_type = Request

    def _ended(self, result: Any) -> None:
        try:
            if not isinstance(result, Failure):
                self._finish(result)
                return
        except Exception:
            result = Failure()
        self._fail(result)

    def send_parts(self, body: Parts | SpooledBody) -> Parts | SpooledBody:
        """The result of an endpoint whose body is in parts."""
        return body

    def _finish(self, body: bytes | Parts | SpooledBody) -> None:
        connection = self._connection
        if connection is None:
            if isinstance(body, SpooledBody):
                body.discard()
            return
        self._connection = self._on_disconnect = None
        lines = b"".join([b"%b: %b\r\n" % field for field in self._out.items()])
        if not lines.count(b"\n") == lines.count(b"\r") == len(self._out):  # a value has several lines
            fields = [(name, b" ".join(value.splitlines())) for name, value in self._out.items()]
            lines = b"".join([b"%b: %b\r\n" % field for field in fields])
        if isinstance(body, Parts | SpooledBody):
            connection.response_in_parts(b"HTTP/1.1 %b\r\n%b\r\n" % (self._status, lines), body)
        else:
            connection.response_ready(b"HTTP/1.1 %b\r\n%b\r\n%b" % (self._status, lines, body))

    def _fail(self, failure: Failure) -> None:
        """Respond 500 to an unexpected exception."""
        _log.failure("a route failed", failure)
        self.setResponseCode(500)
        self.setHeader(b"content-length", b"0")
        self._finish(b"")


#: A parsed head: fields by lower-case names, Content-Length, whether the connection ends.
_Head = tuple[Fields, int, bool]
_heads: dict[bytes, _Head | None] = {}


def parse_request(data: bytes) -> FastRequest | None:
    """The request in `data`, if the fast path serves it and nothing follows it; else None."""
    end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES)
    line_end = data.find(b"\r\n")
    if end < 0:
        return None
    line = data[:line_end].split(b" ")
    if len(line) != 3 or line[0] not in (b"GET", b"PUT") or line[2] != b"HTTP/1.1":
        return None
    head = _look_up(data[line_end + 2 : end])
    if head is None or head[1] != len(data) - end - 4:
        return None
    target = _TARGET.fullmatch(line[1])
    if target is None or target[1].startswith(STREAMED):
        return None
    return FastRequest(line[0], line[1], target[1], head[0], data[end + 4 :], head[2])


def needs_body(data: bytes) -> bool:
    """Whether `data` is exactly the head of a request that the fast path serves once its body has arrived."""
    end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES)
    if end < 0 or end + 4 != len(data):
        return False
    head = _look_up(data[data.find(b"\r\n") + 2 : end])
    return head is not None and 0 < head[1] <= BODY_MAX_BYTES


def _look_up(lines: bytes) -> _Head | None:
    """The parsed lines of a head, cached by their bytes."""
    try:
        return _heads[lines]
    except KeyError:
        if len(_heads) >= HEADS_MAX:
            _heads.clear()
        head = _heads[lines] = _parse(lines)
        return head


def _parse(head: bytes) -> _Head | None:
    """Parse the lines of a head; None if one is not for the fast path."""
    fields: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if not colon or name in fields or name in _SPECIAL or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        fields[name] = value
    length = fields.get(b"content-length", b"0")
    connection = fields.get(b"connection", b"keep-alive").lower()
    if (
        not HOST.fullmatch(fields.get(b"host", b" "))
        or connection not in (b"keep-alive", b"close")
        or not _LENGTH.fullmatch(length)
    ):
        return None
    texts = Fields({name.decode("ascii"): value.decode("ascii") for name, value in fields.items()})
    return texts, int(length), connection == b"close"


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return bytes(datetimeToString(second))


@lru_cache(maxsize=256)
def _canonical(name: bytes) -> bytes:
    """A header's name as Twisted writes it."""
    headers = Headers()
    headers.setRawHeaders(name, [b""])
    return next(iter(headers.getAllRawHeaders()))[0]


__all__ = ["BEGINS", "STREAMED", "FastRequest", "Fields", "needs_body", "parse_request"]
