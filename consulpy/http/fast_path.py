"""A short way: a whole GET or PUT with a plain head goes to its endpoint without Twisted's and Klein's machinery.

It is the same endpoint, asked through `FastRequest` instead of Twisted's request, and the answer has the same bytes.
Only a request that is there to its last byte, alone, and has nothing in its head that needs a second look comes this
way; everything else goes the plain way through `channel` and `app`. Many clients (Python's `http.client` is one) send
head and body apart: a head that could come this way is kept for a moment until its body is here.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from time import time  # noqa: TID251 - an answer has the date of the wall clock, as Twisted writes it
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, datetimeToString
from twisted.web.http_headers import Headers

from consulpy.http.api.large_body import Parts

_log = Logger()

#: Larger heads go the plain way.
HEAD_MAX_BYTES: Final = 4096
#: Heads (without their first lines) that are known.
HEADS_MAX: Final = 512
#: Larger bodies are not waited for.
BODY_MAX_BYTES: Final = 64 * 1024
#: How a request begins that may come this way.
BEGINS: Final = (b"PUT /v1/", b"GET /v1/")
#: The one path whose answer never ends.
_STREAMED: Final = b"/v1/agent/monitor"

#: A path that says what it means, and any query.
_TARGET: Final = re.compile(rb"(?!.*/\.\.?(?:[/?]|\Z))(/v1(?:/[A-Za-z0-9_.~:@!$&'()*+,;=-]+)+/?)(?:\?[!-~]*)?")
_NAME: Final = re.compile(rb"[A-Za-z0-9-]+")
_VALUE: Final = re.compile(rb"[!-~](?:[ -~]*[!-~])?|")
#: What may stand in `Host` (as Go's `httpguts.ValidHostHeader`).
HOST: Final = re.compile(rb"[A-Za-z0-9!$%&'()*+,.:;=\[\]_~-]*")
_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,8}")
#: Headers that change how the request or its connection is to be treated.
_SPECIAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer", b"http2-settings"})

#: Answers a request, given its path: the body, or a Deferred of it.
Serve = Callable[["FastRequest", str], Any]


class Connection(Protocol):
    """Where a request came from."""

    @property
    def peer(self) -> Any:
        """The client's address, an `IAddress`."""

    def response_ready(self, answer: bytes) -> None:
        """The whole answer. Not called for a request that left."""

    def response_in_parts(self, head: bytes, body: Parts) -> None:
        """A large answer: the head, and the body that is written as the client takes it."""


class FastRequest:
    """What an endpoint asks of Twisted's request, under the same names."""

    __slots__ = (
        "_connection",
        "_fields",
        "_gone",
        "_out",
        "_status",
        "closes",
        "content",
        "is_inner",
        "method",
        "path",
        "text",
        "uri",
    )

    def __init__(
        self, method: bytes, target: bytes, path: bytes, fields: dict[str, str], body: bytes, closes: bool
    ) -> None:
        #: Whether it is the last one of its connection.
        self.closes = closes
        #: Whether the agent asks itself.
        self.is_inner = False
        self.method = method
        self.uri = target
        self.path = path
        #: The path as text.
        self.text = path.decode("ascii")
        self.content = BytesIO(body)
        self._fields = fields
        self._out = {b"Connection": b"close"} if closes else {}
        self._out |= {b"Server": b"consulpy", b"Date": _date(int(time()))}
        self._status = b"200 OK"
        self._gone: Callable[[], None] | None = None
        self._connection: Connection | None = None

    def getHeader(self, name: str) -> str | None:
        """The value of a header, None if it is not there."""
        return self._fields.get(name.lower())

    def setHeader(self, name: bytes, value: bytes) -> None:
        """A header of the answer."""
        self._out[_shown(name)] = value

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """The status of the answer."""
        self._status = b"%d %b" % (code, message or RESPONSES.get(code, b"Unknown Status"))

    def getClientAddress(self) -> Any:
        """Who asks."""
        return None if self._connection is None else self._connection.peer

    def when_gone(self, call: Callable[[], None]) -> None:
        """Call this if the client goes before it is answered."""
        self._gone = call

    def leave(self) -> None:
        """The connection is lost."""
        self._connection = None
        gone, self._gone = self._gone, None
        if gone is not None:
            gone()

    def begin(self, connection: Connection, serve: Serve) -> None:
        """Have it answered on `connection`."""
        self._connection = connection
        try:
            body = serve(self, self.text)
        except Exception:
            self._fail(Failure())
            return
        if isinstance(body, Deferred):
            body.addCallbacks(self._finish, self._fail).addErrback(self._fail)
        else:
            self._finish(body)

    def send_parts(self, body: Parts) -> Parts:
        """The result of an endpoint that gives its body in parts."""
        return body

    def _finish(self, body: bytes | Parts) -> None:
        connection = self._connection
        if connection is None:
            return
        self._connection = self._gone = None
        head = [b"HTTP/1.1 ", self._status]
        for name, value in self._out.items():
            head += (
                b"\r\n",
                name,
                b": ",
                value if value.isascii() and value.isalnum() else b" ".join(value.splitlines()),
            )
        if isinstance(body, Parts):
            connection.response_in_parts(b"".join([*head, b"\r\n\r\n"]), body)
        else:
            connection.response_ready(b"".join([*head, b"\r\n\r\n", body]))

    def _fail(self, failure: Failure) -> None:
        """Our own fault, outside of any handler."""
        _log.failure("a route failed", failure)
        self.setResponseCode(500)
        self.setHeader(b"content-length", b"0")
        self._finish(b"")


#: What is in a head: headers by lower-case names, the length of the body, whether the connection ends.
_Head = tuple[dict[str, str], int, bool]
_known: dict[bytes, _Head | None] = {}


def parse_request(data: bytes) -> FastRequest | None:
    """The request in `data`, if it is one that may come this way, whole and alone."""
    end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES)
    line_end = data.find(b"\r\n")
    if end < 0:
        return None
    line = data[:line_end].split(b" ")
    if len(line) != 3 or line[0] not in (b"GET", b"PUT") or line[2] != b"HTTP/1.1":
        return None
    known = _look_up(data[line_end + 2 : end])
    if known is None or known[1] != len(data) - end - 4:
        return None
    target = _TARGET.fullmatch(line[1])
    if target is None or target[1].startswith(_STREAMED):
        return None
    return FastRequest(line[0], line[1], target[1], known[0], data[end + 4 :], known[2])


def needs_body(data: bytes) -> bool:
    """Whether `data` is a whole head of a request that may come this way when its body is here."""
    end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES)
    if end < 0 or end + 4 != len(data):
        return False
    known = _look_up(data[data.find(b"\r\n") + 2 : end])
    return known is not None and 0 < known[1] <= BODY_MAX_BYTES


def _look_up(lines: bytes) -> _Head | None:
    """What the lines of a head say, read once for all requests that have the same ones."""
    try:
        return _known[lines]
    except KeyError:
        if len(_known) >= HEADS_MAX:
            _known.clear()
        read = _known[lines] = _read(lines)
        return read


def _read(head: bytes) -> _Head | None:
    """The lines of a head; None if there is anything special."""
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
    texts = {name.decode("ascii"): value.decode("ascii") for name, value in fields.items()}
    return texts, int(length), connection == b"close"


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return bytes(datetimeToString(second))


@lru_cache(maxsize=256)
def _shown(name: bytes) -> bytes:
    """A header's name as Twisted writes it."""
    headers = Headers()
    headers.setRawHeaders(name, [b""])
    return next(iter(headers.getAllRawHeaders()))[0]


__all__ = ["BEGINS", "FastRequest", "needs_body", "parse_request"]
