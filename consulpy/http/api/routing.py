"""Routes: `Request`, `Response`, and the table of handlers by path and method.

A path that ends in a slash covers all paths below it; the rest is the request's `tail`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import RPCError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from consulpy.http.api.agent import AgentInterface
    from consulpy.rpc.cache.authorized_cache import AuthorizedCache
    from consulpy.rpc.dependencies import DependencySet
    from consulpy.rpc.spool_file import Spool

#: The order in which `Allow` names methods.
METHODS: Final = ("GET", "POST", "PUT", "DELETE")


class HttpError(RPCError):
    """An error with a status, and headers."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = dict(headers or {})


class PlainError(HttpError):
    """An error whose status does not depend on its text (`endpoint`)."""


class BodyNeeded(Exception):
    """An endpoint reads the body of a `RequestWithoutBody`."""


class BadQuery(Exception):
    """A query string with a bad escape."""


class Query:
    """The parameters of a query string; a name may be given several times, or without a value."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        if not text:
            return
        if _bad_escape(text):
            raise BadQuery(text)
        if ";" in text:  # Go 1.14 takes it for an ampersand
            text = text.replace(";", "&")
        for name, value in parse_qsl(text, keep_blank_values=True, errors="surrogateescape"):
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values)

    def get(self, name: str, default: str = "") -> str:
        """The first value of a parameter."""
        values = self._values.get(name)
        return values[0] if values else default

    def set(self, name: str, value: str) -> None:
        """Set a parameter to this value only."""
        self._values[name] = [value]

    def all(self, name: str) -> list[str]:
        """All values of a parameter."""
        return self._values.get(name, [])

    def first(self) -> dict[str, str]:
        """The first value of every parameter."""
        return {name: values[0] for name, values in self._values.items()}


def _bad_escape(text: str) -> bool:
    at = text.find("%")
    while at >= 0:
        digits = text[at + 1 : at + 3]
        if len(digits) < 2 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            return True
        at = text.find("%", at + 1)
    return False


@dataclass(slots=True)
class Request:
    """A request. `tail`: the path behind that of the route; `header(name)`: the value, empty for a missing header."""

    method: str
    path: str
    tail: str
    query: Query
    header: Callable[[str], str]
    body: bytes
    remote_ip: str
    #: The cache of `?cached`; None: switched off (`http_config.use_cache`).
    cache: "AuthorizedCache | None" = None
    #: The token of requests without one.
    default_token: str = ""
    #: Receives the dependencies of the response; None: it is not cached.
    dependencies: "DependencySet | None" = None
    #: The body where it may be large: `body` is empty then. The caller closes it.
    upload: "Callable[[], Deferred[Spool]] | None" = None

    @property
    def size(self) -> int:
        """The length of the body in bytes."""
        return len(self.body)


class RequestWithoutBody(Request):
    """A request whose body has not arrived. `body`: its announced length, None if there is none.

    Raises `BodyNeeded` when the body is read.
    """

    __slots__ = ("_announced",)

    @property
    def body(self) -> bytes:
        """Raises `BodyNeeded`."""
        raise BodyNeeded

    @body.setter
    def body(self, announced: Any) -> None:
        self._announced: int | None = announced

    @property
    def size(self) -> int:
        """The announced length of the body; raises `BodyNeeded` if there is none."""
        if self._announced is None:
            raise BodyNeeded
        return self._announced


@dataclass(slots=True)
class Response:
    """A response. One of `body` (rendered as JSON), `text` (plain text) and `raw` (bytes), or none of them."""

    body: Any = None
    text: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    #: Render `body` even if it is None: as JSON's null.
    null: bool = False
    content_type: str = ""
    raw: bytes | None = None
    #: A large body, closed when it is sent.
    spool: "Spool | None" = None
    #: Starts an endless body: called with `write(bytes)`, returns what stops it. It ends when the client disconnects.
    stream: Callable[[Callable[[bytes], None]], Callable[[], None]] | None = None


Handler = Callable[["AgentInterface", Request], Awaitable[Response] | Response]

#: Handlers by path and method.
ROUTES: Final[dict[str, dict[str, Handler]]] = {}


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register the handler of `method` and `path`."""

    def register(handler: Handler) -> Handler:
        methods = ROUTES.setdefault(path, {})
        assert method in METHODS or method == "OPTIONS"
        assert method not in methods, f"{method} {path} is registered twice"
        methods[method] = handler
        return handler

    return register
