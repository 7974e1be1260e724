"""The interface of the agent for the HTTP API."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from consulpy.clock import Clock, Turn
from consulpy.http.api.write_limits import WriteLimits
from consulpy.local.access import AgentAccess
from consulpy.local.state import LocalState
from consulpy.local.user_events import UserEvents
from consulpy.memberlist.timeline import Timeline
from consulpy.metrics.registry import Registry
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.caller import Caller
from consulpy.rpc.limits.time_slice import TimeSlicer
from consulpy.rpc.snapshot_messages import SnapshotRequest
from consulpy.rpc.spool_file import SnapshotResult, Spool
from consulpy.serf.machine import Serf

if TYPE_CHECKING:
    from consulpy.local.leaf_certificates import LeafCertificates


class AgentInterface(Protocol):
    """The agent as routes use it (`consulpy.agent.agent.Agent`)."""

    datacenter: str
    node_name: str
    metrics: Registry
    clock: Clock
    #: The current turn of the reactor.
    turn: Turn
    #: Blocked requests to the agent's own endpoints that a change has woken.
    woken: TimeSlicer
    limits: WriteLimits
    #: `translate_wan_addrs`: whether replies of other datacenters have WAN addresses.
    translate_wan_addrs: bool
    #: Whether `/v1/agent/metrics?format=prometheus` is enabled.
    prometheus_enabled: bool
    #: Whether JSON is written with indents without `?pretty`, as real Consul's `-dev` does.
    indents_json: bool

    @property
    def caller(self) -> Caller:
        """The caller of all RPC methods."""

    @property
    def access(self) -> AgentAccess:
        """Identities and rights on the agent's own endpoints, and its own tokens."""

    @property
    def agent_cache(self) -> AgentCache:
        """The cache of `?cached`, and of stale reads on a client agent."""

    @property
    def leaf_certificates(self) -> "LeafCertificates":
        """The leaf certificates of the services of the agent."""

    @property
    def local(self) -> LocalState:
        """The services and checks of the agent."""

    @property
    def events(self) -> UserEvents:
        """The user events that were received."""

    @property
    def dns_domain(self) -> str:
        """The domain under which services have names ("consul.")."""

    @property
    def discovery_max_stale_ns(self) -> int:
        """`discovery_max_stale` in nanoseconds; 0: such reads are not stale."""

    @property
    def lan(self) -> Serf:
        """The LAN pool."""

    @property
    def wan(self) -> Serf | None:
        """The WAN pool of a server."""

    def join(self, addresses: list[str], wan: bool) -> "Deferred[int]":
        """Join a pool; the number of addresses that were reached. Fails with `RPCError`."""

    def leave(self) -> "Deferred[None]":
        """Leave gracefully; then the program ends."""

    def force_leave(self, name: str, prune: bool) -> None:
        """Set a failed member to left; `prune`: remove it. Raises `RPCError` for an unknown name."""

    def force_leave_wan(self, name: str, prune: bool) -> None:
        """The same for a server in the WAN pool only (NODE.DATACENTER)."""

    def reload(self) -> "Deferred[None]":
        """Reload the configuration. Fails with `RPCError` and changes nothing if it is invalid."""

    def snapshot(self, request: SnapshotRequest, data: Spool | None) -> "Deferred[SnapshotResult]":
        """Have the servers save (the archive is the result) or restore `data`. Fails with `RPCError`."""

    def self_report(self) -> dict[str, Any]:
        """`/v1/agent/self`."""

    def host_report(self) -> dict[str, Any]:
        """`/v1/agent/host`."""

    def timeline(self, name: str) -> list[dict[str, Any]] | None:
        """The membership events of a member; None for an unknown one."""

    def latest_changes(self, most: int) -> list[dict[str, Any]]:
        """The newest event of each of the members that changed last."""

    def changes(self, name: str) -> Timeline:
        """The history in which a member's changes are."""

    def why(self, name: str) -> "Deferred[dict[str, Any]]":
        """The verdict about a member that has a timeline."""

    def doctor(self, target: str) -> "Deferred[list[dict[str, Any]]]":
        """The findings about the agent and its cluster, or about a join to `target`."""

    def monitor(self, level: str, as_json: bool, write: Callable[[str], None]) -> Callable[[], None]:
        """Stream log lines until what is returned is called. KeyError for an unknown level."""
