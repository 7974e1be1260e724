"""Access control as a `Server` uses it, and the implementation that allows everything.

`server` is the `consulpy.rpc.server.Server` that serves the call; it is not named here, as it imports this module.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred

from consulpy.acl.authorizer import UNRESTRICTED
from consulpy.codec.record import Record
from consulpy.rpc.acl.resolver import Identity
from consulpy.rpc.methods import Method
from consulpy.state.watch import WatchSet
from consulpy.structs.acl import Token

#: Loads the tokens of a call, before its rights are checked: (server, name of the method, request).
#: None: they are known. The result never fails and may be cancelled.
Prepare = Callable[[Any, str, Record], "Deferred[None] | None"]


class CallGuard(Protocol):
    """Checks the rights of each call and filters its reply (`consulpy.rpc.acl.guard.Guard`, `NoGuard`)."""

    @property
    def prepare(self) -> Prepare | None:
        """Comes before each `read`, `invoke` and `require_snapshot`; None: tokens are in the state."""

    @property
    def is_on(self) -> bool:
        """Whether access control is enabled (`acl.enabled`)."""

    @property
    def lists_keys_by_right(self) -> bool:
        """Whether listing keys needs the `list` right (`acl.enable_key_list_policy`)."""

    @property
    def default_allows(self) -> bool:
        """Whether `acl.default_policy` is `allow`."""

    def read(self, server: Any, method: Method, request: Record, watch: WatchSet | None) -> Any:
        """The reply to a read, filtered by the rights of its token. Raises `RPCError`."""

    def invoke(self, server: Any, method: Method, request: Record) -> "Deferred[Any]":
        """The reply to any other method. Fails with `RPCError`."""

    def resolve(self, secret: str, watch: WatchSet | None = None) -> Identity:
        """The token and its rights; `watch` takes the dependencies of the answer. Raises `RPCError`."""

    def identify(self, secret: str) -> "Identity | Coroutine[Any, Any, Identity]":
        """The same, read now if its time is over. Raises `RPCError`, or fails with it."""

    def require_snapshot(self, secret: str) -> None:
        """Check the right to save and restore the state. Raises `RPCError`."""


class NoGuard:
    """Access control is off: every call is allowed."""

    #: Whether there is access control.
    is_on = False
    prepare: Prepare | None = None
    #: Whether listing keys is a right of its own.
    lists_keys_by_right = False
    #: What holds where no rule says anything.
    default_allows = True

    def read(self, server: Any, method: Method, request: Record, watch: WatchSet | None) -> Any:
        """The reply to a read."""
        return method.handler(server, request, watch)

    def invoke(self, server: Any, method: Method, request: Record) -> "Deferred[Any]":
        """The reply to any other method."""
        return maybeDeferred(method.handler, server, request)

    def resolve(self, secret: str, watch: WatchSet | None = None) -> Identity:  # noqa: ARG002
        """An identity that may do everything."""
        return Identity(Token(), UNRESTRICTED)

    def identify(self, secret: str) -> Identity:
        """An identity that may do everything."""
        return self.resolve(secret)

    def require_snapshot(self, secret: str) -> None:
        """Every token may save and restore."""
