"""The source of alias checks: this agent's local state, or the catalog for another node.

Implements `consulpy.checks.alias.AliasSource`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from twisted.internet.defer import Deferred

from consulpy.local.sync.sync_state import Entries
from consulpy.rpc.caller import Caller
from consulpy.state.watch import WatchSet
from consulpy.structs.check import HealthCheck
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import HealthChecksReply, NodeRequest, NodeServicesReply

#: Longest wait of a blocking query of another node, in nanoseconds.
WAIT_NS: Final = 60_000_000_000


class Aliases:
    """`entries`: of this agent. `caller`: to the servers, for other nodes.

    `default_token(from_file)`: the ACL token of checks registered without one, in a file or over HTTP. The agent's own
    token would show what the check's may not read.
    """

    def __init__(
        self, entries: Entries, caller: Caller, default_token: Callable[[bool], str] = lambda _from_file: ""
    ) -> None:
        self._entries = entries
        self._caller = caller
        self._default_token = default_token

    @property
    def node_name(self) -> str:
        """See `AliasSource.node_name`."""
        return self._entries.node.node

    def local_checks(self) -> Iterable[HealthCheck]:
        """See `AliasSource.local_checks`. All alias checks have that type, for others to tell them."""
        for entry in self._entries.checks.values():
            if not entry.deleted:
                yield replace(entry.check, type="alias") if entry.is_alias else entry.check

    def has_local_service(self, service_id: str) -> bool:
        """See `AliasSource.has_local_service`."""
        return self._entries.service(service_id) is not None

    def watch_local(self, service_id: str, call: Callable[[], None]) -> Callable[[], None]:
        """See `AliasSource.watch_local`."""
        watch = WatchSet()
        watch.add("checks", ("service", service_id))
        return self._entries.watchers.wait(watch, call).cancel

    def remote_node(
        self, check_id: str, node: str, index: int
    ) -> Deferred[tuple[int, list[HealthCheck], set[str] | None]]:
        """See `AliasSource.remote_node`."""
        return Deferred.fromCoroutine(self._remote_node(check_id, node, index))

    async def _remote_node(
        self, check_id: str, node: str, index: int
    ) -> tuple[int, list[HealthCheck], set[str] | None]:
        token = self._token_of(check_id)
        checks: HealthChecksReply = await self._caller.call("Health.NodeChecks", self._read(node, index, token))
        services: NodeServicesReply = await self._caller.call("Catalog.NodeServices", self._read(node, 0, token))
        found = services.node_services
        known = None if found is None or found.node is None else set(found.services or ())
        return checks.meta.index, checks.health_checks or [], known

    def _token_of(self, check_id: str) -> str:
        entry = self._entries.checks.get(check_id)
        return "" if entry is None else entry.token or self._default_token(entry.from_file)

    def _read(self, node: str, index: int, token: str) -> NodeRequest:
        options = QueryOptions(
            token=token, min_query_index=index, max_query_time=WAIT_NS if index else 0, allow_stale=True
        )
        return NodeRequest(datacenter=self._entries.node.datacenter, node=node, options=options)
