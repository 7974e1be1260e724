"""The seam where every call is judged: in process, from port 8300 or from another datacenter, all come through here.

`Guard` asks the table of `consulpy.rpc.acl.table`; `NoGuard` (`interface`) stands in its place without access control.
"""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import WRITE
from consulpy.codec.record import Record
from consulpy.errors import PermissionDenied
from consulpy.rpc.acl.denied import Denied, explained, require_of
from consulpy.rpc.acl.interface import Prepare
from consulpy.rpc.acl.resolver import Identity
from consulpy.rpc.acl.table import ACCESS, Access
from consulpy.rpc.acl.tokens import token_of
from consulpy.rpc.long_read import LongRead
from consulpy.rpc.methods import Method
from consulpy.state.watch import WatchSet
from consulpy.structs.acl import ANONYMOUS_SECRET

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


class Resolver(Protocol):
    """Finds what a token may do (`consulpy.rpc.acl.resolver`)."""

    def resolve(self, secret: str, watch: WatchSet | None = None) -> Identity:
        """The token and its rights. Raises `RPCError`."""

    def identify(self, secret: str) -> "Identity | Coroutine[Any, Any, Identity]":
        """The same, read now if its time is over. Raises `RPCError`, or fails with it."""


class Guard:
    """Access control is on. `lists_keys_by_right`: `acl.enable_key_list_policy`.

    `prepare`: see `CallGuard`.
    """

    is_on = True

    def __init__(
        self,
        resolver: Resolver,
        *,
        default_allows: bool,
        lists_keys_by_right: bool = False,
        prepare: Prepare | None = None,
    ) -> None:
        self._resolver = resolver
        self.prepare = prepare
        self.default_allows = default_allows
        self.lists_keys_by_right = lists_keys_by_right

    def resolve(self, secret: str, watch: WatchSet | None = None) -> Identity:
        """The token and its rights. Raises `RPCError`."""
        return self._resolver.resolve(secret, watch)

    def identify(self, secret: str) -> "Identity | Coroutine[Any, Any, Identity]":
        """The same, read now if its time is over. Raises `RPCError`, or fails with it."""
        return self._resolver.identify(secret)

    def require_snapshot(self, secret: str) -> None:
        """Saving and restoring the whole state, with all secrets in it. Raises `RPCError`."""
        require_of(self.resolve(secret), "snapshot", "acl", "", WRITE)

    def read(self, server: "Server", method: Method, request: Record, watch: WatchSet | None) -> Any:
        """Have a read answered, as far as its token may see it. Raises `RPCError`."""
        access = _access(method)
        if access.is_open:
            return method.handler(server, request, watch)
        authorizer, settled = self._judge(access, server, method, request, watch)
        if settled is not None:
            return settled
        reply = method.handler(server, request, watch)
        if access.after is None:
            return reply
        if isinstance(reply, LongRead):
            return reply.then(lambda found: self._after(access, authorizer, server, method, request, found))
        return self._after(access, authorizer, server, method, request, reply)

    def invoke(self, server: "Server", method: Method, request: Record) -> "Deferred[Any]":
        """Have any other method answered, if its token allows it. Fails with `RPCError`."""
        return maybeDeferred(self._invoke, server, method, request)

    def _invoke(self, server: "Server", method: Method, request: Record) -> Any:
        access = _access(method)
        if access.is_open:
            return method.handler(server, request)
        authorizer, settled = self._judge(access, server, method, request, None)
        if settled is not None:
            return settled
        reply = method.handler(server, request)
        if access.after is None:
            return reply
        if isinstance(reply, Deferred):
            return reply.addCallback(lambda found: self._after(access, authorizer, server, method, request, found))
        return self._after(access, authorizer, server, method, request, reply)

    def _judge(
        self, access: Access, server: "Server", method: Method, request: Record, watch: WatchSet | None
    ) -> tuple[Authorizer, Any]:
        if method.before_token is not None:
            method.before_token(server, request)
        secret = token_of(request) if access.secret is None else access.secret(server, request)
        identity = self.resolve(secret, watch)
        if method.before_rights is not None:
            method.before_rights(server, request)
        if access.check is None:
            return identity.authorizer, None
        try:
            return identity.authorizer, access.check(identity.authorizer, server, request)
        except Denied as error:
            raise explained(error, identity.token, method.name) from None

    def _after(
        self, access: Access, authorizer: Authorizer, server: "Server", method: Method, request: Record, reply: Any
    ) -> Any:
        assert access.after is not None
        try:
            shown = access.after(authorizer, server, request, reply)
        except Denied as error:
            raise explained(error, self.resolve(token_of(request)).token, method.name) from None
        meta = getattr(shown, "meta", None)
        if meta is not None and meta.results_filtered_by_acls and token_of(request) in ("", ANONYMOUS_SECRET):
            meta.results_filtered_by_acls = False  # without a token a client does not learn that there is more
        return shown


def _access(method: Method) -> Access:
    access = ACCESS.get(method.name)
    if access is None:
        raise PermissionDenied
    return access
