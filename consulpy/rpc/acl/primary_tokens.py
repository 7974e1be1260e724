"""Tokens of a server outside the primary datacenter that has no copies of them: it asks there, and keeps the answers.

Handlers need rights at once: the tokens of a call are read before it (`prepare`). Roles and policies are copied.
Source: docs/wire/acl.md section 15.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from consulpy.codec.record import Record
from consulpy.errors import RPCError
from consulpy.rpc.acl.queries import own_token
from consulpy.rpc.acl.remote import RemoteResolver
from consulpy.rpc.acl.resolver import Identity, StateResolver
from consulpy.rpc.acl.tokens import token_of
from consulpy.state.acl import POLICIES, ROLES, TOKENS
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet


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


class CopiedTokens:
    """Rights of tokens that are copied from the primary datacenter; it is asked until the first copy is there.

    Not before the policies are copied, with which that begins: until then local tokens cannot be made. `token()`: the
    replication token; without one nothing is ever copied.
    """

    def __init__(
        self, copies: StateResolver, primary: PrimaryTokens, store: Callable[[], Store], token: Callable[[], str]
    ) -> None:
        self._copies = copies
        self._primary = primary
        self._store = store
        self._token = token

    def _now(self) -> "StateResolver | PrimaryTokens":
        indexes = self._store().indexes
        asks = not indexes.get(TOKENS) and (indexes.get(POLICIES) or not self._token())
        return self._primary if asks else self._copies

    def resolve(self, secret: str, watch: WatchSet | None = None) -> Identity:
        """The token and its rights. Raises `RPCError`."""
        if watch is not None:
            self._store().acl.index(watch, TOKENS, POLICIES)
        return self._now().resolve(secret, watch)

    def identify(self, secret: str) -> "Identity | Coroutine[Any, Any, Identity]":
        """The same, read now if its time is over. Raises `RPCError`, or fails with it."""
        return self._now().identify(secret)

    def prepare(self, server: Any, method: str, request: Record) -> "Deferred[None] | None":
        """See `PrimaryTokens`."""
        return None if self._now() is self._copies else self._primary.prepare(server, method, request)


def _refused(failure: Any) -> None:
    """Later callers that ask for the rights get the error."""
    failure.trap(RPCError)
