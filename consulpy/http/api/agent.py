"""What the HTTP API needs of the agent that it belongs to."""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from consulpy.clock import Clock, Turn
from consulpy.http.api.write_limits import WriteLimits
from consulpy.local.access import AgentAccess
from consulpy.local.state import LocalState
from consulpy.local.user_events import UserEvents
from consulpy.metrics.registry import Registry
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.caller import Caller
from consulpy.rpc.snapshot_messages import SnapshotRequest
from consulpy.serf.machine import Serf
from consulpy.structs.options import QueryMeta


class AgentInterface(Protocol):
    """The agent as the routes see it (`consulpy.agent.Agent`)."""

    datacenter: str
    node_name: str
    metrics: Registry
    clock: Clock
    #: The reactor's turn that is under way.
    turn: Turn
    limits: WriteLimits
    #: Whether addresses of other datacenters are those for the WAN.
    translate_wan_addrs: bool
    #: Whether `/v1/agent/metrics?format=prometheus` was switched on.
    prometheus_enabled: bool

    @property
    def caller(self) -> Caller:
        """Makes the calls."""

    @property
    def access(self) -> AgentAccess:
        """Who may use the agent's own endpoints, and the agent's own tokens."""

    @property
    def agent_cache(self) -> AgentCache:
        """The cache of `?cached`, and of stale reads on a client agent."""

    @property
    def local(self) -> LocalState:
        """The services and checks of the agent."""

    @property
    def events(self) -> UserEvents:
        """The user events that were heard."""

    @property
    def dns_domain(self) -> str:
        """The domain under which services have names ("consul.")."""

    @property
    def discovery_max_stale_ns(self) -> int:
        """How stale a read of catalog or health may be that says nothing about it; 0: not at all."""

    @property
    def lan(self) -> Serf:
        """The LAN pool."""

    @property
    def wan(self) -> Serf | None:
        """The WAN pool of a server."""

    def join(self, addresses: list[str], wan: bool) -> "Deferred[int]":
        """Join a pool; how many addresses worked. Fails with `RPCError`."""

    def leave(self) -> "Deferred[None]":
        """Leave gracefully; the program ends soon after."""

    def force_leave(self, name: str, prune: bool) -> None:
        """Make a failed member a left one. Raises `RPCError` for a name that nobody has."""

    def reload(self) -> "Deferred[None]":
        """Read the configuration again. Fails with `RPCError` and changes nothing if it is wrong."""

    def snapshot(self, request: SnapshotRequest, data: bytes) -> "Deferred[tuple[QueryMeta, bytes]]":
        """Have the servers save (the archive is the result) or restore `data`. Fails with `RPCError`."""

    def self_report(self) -> dict[str, Any]:
        """`/v1/agent/self`."""

    def host_report(self) -> dict[str, Any]:
        """`/v1/agent/host`."""

    def timeline(self, name: str) -> list[dict[str, Any]] | None:
        """What was seen of a member; None for one never heard of."""

    def monitor(self, level: str, as_json: bool, write: Callable[[str], None]) -> Callable[[], None]:
        """Stream log lines until what is returned is called. KeyError for an unknown level."""

    def keyring(self, operation: str, key: str, relay_factor: int) -> "Deferred[list[dict[str, Any]]]":
        """List, install, use or remove a gossip key in all pools. Fails with `RPCError`."""
