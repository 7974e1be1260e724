"""The router of a client agent: the list of servers, from gossip; calls go to the first one (docs/wire/rpc.md 8).

A server that fails a call moves to the end. The list is shuffled at intervals, so that clients spread over the servers;
the first server of the new order that answers a ping becomes the first.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.rpc.server_metadata import ServerInfo, server_of
from consulpy.serf.events import Event, MemberEvent, MemberEventKind

#: The shortest interval between two rebalances, and the maximum of its random part, in seconds.
REBALANCE_INTERVAL_S: Final = 120.0
REBALANCE_JITTER_S: Final = 60.0
#: Connections per second and server that the whole cluster opens by rebalancing, at most.
RECONNECTS_PER_SERVER_S: Final = 64.0

#: Calls Status.Ping of a server.
Ping = Callable[[ServerInfo], "Deferred[Any]"]


class Router:
    """The servers of the agent's datacenter, in the order of preference.

    `ping(server)`: calls Status.Ping. `cluster_size()`: number of members of the LAN pool.
    `log(level, text)`.
    """

    def __init__(
        self,
        datacenter: str,
        clock: Clock,
        rng: Random,
        ping: Ping,
        cluster_size: Callable[[], int],
        *,
        log: Callable[[str, str], None] = lambda _level, _text: None,
    ) -> None:
        self._datacenter = datacenter
        self._clock = clock
        self._rng = rng
        self._ping = ping
        self._cluster_size = cluster_size
        self._log = log
        self._servers: list[ServerInfo] = []
        self._timer: Timer | None = None
        self._pinging: Deferred[Any] | None = None
        self._is_running = False

    @property
    def servers(self) -> tuple[ServerInfo, ...]:
        """All known servers, the preferred one first."""
        return tuple(self._servers)

    def start(self) -> None:
        """Start the rebalance timer."""
        self._is_running = True
        self._timer = self._clock.callLater(REBALANCE_INTERVAL_S, self._rebalance_now)

    def stop(self) -> None:
        """Cancel the rebalance timer and ping."""
        self._is_running = False
        cancel_timer(self._timer)
        pinging, self._pinging = self._pinging, None
        if pinging is not None:
            pinging.cancel()

    def find(self) -> ServerInfo | None:
        """The first server; None if there is none."""
        return self._servers[0] if self._servers else None

    def failed(self, server: ServerInfo) -> None:
        """Move a server that failed a call to the end, if it is the first."""
        if len(self._servers) > 1 and self._servers[0].name == server.name:
            self._servers.append(self._servers.pop(0))
            self._log("debug", f"cycled away from server {server.name}")

    def member_event(self, event: Event) -> bool:
        """Apply a membership event; whether it added a server."""
        if not isinstance(event, MemberEvent):
            return False
        added = False
        for member in event.members:
            server = server_of(member)
            if server is not None and server.datacenter != self._datacenter:
                server = None
            is_here = event.kind in (MemberEventKind.JOIN, MemberEventKind.UPDATE)
            if is_here and server is not None:
                added |= self._put(server)
            else:
                self._remove(member.name)
        return added

    def all_take_coordinates(self) -> bool:
        """Whether there are servers, and all of them support coordinates."""
        return bool(self._servers) and all(server.takes_coordinates for server in self._servers)

    def rebalance(self) -> "Deferred[None]":
        """Shuffle; the first server that answers a ping becomes the first of the list."""
        return Deferred.fromCoroutine(self._rebalance())

    async def _rebalance(self) -> None:
        order = list(self._servers)
        self._rng.shuffle(order)
        for _ in range(len(order)):
            try:
                await self._ping(order[0])
            except Exception as error:
                self._log("debug", f"server {order[0].name} did not answer a ping: {error}")
                order.append(order.pop(0))
            else:
                self._adopt(order)
                return
        if order:
            self._log("debug", "no server answered a ping, the order stays")

    def _adopt(self, order: list[ServerInfo]) -> None:
        """Use the new order, with the changes during the ping; not if the server that answered has left."""
        here = {server.name: server for server in self._servers}
        if order[0].name not in here:
            self._log("debug", f"server {order[0].name} answered a ping and left, the order stays")
            return
        self._log("debug", f"rebalanced {len(here)} servers, the next one to ask is {order[0].name}")
        remaining = [here.pop(server.name) for server in order if server.name in here]
        self._servers = [*remaining, *here.values()]

    def _rebalance_now(self) -> None:
        self._pinging = self.rebalance()
        self._pinging.addErrback(self._rebalance_failed).addBoth(lambda _: self._rebalance_later())

    def _rebalance_failed(self, failure: Failure) -> None:
        if self._is_running:
            self._log("error", f"the servers could not be rebalanced: {failure.value}")

    def _rebalance_later(self) -> None:
        self._pinging = None
        if self._is_running:
            self._timer = self._clock.callLater(self.interval_s(), self._rebalance_now)

    def interval_s(self) -> float:
        """The interval until the next rebalance, in seconds: longer if the cluster is large for its servers."""
        rate = RECONNECTS_PER_SERVER_S * len(self._servers)
        least_s = REBALANCE_INTERVAL_S + self._rng.random() * REBALANCE_JITTER_S
        return max(least_s, self._cluster_size() / rate) if rate else least_s

    def _put(self, server: ServerInfo) -> bool:
        for place, known in enumerate(self._servers):
            if known.name == server.name:
                self._servers[place] = server
                return False
        self._servers.append(server)
        return True

    def _remove(self, name: str) -> None:
        self._servers = [server for server in self._servers if server.name != name]
