"""The interface of all calls: to the server in this process, over the wire, or from the agent cache."""

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from consulpy.codec.record import Record
from consulpy.rpc.dependencies import DependencySet


class Caller(Protocol):
    """Makes RPC calls (`consulpy.rpc.call`, `consulpy.rpc.cache.caching_caller`)."""

    def call(self, method: str, request: Record, dependencies: DependencySet | None = None) -> "Deferred[Any]":
        """Call `method` ("Health.ServiceNodes"); fires with its reply, which must not be changed.

        `dependencies`: receives the dependencies of a reply that is computed before this returns; it stays empty for
        all others. Fails with `RPCError`. Cancelling ends the wait (a write that was sent may happen nevertheless).
        """
