"""What alias checks look at: this agent's own tables, or another node's part of the catalog.

Given to `consulpy.checks.runner.Runner`, which knows nothing of either (`checks.alias.AliasSource`).
"""

from collections.abc import Callable, Iterable
from typing import Final

from twisted.internet.defer import Deferred

from consulpy.local.sync.sync_state import Entries
from consulpy.rpc.caller import Caller
from consulpy.state.watch import WatchSet
from consulpy.structs.check import HealthCheck
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import HealthChecksReply, NodeRequest, NodeServicesReply

#: How long a query of another node may block, in nanoseconds.
WAIT_NS: Final = 60_000_000_000


class Aliases:
    """`entries`: of this agent. `caller`: asks the servers about other nodes."""

    def __init__(self, entries: Entries, caller: Caller, token: Callable[[], str] = lambda: "") -> None:
        self._entries = entries
        self._caller = caller
        self._token = token

    @property
    def node_name(self) -> str:
        """The name of this agent."""
        return self._entries.node.node

    def local_checks(self) -> Iterable[HealthCheck]:
        """All checks of this agent."""
        return self._entries.live_checks().values()

    def has_local_service(self, service_id: str) -> bool:
        """Whether this agent has the service."""
        return self._entries.service(service_id) is not None

    def watch_local(self, service_id: str, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` once, at the next change of the service or any check; the result cancels it."""
        watch = WatchSet()
        watch.add("checks", ("service", service_id))
        return self._entries.watchers.wait(watch, call).cancel

    def remote_node(self, node: str, index: int) -> Deferred[tuple[int, list[HealthCheck], set[str] | None]]:
        """(index, checks, ids of services) of another node, None for the ids if there is no such node.

        Blocks until its index passes `index`.
        """
        return Deferred.fromCoroutine(self._remote_node(node, index))

    async def _remote_node(self, node: str, index: int) -> tuple[int, list[HealthCheck], set[str] | None]:
        checks: HealthChecksReply = await self._caller.call("Health.NodeChecks", self._read(node, index))
        services: NodeServicesReply = await self._caller.call("Catalog.NodeServices", self._read(node, 0))
        found = services.node_services
        known = None if found is None or found.node is None else set(found.services or ())
        return checks.meta.index, checks.health_checks or [], known

    def _read(self, node: str, index: int) -> NodeRequest:
        options = QueryOptions(
            token=self._token(), min_query_index=index, max_query_time=WAIT_NS if index else 0, allow_stale=True
        )
        return NodeRequest(datacenter=self._entries.node.datacenter, node=node, options=options)
