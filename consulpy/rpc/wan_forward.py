"""Forwarding of calls to other datacenters, to a server that is alive in the WAN pool.

There is one attempt; a repeated call goes to another server (docs/wire/rpc.md 8). A datacenter without live servers is
treated like an unknown one.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from consulpy.codec.record import Record
from consulpy.errors import NoPathToDatacenter, RPCError, WireError
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.rpc.call import Connections, was_not_sent
from consulpy.rpc.limits.rate_limit import is_limited_by_server
from consulpy.rpc.limits.reply_timeout import ReplyTimeout
from consulpy.rpc.messages import reply_of
from consulpy.rpc.methods import Method
from consulpy.rpc.server_metadata import ServerInfo, server_of
from consulpy.serf.members import Member, Status


class DatacenterForwarder:
    """Calls servers of other datacenters. `members()`: of the WAN pool. `log(level, text)`: unreachable servers.

    `timeout`: limits the time of replies; None: any time. Each reply is decoded for one caller, who may change it.
    """

    def __init__(
        self,
        members: Callable[[], Iterable[Member]],
        pool: Connections,
        rng: Random,
        *,
        log: Callable[[str, str], None] = lambda _level, _text: None,
        metrics: Measures = NOTHING,
        timeout: ReplyTimeout | None = None,
    ) -> None:
        self._timeout = timeout
        self._metrics = metrics
        self._members = members
        self._pool = pool
        self._rng = rng
        self._log = log
        #: By datacenter: the server that failed last; called only if there is no other.
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
            reply = self._pool.call(server, method.name, request.pack())
            return reply_of(method.reply, await (self._timeout.limit(reply, request) if self._timeout else reply))
        except WireError as error:
            raise RPCError(f"rpc error making call: codec.decoder: {error}") from None
        except RPCError as error:
            if is_limited_by_server(str(error)):
                self._failed[datacenter] = server.name
            elif was_not_sent(str(error)):  # any other error is a reply to this call, not a failure of the server
                self._failed[datacenter] = server.name
                self._log("warn", f"datacenter {datacenter} cannot be reached through {server.name}: {error}")
            raise
