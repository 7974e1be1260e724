"""What `?cached` reads: copies of replies (`consulpy.rpc.cache.agent_cache`), and the list of datacenters."""

from typing import Final

from consulpy.clock import Clock
from consulpy.local.access import AgentAccess
from consulpy.rpc.cache.agent_cache import AgentCache, CacheResult
from consulpy.rpc.call import Caller
from consulpy.structs.requests import DatacentersRequest, Read

#: How long the list of datacenters is kept, in seconds; nothing refreshes it.
DATACENTERS_S: Final = 60.0


class ReplyCache:
    """The kept answers of one agent."""

    def __init__(self, copies: AgentCache, caller: Caller, clock: Clock, access: AgentAccess) -> None:
        self._access = access
        self._copies = copies
        self._caller = caller
        self._clock = clock
        self._datacenters: tuple[float, list[str]] | None = None

    async def read(self, method: str, request: Read) -> CacheResult:
        """The answer to a read, kept from now on. Raises `RPCError`.

        With access control it is only for those who have the rights that it was made with, as far as this agent knows
        them; a reader who waited is judged again.
        """
        if not self._access.is_on:
            return await self._copies.read(method, request)
        rights = await self._access.rights(request.options.token)
        found = await self._copies.read(method, request, rights=rights)
        now = await self._access.rights(request.options.token)
        return found if now == rights else await self._copies.read(method, request, rights=now)

    async def datacenters(self) -> tuple[list[str], float | None]:
        """The names of all datacenters, and their age in seconds if they were kept."""
        now_s = self._clock.seconds()
        if self._datacenters is not None and now_s - self._datacenters[0] < DATACENTERS_S:
            return self._datacenters[1], now_s - self._datacenters[0]
        found = await self._caller.call("Catalog.ListDatacenters", DatacentersRequest())
        self._datacenters = now_s, found
        return found, None
