"""The methods that a server answers, by name: one decorated function each in `consulpy.rpc.endpoints`.

A *read* is a pure function of the store, run again each time that a watched key changes, until its reply's index
passes the one that the caller knows. A *write* checks its request and submits commands. A *local* method is answered by
whichever server is asked, never forwarded (Status.Ping).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from consulpy.codec.record import Record


class Kind(Enum):
    """How a method is treated by `call`."""

    READ = "read"
    WRITE = "write"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC method.

    `request`: the record it takes. `reply`: the record it answers, or `str`, `bool`, `list` for bare values.
    `handler`: READ `(server, request, watch) -> reply`; WRITE and LOCAL `(server, request) -> reply or Deferred of it`.
    `server` is the `consulpy.rpc.server.Server` that answers.
    """

    name: str
    kind: Kind
    request: type[Record]
    reply: Any
    handler: Callable[..., Any]


#: Every method by its name.
METHODS: dict[str, Method] = {}

Handler = TypeVar("Handler", bound=Callable[..., Any])


def _register(name: str, kind: Kind, request: type[Record], reply: Any) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        assert name not in METHODS, f"{name} is registered twice"
        METHODS[name] = Method(name, kind, request, reply, handler)
        return handler

    return register


def read(name: str, request: type[Record], reply: Any) -> Callable[[Handler], Handler]:
    """Register a read: `handler(server, request, watch) -> reply`, `watch` being a `WatchSet` or None."""
    return _register(name, Kind.READ, request, reply)


def write(name: str, request: type[Record], reply: Any) -> Callable[[Handler], Handler]:
    """Register a write: `handler(server, request) -> reply or Deferred`."""
    return _register(name, Kind.WRITE, request, reply)


def local(name: str, request: type[Record], reply: Any) -> Callable[[Handler], Handler]:
    """Register a method that any server answers by itself: `handler(server, request) -> reply or Deferred`."""
    return _register(name, Kind.LOCAL, request, reply)
