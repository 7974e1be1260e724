"""`CopyingCaller`: what a client agent's doors read through, so that repeated questions don't cross the network.

Reads of catalog and health that take a stale answer are answered from `AgentCache` once they were asked twice, or at once
if they ask for the cache (`dns_config.use_cache`); all else goes to a server. A read that names the most that it may be
stale (`?max_stale`, `discovery_max_stale`, `dns_config.max_stale`) gets nothing older while a server can be reached.
Who wrote through this agent reads that.
"""

from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.codec.record import Record
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.call import Caller
from consulpy.structs.requests import Read

#: Reads whose servers say when their answer changes, and which many ask.
COPIED: Final = frozenset(
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


class CopyingCaller:
    """Calls, answered from `copies` where that is allowed. Only of `datacenter`: others' replies may be changed."""

    def __init__(self, caller: Caller, copies: AgentCache, datacenter: str) -> None:
        self._caller = caller
        self._copies = copies
        self._datacenter = datacenter

    def call(self, method: str, request: Record) -> "Deferred[Any]":
        """See `Caller.call`."""
        if method in COPIED and isinstance(request, Read):
            options = request.options
            if options.allow_stale and request.datacenter == self._datacenter:
                return Deferred.fromCoroutine(self._copy(method, request))
        return self._caller.call(method, request)

    async def _copy(self, method: str, request: Read) -> Any:
        return (await self._copies.read(method, request, keep_first=request.options.use_cache)).reply
