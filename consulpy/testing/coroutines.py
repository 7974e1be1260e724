"""`agent()`: an agent for tests that are coroutines, of asyncio or of Twisted."""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from consulpy.testing.backends import InProcess, management_token, with_quick_settings
from consulpy.testing.consul import Facts
from consulpy.testing.operations import ServiceSettings

if TYPE_CHECKING:
    from consulpy.agent.embedded import Ports


class AsyncConsul(Facts):
    """An agent, for coroutines. `kv`: through `get`, `put`, `delete`, `keys`."""

    async def register(self, name: str, **service: Unpack[ServiceSettings]) -> None:
        """See `consulpy.testing.consul.Consul.register`."""
        await self.backend.begin(lambda operations: operations.register(name, **service))

    async def deregister(self, id: str) -> None:  # noqa: A002 - the API's word
        """See `consulpy.testing.consul.Consul.deregister`."""
        await self.backend.begin(lambda operations: operations.deregister(id))

    async def services(self) -> dict[str, list[str]]:
        """See `consulpy.testing.consul.Consul.services`."""
        found: dict[str, list[str]] = await self.backend.begin(lambda operations: operations.catalog())
        return found

    async def members(self) -> dict[str, str]:
        """See `consulpy.testing.consul.Consul.members`."""
        found: dict[str, str] = await self.backend.begin(lambda operations: operations.members())
        return found

    async def get(self, key: str) -> bytes:
        """The value of a key. KeyError if it is not there."""
        found: bytes = await self.backend.begin(lambda operations: operations.read_key(key))
        return found

    async def put(self, key: str, value: bytes | str) -> None:
        """Write a key; a text is written as UTF-8."""
        await self.backend.begin(lambda operations: operations.write_key(key, value))

    async def delete(self, key: str) -> None:
        """Remove a key. KeyError if it is not there."""
        await self.backend.begin(lambda operations: operations.delete_key(key))

    async def keys(self) -> list[str]:
        """All keys, in order."""
        found: list[str] = await self.backend.begin(lambda operations: operations.list_keys())
        return found

    async def reset(self) -> None:
        """See `consulpy.testing.consul.Consul.reset`."""
        await self.backend.begin(self.backend.reset())


class agent:  # noqa: N801 - used as a function: `async with agent()`
    """An agent in this process while the block runs: `async with agent() as consul`.

    The arguments are those of `consulpy.agent.Agent.create`; a server on free ports unless they say otherwise.
    """

    def __init__(
        self, *, server: bool = True, ports: "Ports" = "ephemeral", config: Mapping[str, Any] | None = None
    ) -> None:
        self._server = server
        self._ports = ports
        self._config = config
        self._backend: InProcess | None = None

    async def __aenter__(self) -> AsyncConsul:
        from consulpy.agent.embedded import Agent
        from consulpy.testing.reactors import awaitable, coroutine_loop

        loop = coroutine_loop()
        made = Agent.create(
            loop.reactor, server=self._server, ports=self._ports, config=with_quick_settings(self._config)
        )
        await awaitable(loop, made.start)
        self._backend = InProcess(loop.reactor, made, management_token(self._config))
        return AsyncConsul(self._backend)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from consulpy.testing.reactors import awaitable, coroutine_loop

        backend, self._backend = self._backend, None
        assert backend is not None
        assert backend.agent is not None
        await awaitable(coroutine_loop(), backend.agent.stop)
