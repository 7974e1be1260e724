"""Calls to other datacenters: a server of ours passes them to a server of theirs, which the WAN pool names.

One try: who asked may try again, and is then sent to another server (docs/wire/rpc.md 8). A datacenter whose servers
are all gone is answered like an unknown one.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from consulpy.codec.record import Record
from consulpy.errors import NoPathToDatacenter, RPCError, WireError
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.rpc.call import Connections, was_not_sent
from consulpy.rpc.messages import reply_of
from consulpy.rpc.methods import Method
from consulpy.rpc.server_metadata import ServerInfo, server_of
from consulpy.serf.members import Member, Status


class DatacenterForwarder:
    """`members()`: those of the WAN pool. `log(level, text)` gets a line for each server that is not reached.

    Replies are always decoded afresh: who gets one may change it.
    """

    def __init__(
        self,
        members: Callable[[], Iterable[Member]],
        pool: Connections,
        rng: Random,
        *,
        log: Callable[[str, str], None] = lambda _level, _text: None,
        metrics: Measures = NOTHING,
    ) -> None:
        self._metrics = metrics
        self._members = members
        self._pool = pool
        self._rng = rng
        self._log = log
        #: By datacenter: the server that failed last, which is asked only if there is no other.
        self._failed: dict[str, str] = {}

    def servers(self, datacenter: str) -> list[ServerInfo]:
        """The servers of a datacenter that are alive, in no order."""
        alive = (server_of(member) for member in self._members() if member.status is Status.ALIVE)
        return [server for server in alive if server is not None and server.datacenter == datacenter]

    def call(self, datacenter: str, method: Method, request: Record) -> "Deferred[Any]":
        """The reply of one of its servers. Fails with `RPCError`. Cancelling ends the wait."""
        return Deferred.fromCoroutine(self._call(datacenter, method, request))

    async def _call(self, datacenter: str, method: Method, request: Record) -> Any:
        servers = self.servers(datacenter)
        if not servers:
            raise NoPathToDatacenter
        self._metrics.incr("rpc.cross-dc", 1, {"datacenter": datacenter})
        others = [server for server in servers if server.name != self._failed.get(datacenter)]
        server = self._rng.choice(others or servers)
        try:
            return reply_of(method.reply, await self._pool.call(server, method.name, request.pack()))
        except WireError as error:
            raise RPCError(f"rpc error making call: codec.decoder: {error}") from None
        except RPCError as error:
            if was_not_sent(str(error)):  # the others' texts are answers to this call, not faults of that server
                self._failed[datacenter] = server.name
                self._log("warn", f"datacenter {datacenter} cannot be reached through {server.name}: {error}")
            raise
