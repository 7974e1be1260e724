"""The `consul` of a test: what it registers, writes and reads, whatever agent is behind it."""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import urlsplit

from consulpy.testing.backends import Address, Backend, start_in_process
from consulpy.testing.operations import ServiceSettings

if TYPE_CHECKING:
    from consulpy.agent.embedded import Agent, Ports


class Facts:
    """Where an agent is."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    @property
    def url(self) -> str:
        """The base of HTTP URLs, without a slash at its end."""
        return self.backend.url

    @property
    def dns(self) -> Address:
        """Where DNS answers, by UDP and TCP. Raises `RuntimeError` where it does not."""
        address = self.backend.dns
        if address is None:
            raise RuntimeError("this agent has no DNS port, or it is not known")
        return address

    @property
    def env(self) -> dict[str, str]:
        """The environment in which Consul's clients find the agent."""
        parts = urlsplit(self.url)
        return {"CONSUL_HTTP_ADDR": parts.netloc if parts.scheme == "http" else self.url}

    @property
    def agent(self) -> "Agent | None":
        """The agent; None if it is another process."""
        return self.backend.agent


class KV(MutableMapping[str, bytes]):
    """The keys of an agent's datacenter. A text that is assigned is written as UTF-8."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getitem__(self, key: str) -> bytes:
        found: bytes = self._backend.run(lambda operations: operations.read_key(key))
        return found

    def __setitem__(self, key: str, value: bytes | str) -> None:
        self._backend.run(lambda operations: operations.write_key(key, value))

    def __delitem__(self, key: str) -> None:
        self._backend.run(lambda operations: operations.delete_key(key))

    def __iter__(self) -> Iterator[str]:
        keys: list[str] = self._backend.run(lambda operations: operations.list_keys())
        return iter(keys)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def clear(self) -> None:
        """Remove all keys."""
        self._backend.run(lambda operations: operations.delete_all_keys())

    def __repr__(self) -> str:
        return f"<KV {list(self)}>"


class Consul(Facts):
    """An agent, for plain code."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        #: The keys, as a mapping of `str` to `bytes`.
        self.kv = KV(backend)

    def register(self, name: str, **service: Unpack[ServiceSettings]) -> None:
        """Register a service of this agent; it is in the catalog when this returns.

        `service`: id, port, address, tags, meta and check. Raises `ValueError`, `TypeError`, `RequestFailed`.
        """
        self.backend.run(lambda operations: operations.register(name, **service))

    def deregister(self, id: str) -> None:  # noqa: A002 - the API's word
        """Remove a service of this agent, also from the catalog. KeyError for an unknown id."""
        self.backend.run(lambda operations: operations.deregister(id))

    def services(self) -> dict[str, list[str]]:
        """The services of the catalog, each with all its tags."""
        found: dict[str, list[str]] = self.backend.run(lambda operations: operations.catalog())
        return found

    def members(self) -> dict[str, str]:
        """The members that this agent knows, each with its state: alive, leaving, left or failed."""
        found: dict[str, str] = self.backend.run(lambda operations: operations.members())
        return found

    def reset(self) -> None:
        """As new: no keys, services, checks, sessions, queries, foreign nodes, config entries or tokens."""
        self.backend.run(self.backend.reset())

    def __repr__(self) -> str:
        return f"<Consul {self.url}>"


@contextmanager
def run_agent(
    *, server: bool = True, ports: "Ports" = "ephemeral", config: Mapping[str, Any] | None = None
) -> Iterator[Consul]:
    """An agent in this process while the block runs: `with run_agent() as consul`.

    The arguments are those of `consulpy.agent.Agent.create`; a server on free ports unless they say otherwise. Raises
    `ConfigError`.
    """
    backend = start_in_process(server=server, ports=ports, config=config)
    try:
        yield Consul(backend)
    finally:
        backend.close()
