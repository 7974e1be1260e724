"""The agent cache as `?cached` reads it: replies by the rights of the token, and the list of datacenters."""

from collections.abc import Hashable
from typing import Final, Protocol

from consulpy.clock import Clock
from consulpy.rpc.cache.agent_cache import AgentCache, CacheResult, RightsChanged
from consulpy.rpc.caller import Caller
from consulpy.structs.requests import DatacentersRequest, Read

#: How long the list of datacenters is cached, in seconds; nothing refreshes it.
DATACENTERS_S: Final = 60.0
#: How often a read is repeated as rights changed meanwhile; then a server is asked.
TRIES: Final = 3


class Access(Protocol):
    """The rights of tokens on this agent (`consulpy.local.access.AgentAccess`)."""

    @property
    def is_on(self) -> bool:
        """Whether access control is enabled."""

    async def rights(self, secret: str) -> Hashable:
        """Equal while a token has the same rights. Raises `RPCError`."""


class AuthorizedCache:
    """Cached reads of one agent."""

    def __init__(self, agent_cache: AgentCache, caller: Caller, clock: Clock, access: Access) -> None:
        self._access = access
        self._agent_cache = agent_cache
        self._caller = caller
        self._clock = clock
        self._datacenters: tuple[float, list[str]] | None = None

    async def read(self, method: str, request: Read) -> CacheResult:
        """The reply to a read, cached from now on. Raises `RPCError`.

        With access control an entry is valid for the rights that it was read with, as far as this agent knows them;
        they are checked again after a wait.
        """
        if not self._access.is_on:
            return await self._agent_cache.read(method, request)
        for _ in range(TRIES):
            rights = await self._access.rights(request.options.token)
            try:
                result = await self._agent_cache.read(method, request, rights=rights)
            except RightsChanged:
                continue
            if await self._access.rights(request.options.token) == rights:
                return result
        return CacheResult(await self._caller.call(method, request), hit=False)

    async def datacenters(self, *, must_revalidate: bool = False) -> tuple[list[str], float | None]:
        """The names of all datacenters, and their age in seconds; None for a miss."""
        now_s = self._clock.seconds()
        if not must_revalidate and self._datacenters is not None and now_s - self._datacenters[0] < DATACENTERS_S:
            return self._datacenters[1], now_s - self._datacenters[0]
        names = await self._caller.call("Catalog.ListDatacenters", DatacentersRequest())
        self._datacenters = now_s, names
        return names, None
