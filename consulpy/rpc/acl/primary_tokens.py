"""Tokens of a server outside the primary datacenter that does not copy them: it asks there, and keeps the answers.

Handlers need rights at once: the tokens of a call are read before it (`prepare`). Roles and policies are copied.
Source: docs/wire/acl.md section 15.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, fail

from consulpy.codec.record import Record
from consulpy.errors import NoPathToDatacenter, RPCError
from consulpy.rpc.acl.queries import own_token
from consulpy.rpc.acl.remote import RemoteResolver
from consulpy.rpc.acl.resolver import Identity
from consulpy.rpc.acl.tokens import token_of
from consulpy.rpc.dependencies import DependencySet
from consulpy.rpc.methods import METHODS
from consulpy.state.acl import POLICIES, ROLES
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet


class PrimaryCaller:
    """Calls servers of the primary datacenter. `server()`: the `consulpy.rpc.server.Server` that does."""

    def __init__(self, server: Callable[[], Any], primary: str) -> None:
        self._server = server
        self._primary = primary

    def call(
        self,
        method: str,
        request: Record,
        dependencies: DependencySet | None = None,  # noqa: ARG002 - of another datacenter's state
    ) -> "Deferred[Any]":
        """The reply. Fails with `RPCError`."""
        remote = self._server().remote_datacenters
        if remote is None:
            return fail(NoPathToDatacenter())
        found: Deferred[Any] = remote.call(self._primary, METHODS[method], request)
        return found


class PrimaryTokens:
    """Rights of tokens that are in the primary datacenter."""

    def __init__(self, remote: RemoteResolver, store: Callable[[], Store]) -> None:
        self._remote = remote
        self._store = store

    def resolve(self, secret: str, watch: WatchSet | None = None) -> Identity:
        """The token and its rights as they were last read. Raises `RPCError`.

        `watch`: takes the copied roles and policies; the token itself may change unseen.
        """
        if watch is not None:
            self._store().acl.index(watch, POLICIES, ROLES)
            watch.is_time_independent = False
        return self._remote.known(secret)

    def identify(self, secret: str) -> Coroutine[Any, Any, Identity]:
        """The token and its rights, read now if its time is over. Fails with `RPCError`."""
        return self._remote.resolve(secret)

    def prepare(self, server: Any, method: str, request: Record) -> "Deferred[None] | None":
        """Read the tokens of a call whose time is over; None: there are none."""
        secrets = [token_of(request)]
        own = own_token(server, method, request)
        if own:
            secrets.append(own)
        stale = [each for each in secrets if not self._remote.is_fresh(each)]
        if not stale:
            return None
        prepared: Deferred[None] = Deferred()
        reads = [Deferred.fromCoroutine(self._remote.resolve(each)).addErrback(_refused) for each in stale]
        DeferredList(reads).addBoth(lambda _: None if prepared.called else prepared.callback(None))
        return prepared


def _refused(failure: Any) -> None:
    """Whoever asks for the rights afterwards gets the error."""
    failure.trap(RPCError)
