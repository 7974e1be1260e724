"""Calls to servers of the primary datacenter."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from consulpy.codec.record import Record
from consulpy.errors import NoPathToDatacenter
from consulpy.rpc.dependencies import DependencySet
from consulpy.rpc.methods import METHODS

#: `call(method, request)`: the reply of a server of the primary datacenter. Fails with `RPCError`.
CallPrimary = Callable[[str, Record], "Deferred[Any]"]


class PrimaryCaller:
    """A `Caller` of servers of the primary datacenter. `server()`: the `consulpy.rpc.server.Server` that forwards."""

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
