"""The parts of an agent, and the views of them that listeners, reports and diagnoses read."""

import os
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock, fail

from consulpy.agent import report, telemetry
from consulpy.agent.build import settings
from consulpy.agent.build.gossip import GossipPool
from consulpy.agent.build.local import LocalParts
from consulpy.agent.build.role import Role
from consulpy.agent.features.flood_join import FloodJoin
from consulpy.agent.features.retry_join import JoinStatus
from consulpy.agent.process import logs
from consulpy.agent.process.monotonic import use_monotonic_time, wall_clock
from consulpy.clock import Turn
from consulpy.config.schema import RuntimeConfig
from consulpy.dns.transport import DnsService
from consulpy.errors import NoServers
from consulpy.http.connection.factory import HttpFactory
from consulpy.http.listener import HttpService
from consulpy.local.access import AgentAccess
from consulpy.local.state import LocalState
from consulpy.local.tokens import AgentTokens
from consulpy.local.user_events import UserEvents
from consulpy.log import current_node
from consulpy.memberlist.timeline import Timeline
from consulpy.metrics.registry import Registry
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.call import ClientCaller, ServerCaller
from consulpy.rpc.caller import Caller
from consulpy.rpc.limits.time_slice import slicer_on
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.router import Router
from consulpy.rpc.server import Server
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.rpc.snapshot_messages import SnapshotRequest
from consulpy.rpc.snapshots import perform
from consulpy.rpc.spool_file import SnapshotResult, Spool
from consulpy.serf.machine import Serf
from consulpy.tls.contexts import Tls

if TYPE_CHECKING:
    from consulpy.agent.build.quorum import QuorumServer
    from consulpy.agent.features.watches import Watches
    from consulpy.local.leaf_certificates import LeafCertificates


class AgentParts:
    """The parts of one agent; `Agent` builds, starts and stops them.

    `reactor`: Twisted's; its timers are made monotonic (`process.monotonic`). `shut_down(status)`: ends the program,
    called after a leave and when joining is given up. `read_config()`: reads the configuration again, for a reload.
    `environment`: where `DOCKER_HOST` is looked up.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        reactor: Any,
        *,
        shut_down: Callable[[int], None] = lambda _status: None,
        read_config: Callable[[], RuntimeConfig] | None = None,
        rng: Random | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.config = config
        self.datacenter = config.datacenter
        self.node_name = config.node_name
        self._reactor = reactor
        self._shut_down = shut_down
        self._rng = rng or Random()
        self._environment = environment
        use_monotonic_time(reactor)
        self.clock = reactor
        self.turn = Turn()
        self.woken = slicer_on(reactor)
        self._wall_s = wall_clock(reactor)
        self.metrics = Registry(self._wall_s, telemetry.rules(config.telemetry))
        self.prometheus_enabled = config.telemetry.prometheus_retention_time_s > 0
        self.limits = settings.writes(config)
        self.indents_json = config.dev_mode
        self.translate_wan_addrs = config.translate_wan_addrs
        self._read_config = read_config or (lambda: config)
        #: The DNS listener, if its port is open.
        self.dns: DnsService | None = None
        self._watches: Watches | None = None
        #: Called with `joined` (the LAN pool), `reloading`, `reloaded` and `stopping`.
        self.state_changed: Callable[[str], None] = lambda _state: None
        self.join_status = JoinStatus()
        self._stops: list[Callable[[], object]] = []
        self._leaving: Deferred[None] | None = None
        self._reloads = DeferredLock()  # one at a time
        self._lan_pool: GossipPool
        self._wan_pool: GossipPool | None = None
        self._flood_join: FloodJoin | None = None
        self._role: Role
        self._tls: Tls
        self._tokens: AgentTokens
        self.access: AgentAccess
        self._parts: LocalParts
        self._http: HttpService
        self._leaf_certificates: LeafCertificates | None = None

    # -- interface of the listeners (http.api.agent.AgentInterface)

    @property
    def lan(self) -> Serf:
        """The LAN pool."""
        return self._lan_pool.serf

    @property
    def wan(self) -> Serf | None:
        """The WAN pool of a server."""
        return self._wan_pool.serf if self._wan_pool else None

    @property
    def server(self) -> Server | None:
        """The RPC server; None on a client."""
        return self._role.server

    @property
    def quorum(self) -> "QuorumServer | None":
        """Raft of a server; None on a client, and on a single server without Raft."""
        return self._role.quorum

    @property
    def router(self) -> Router | None:
        """The servers that a client knows; None on a server."""
        return self._role.router

    @property
    def own_caller(self) -> ServerCaller | ClientCaller:
        """Makes the RPCs of the agent itself."""
        return self._role.own_caller

    @property
    def caller(self) -> Caller:
        """Makes the RPCs of HTTP and DNS clients, on a client agent through the agent cache."""
        return self._role.caller

    @property
    def http_factory(self) -> HttpFactory:
        """Builds the protocols of HTTP connections."""
        return self._http.factory

    @property
    def agent_cache(self) -> AgentCache:
        """The agent cache (`?cached`)."""
        return self._role.cache

    @property
    def role(self) -> Role:
        """The agent's role: server or client."""
        return self._role

    @property
    def parts(self) -> LocalParts:
        """The parts of the local state."""
        return self._parts

    @property
    def tokens(self) -> AgentTokens:
        """The agent's own tokens."""
        return self._tokens

    @property
    def leaf_certificates(self) -> "LeafCertificates":
        """The leaf certificates of the services of the agent; the first use costs an import."""
        if self._leaf_certificates is None:
            from consulpy.agent.build.connect import leaf_certificates

            self._leaf_certificates = leaf_certificates(self._role, self._reactor, self._rng)
            self._stops.append(self._leaf_certificates.close)
        return self._leaf_certificates

    @property
    def local(self) -> LocalState:
        """The services and checks of this agent."""
        return self._parts.state

    @property
    def events(self) -> UserEvents:
        """The user events received."""
        return self._parts.events

    @property
    def dns_domain(self) -> str:
        """`domain`."""
        return self.config.domain

    @property
    def discovery_max_stale_ns(self) -> int:
        """`discovery_max_stale`, which a reload may change."""
        return int(self.config.discovery_max_stale_s * 1e9)

    @property
    def node_meta(self) -> dict[str, str]:
        """The metadata of this node in the catalog."""
        return {**self.config.node_meta, "consul-network-segment": ""}

    def self_report(self) -> dict[str, Any]:
        """`/v1/agent/self`."""
        return report.self_report(self)

    def stats(self) -> dict[str, dict[str, str]]:
        """`consul info`."""
        return report.stats(self)

    def host_report(self) -> dict[str, Any]:
        """`/v1/agent/host`."""
        from consulpy.agent.host_report import host_report  # asked rarely

        return host_report()

    def snapshot(self, request: SnapshotRequest, data: Spool | None) -> "Deferred[SnapshotResult]":
        """Save or restore the state of the servers: here, or over a connection to one of them."""
        if self.server is not None:
            return perform(self.server, request, data)
        role = self._role
        server = role.router.find() if role.router is not None else None
        if server is None or role.dialer is None:
            return fail(NoServers())
        return role.dialer.snapshot(server, request, data)

    def monitor(self, level: str, as_json: bool, write: Callable[[str], None]) -> Callable[[], None]:
        """Stream log lines to `write` until the returned function is called. KeyError for an unknown level."""
        return logs.stream(level, as_json, write, current_node.get())

    def timeline(self, name: str) -> list[dict[str, Any]] | None:
        """Events of a member: suspicions, confirmations, refutations, in order; None for an unknown member."""
        return report.timeline(self._pool_of(name), name, self._wall_s() - self.clock.seconds())

    def latest_changes(self, most: int) -> list[dict[str, Any]]:
        """The newest event of each of the `most` LAN members that changed last, the newest first."""
        return report.latest_changes(self.lan, most, self._wall_s() - self.clock.seconds())

    def changes(self, name: str) -> Timeline:
        """The history in which a member's changes are; that of the LAN for an empty name."""
        return self._pool_of(name).memberlist.timeline

    def _pool_of(self, name: str) -> Serf:
        """The pool that knows a member; the LAN's if none does."""
        lan, wan = self.lan, self.wan
        if wan is None or name in lan.members or lan.timeline(name):
            return lan
        return wan if name in wan.members or wan.timeline(name) else lan

    @property
    def connections(self) -> ConnectionPool:
        """The connections to servers."""
        assert self._role.connections is not None
        return self._role.connections

    def tls_to(self, server: ServerInfo) -> bool:
        """Whether a server is called over TLS."""
        return self._tls.outgoing(server.datacenter, server.use_tls) is not None
