"""The interface of the certificate authority for a server's RPC methods, and of the server for the authority."""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from consulpy.clock import Clock
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.state.commands import Command
from consulpy.state.store import Store
from consulpy.structs.connect_ca import CARequest, IssuedCert


@dataclass(frozen=True, slots=True)
class TlsOfServers:
    """TLS settings that an agent gets beside its certificate: the CA certificates of the servers' files, in PEM."""

    manual_roots: list[str]
    verify_server_hostname: bool
    #: The names of servers, which no agent may have: `server.DATACENTER.DOMAIN`.
    domain: str


class CertificateAuthority(Protocol):
    """The CA of a datacenter (`consulpy.rpc.connect.authority`). All of it works on the leader only."""

    async def initialize(self) -> None:
        """Write what the state of a new leader lacks. Raises `RPCError`."""

    async def configure(self, request: CARequest) -> None:
        """ConnectCA.ConfigurationSet: replace the configuration, rotate the root if it changes. Raises `RPCError`."""

    async def sign(self, csr: str, may_sign: Callable[[Any], None]) -> IssuedCert:
        """A leaf certificate. `may_sign(identity)` raises `RPCError` if the caller may not have it."""

    async def follow(self) -> None:
        """In a secondary datacenter: follow the primary one, until it is cancelled."""

    async def prune(self) -> None:
        """Remove roots that were rotated out long ago. Raises `RPCError`."""

    async def rotate_on_schedule(self) -> None:
        """Make a new root if the active one is older than the configured period. Raises `RPCError`."""

    def agent_names(self, csr: str) -> list[str]:
        """The DNS names that a request of an agent is for. Raises `RPCError` if it is not for an agent."""

    async def sign_intermediate(self, csr: str) -> str:
        """A certificate for the signing key of another datacenter, in PEM. Raises `RPCError`."""


class AuthorityHost(Protocol):
    """The part of a server that the authority uses (`consulpy.rpc.server.Server`)."""

    datacenter: str
    clock: Clock
    wall_s: Callable[[], float]
    in_thread: Callable[[Callable[[], Any]], "Deferred[Any]"]

    @property
    def store(self) -> Store:
        """The current state."""

    def submit(self, command: Command) -> "Deferred[Any]":
        """Store and apply a change; fires with its result. Fails with `RPCError`."""
