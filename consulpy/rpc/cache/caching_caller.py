"""Caller of a client agent: reads of a client agent's DNS and HTTP API that are served from the agent cache.

Reads of catalog and health that allow a stale reply are served from `AgentCache` from their second time on, or from the
first if they ask for the cache (`dns_config.use_cache`); all others go to a server. A read that limits its staleness
(`?max_stale`, `discovery_max_stale`, `dns_config.max_stale`) gets nothing older while a server can be reached. A client
that wrote through this agent reads what it wrote.
"""

from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.codec.record import Record
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.caller import Caller
from consulpy.rpc.dependencies import DependencySet
from consulpy.structs.requests import Read

#: Methods that are cached: blocking reads of many clients.
CACHED: Final = frozenset(
    {
        "Catalog.ListNodes",
        "Catalog.ListServices",
        "Catalog.NodeServices",
        "Catalog.ServiceNodes",
        "Health.ChecksInState",
        "Health.NodeChecks",
        "Health.ServiceChecks",
        "Health.ServiceNodes",
    }
)


class CachingCaller:
    """Serves calls from `agent_cache` where that is allowed.

    Only of `datacenter`, as others' replies may be changed.
    """

    def __init__(self, caller: Caller, agent_cache: AgentCache, datacenter: str) -> None:
        self._caller = caller
        self._agent_cache = agent_cache
        self._datacenter = datacenter

    def call(self, method: str, request: Record, dependencies: DependencySet | None = None) -> "Deferred[Any]":
        """See `Caller.call`."""
        if method in CACHED and isinstance(request, Read):
            options = request.options
            if options.allow_stale and request.datacenter == self._datacenter:
                return Deferred.fromCoroutine(self._read(method, request))
        return self._caller.call(method, request, dependencies)

    async def _read(self, method: str, request: Read) -> Any:
        return (await self._agent_cache.read(method, request, cache_first=request.options.use_cache)).reply
