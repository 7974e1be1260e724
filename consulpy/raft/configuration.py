"""The servers of a quorum, and how their list may change: one server at a time (hashicorp/raft configuration.go)."""

from collections.abc import Iterable
from typing import Final, Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack
from consulpy.codec.record import Record, go
from consulpy.errors import RPCError

VOTER: Final = 0
NONVOTER: Final = 1
STAGING: Final = 2


@dataclass(slots=True, eq=True)
class Server(Record):
    """A member of the quorum. `suffrage`: `VOTER`, `NONVOTER`, or `STAGING` (never written, treated as no voter)."""

    address: str = ""
    id: str = go("ID", default="")
    suffrage: int = VOTER

    @property
    def is_voter(self) -> bool:
        """Whether its vote and its log count."""
        return self.suffrage == VOTER


class ConfigurationError(RPCError):
    """A change of the configuration that must not be made."""


@dataclass(slots=True, eq=True)
class Configuration(Record):
    """All servers, in the order in which they were added. Never changed in place."""

    servers: list[Server] = go(default_factory=list)

    @classmethod
    def of(cls, servers: Iterable[Server]) -> Self:
        """A checked configuration. Raises `ConfigurationError`."""
        configuration = cls(list(servers))
        configuration.check()
        return configuration

    @property
    def voters(self) -> list[Server]:
        """The servers whose votes count."""
        return [server for server in self.servers if server.suffrage == VOTER]

    @property
    def majority(self) -> int:
        """Number of voters that form a majority."""
        return len(self.voters) // 2 + 1

    def server(self, server_id: str) -> Server | None:
        """The server with this id."""
        return next((server for server in self.servers if server.id == server_id), None)

    def is_voter(self, server_id: str) -> bool:
        """Whether the server with this id votes."""
        server = self.server(server_id)
        return server is not None and server.is_voter

    def check(self) -> None:
        """Raises `ConfigurationError` without a voter, or when an id or address is empty or there twice."""
        ids: set[str] = set()
        addresses: set[str] = set()
        for server in self.servers:
            if not server.id:
                raise ConfigurationError(f"empty ID in configuration: {self}")
            if not server.address:
                raise ConfigurationError(f"empty address in configuration: {self}")
            if server.id in ids:
                raise ConfigurationError(f"found duplicate ID in configuration: {server.id}")
            if server.address in addresses:
                raise ConfigurationError(f"found duplicate address in configuration: {server.address}")
            ids.add(server.id)
            addresses.add(server.address)
        if not self.voters:
            raise ConfigurationError("need at least one voter in configuration")

    def with_voter(self, server_id: str, address: str) -> "Configuration":
        """A copy with this server as a voter, in its old place if it is known. Raises `ConfigurationError`."""
        return self._with(Server(address, server_id, VOTER))

    def with_nonvoter(self, server_id: str, address: str) -> "Configuration":
        """A copy with this server, which stays a voter if it is one. Raises `ConfigurationError`."""
        return self._with(Server(address, server_id, VOTER if self.is_voter(server_id) else NONVOTER))

    def without(self, server_id: str) -> "Configuration":
        """Without this server. Raises `ConfigurationError`."""
        return Configuration.of(server for server in self.servers if server.id != server_id)

    def _with(self, new: Server) -> "Configuration":
        if self.server(new.id) is None:
            return Configuration.of([*self.servers, new])
        return Configuration.of(new if server.id == new.id else server for server in self.servers)

    def pack_peers(self) -> bytes:
        """The addresses of all servers with a vote, as older protocols have them."""
        return pack([server.address for server in self.voters])


class Configurations:
    """The newest configuration of the log, which decides from the moment it is appended, and the last committed one."""

    def __init__(self) -> None:
        self.latest = self.committed = Configuration()
        self.latest_index = self.committed_index = 0

    @property
    def is_stable(self) -> bool:
        """Whether the newest one is committed."""
        return self.latest_index == self.committed_index

    def appended(self, configuration: Configuration, index: int) -> None:
        """A configuration entry was appended. The one before it is committed: only then may another one be written."""
        self.committed, self.committed_index = self.latest, self.latest_index
        self.latest, self.latest_index = configuration, index

    def truncated(self, index: int) -> None:
        """The log was cut from `index` on."""
        if self.latest_index >= index:
            self.latest, self.latest_index = self.committed, self.committed_index

    def commit(self, index: int) -> bool:
        """Commit up to `index`; returns whether a configuration was among the entries."""
        if not self.committed_index < self.latest_index <= index:
            return False
        self.committed, self.committed_index = self.latest, self.latest_index
        return True

    def replace(self, configuration: Configuration, index: int) -> None:
        """A snapshot contained this one."""
        self.latest = self.committed = configuration
        self.latest_index = self.committed_index = index
