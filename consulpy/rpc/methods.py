"""The RPC methods by name; each is a decorated function in `consulpy.rpc.endpoints`.

A *read* is a pure function of the store; as a blocking query it runs again after each change of a watched key, until
the index of its reply passes that of the request. A *write* checks its request and submits commands. A *local* method
is served by the server that is called, never forwarded (Status.Ping). Source: Go's net/rpc registry.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from importlib import import_module
from typing import Any, Final, TypeVar

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record


class Kind(Enum):
    """Kind of a method: where it is served, and whether it may block."""

    READ = "read"
    WRITE = "write"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC method.

    `request`: type of its argument. `reply`: type of its reply, a record, or `str`, `bool`, `list` for bare values.
    `handler`: READ `(server, request, watch) -> reply`; WRITE and LOCAL `(server, request) -> reply or Deferred of it`.
    `server`: the `consulpy.rpc.server.Server`.
    """

    name: str
    kind: Kind
    request: type[Record]
    reply: Any
    handler: Callable[..., Any]
    #: Refuses a request that must not be passed on to another server, as it would end a real one. Raises `RPCError`.
    check_forwarded: Callable[[Any], None] | None = None
    #: `(server, request)`, where access control is on: errors that precede that of an unknown token, and those that
    #: precede a missing right. The handler checks the same. Raise `RPCError`.
    before_token: Callable[[Any, Any], None] | None = None
    before_rights: Callable[[Any, Any], None] | None = None
    #: `(server, request, reply) -> reply`: completes what a leader of an older version answered.
    after_forward: Callable[[Any, Any, Any], Any] | None = None


#: The noun of a method -> the files of `consulpy.rpc.endpoints` with its methods.
FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "ACL": ("acl", "acl_auth", "acl_legacy", "acl_policy", "acl_token"),
    "Catalog": ("catalog",),
    "ConfigEntry": ("config_entry",),
    "ConnectCA": ("connect_ca",),
    "Coordinate": ("coordinate",),
    "DiscoveryChain": ("discovery_chain",),
    "FederationState": ("federation_state",),
    "Health": ("health",),
    "Intention": ("intention",),
    "Internal": ("internal", "keyring"),
    "KVS": ("kvs",),
    "Operator": ("operator",),
    "PreparedQuery": ("prepared_query",),
    "Session": ("session",),
    "Status": ("status",),
    "Txn": ("txn",),
}


class _Methods(dict[str, Method]):
    """Methods by name; the files of a noun are imported when one of its methods is first looked up by `[]`.

    A client at rest calls few of them, and each file brings the part of the state that it serves.
    """

    def __missing__(self, name: str) -> Method:
        load(name.rpartition(".")[0])
        method = self.get(name)
        if method is None:
            raise KeyError(name)
        return method


def load(noun: str) -> None:
    """Register the methods of a noun; nothing for an unknown one."""
    for file in FILES.get(noun, ()):
        import_module(f"consulpy.rpc.endpoints.{file}")


def load_all() -> None:
    """Register all methods."""
    for noun in FILES:
        load(noun)


#: Every method by its name.
METHODS: Final = _Methods()

Handler = TypeVar("Handler", bound=Callable[..., Any])


def _register(
    name: str,
    kind: Kind,
    request: type[Record],
    reply: Any,
    check_forwarded: Callable[[Any], None] | None = None,
    before_token: Callable[[Any, Any], None] | None = None,
    before_rights: Callable[[Any, Any], None] | None = None,
    after_forward: Callable[[Any, Any, Any], Any] | None = None,
) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        assert name not in METHODS, f"{name} is registered twice"
        rules = (check_forwarded, before_token, before_rights, after_forward)
        METHODS[name] = Method(name, kind, request, reply, handler, *rules)
        return handler

    return register


def read(
    name: str,
    request: type[Record],
    reply: Any,
    *,
    check_forwarded: Callable[[Any], None] | None = None,
    before_token: Callable[[Any, Any], None] | None = None,
    after_forward: Callable[[Any, Any, Any], Any] | None = None,
) -> Callable[[Handler], Handler]:
    """Register a read: `handler(server, request, watch) -> reply`, `watch` being a `WatchSet` or None."""
    return _register(name, Kind.READ, request, reply, check_forwarded, before_token, after_forward=after_forward)


def write(
    name: str,
    request: type[Record],
    reply: Any,
    *,
    check_forwarded: Callable[[Any], None] | None = None,
    before_token: Callable[[Any, Any], None] | None = None,
    before_rights: Callable[[Any, Any], None] | None = None,
) -> Callable[[Handler], Handler]:
    """Register a write: `handler(server, request) -> reply or Deferred`. The others: see `Method`."""
    return _register(name, Kind.WRITE, request, reply, check_forwarded, before_token, before_rights)


def local(
    name: str, request: type[Record], reply: Any, *, before_token: Callable[[Any, Any], None] | None = None
) -> Callable[[Handler], Handler]:
    """Register a local method: `handler(server, request) -> reply or Deferred`."""
    return _register(name, Kind.LOCAL, request, reply, before_token=before_token)
