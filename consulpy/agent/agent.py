"""`Agent`: builds all parts from a configuration and connects them; starts, reloads, leaves and stops.

Read this first. `start` follows the dependencies: the state log, the gossip pools, the server or client role, the
services of this agent, the listeners (port 8300, DNS, HTTP), the leader, then joining.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, DeferredLock, fail, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from consulpy.agent import access, report, telemetry
from consulpy.agent.build import settings
from consulpy.agent.build.client import client_role
from consulpy.agent.build.gossip import GossipPool, lan_pool, wan_pool
from consulpy.agent.build.listeners import dns_listener, rpc_listener
from consulpy.agent.build.local import LocalParts, local_parts
from consulpy.agent.build.role import Role
from consulpy.agent.build.server import open_log, open_quorum, server_role
from consulpy.agent.features import keyring, retry_join
from consulpy.agent.features.flood_join import FloodJoin
from consulpy.agent.features.retry_join import JoinStatus
from consulpy.agent.leave import leave
from consulpy.agent.process import logs
from consulpy.agent.process.data_dir import DataDirectoryLock
from consulpy.agent.process.descriptors import connection_table
from consulpy.agent.process.disk_thread import DiskThread
from consulpy.agent.process.monotonic import use_monotonic_time, wall_s
from consulpy.clock import Turn
from consulpy.config.reload import compare
from consulpy.config.schema import RuntimeConfig
from consulpy.config.tls import tls_settings
from consulpy.dns.transport import DnsService
from consulpy.errors import ConfigError, NoServers, RPCError
from consulpy.http.listener import HttpService
from consulpy.local.access import AgentAccess
from consulpy.local.load import reconfigure
from consulpy.local.state import LocalState
from consulpy.local.tokens import AgentTokens
from consulpy.local.user_events import UserEvents
from consulpy.memberlist.timeline import Timeline
from consulpy.memberlist.transport import cannot_listen
from consulpy.metrics.registry import Registry
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.call import ClientCaller, ServerCaller
from consulpy.rpc.caller import Caller
from consulpy.rpc.limits.rate_limit import RateLimiter
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.router import Router
from consulpy.rpc.server import Server
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.rpc.snapshot_messages import SnapshotRequest
from consulpy.rpc.snapshots import perform
from consulpy.serf.events import Event, MemberEvent, MemberEventKind, UserEvent
from consulpy.serf.machine import Serf
from consulpy.state.log import Log
from consulpy.structs.options import QueryMeta
from consulpy.tls.contexts import Tls

if TYPE_CHECKING:
    from consulpy.agent.build.quorum import QuorumServer
    from consulpy.agent.features.diagnosis import AgentDiagnosis
    from consulpy.agent.features.watches import Watches
    from consulpy.diagnosis.causes import Verdict

_log = Logger()

#: From the end of a leave to the end of the program, in seconds: the HTTP response to it is still sent.
_SHUTDOWN_DELAY_S: Final = 0.1


class Agent:
    """One agent.

    `reactor`: Twisted's; its timers are made monotonic (`process.monotonic`). `shut_down(status)`: ends the program,
    called after a leave and when joining is given up. `read_config()`: reads the configuration again, for a reload.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        reactor: Any,
        *,
        shut_down: Callable[[int], None] = lambda _status: None,
        read_config: Callable[[], RuntimeConfig] | None = None,
        rng: Random | None = None,
    ) -> None:
        self.config = config
        self.datacenter = config.datacenter
        self.node_name = config.node_name
        self._reactor = reactor
        self._shut_down = shut_down
        self._rng = rng or Random()
        use_monotonic_time(reactor)
        self.clock = reactor
        self.turn = Turn()
        self.metrics = Registry(wall_s, telemetry.rules(config.telemetry))
        self.prometheus_enabled = config.telemetry.prometheus_retention_time_s > 0
        self.limits = settings.writes(config)
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
        self._tokens: AgentTokens
        self.access: AgentAccess
        self._parts: LocalParts

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
    def agent_cache(self) -> AgentCache:
        """The agent cache (`?cached`)."""
        return self._role.cache

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
        return report.host_report()

    def snapshot(self, request: SnapshotRequest, data: bytes) -> "Deferred[tuple[QueryMeta, bytes]]":
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
        return logs.stream(level, as_json, write)

    def timeline(self, name: str) -> list[dict[str, Any]] | None:
        """Events of a member: suspicions, confirmations, refutations, in order; None for an unknown member."""
        return report.timeline(self._pool_of(name), name, wall_s() - self.clock.seconds())

    def latest_changes(self, most: int) -> list[dict[str, Any]]:
        """The newest event of each of the `most` LAN members that changed last, the newest first."""
        return report.latest_changes(self.lan, most, wall_s() - self.clock.seconds())

    def changes(self, name: str) -> Timeline:
        """The history in which a member's changes are; that of the LAN for an empty name."""
        return self._pool_of(name).memberlist.timeline

    def _pool_of(self, name: str) -> Serf:
        """The pool that knows a member; the LAN's if none does."""
        lan, wan = self.lan, self.wan
        if wan is None or name in lan.members or lan.timeline(name):
            return lan
        return wan if name in wan.members or wan.timeline(name) else lan

    def why(self, name: str) -> "Deferred[dict[str, Any]]":
        """The verdict about a member that has a timeline."""
        return Deferred.fromCoroutine(self._diagnosis.why(name)).addCallback(lambda verdict: verdict.to_json())

    def doctor(self, target: str) -> "Deferred[list[dict[str, Any]]]":
        """The findings about this agent and its cluster, or about a join to `target` if that is not empty."""
        diagnosis = self._diagnosis
        found = Deferred.fromCoroutine(diagnosis.target(target)) if target else diagnosis.doctor()
        return found.addCallback(lambda findings: [finding.to_json() for finding in findings])

    @property
    def _diagnosis(self) -> "AgentDiagnosis":
        from consulpy.agent.features.diagnosis import AgentDiagnosis  # few agents are ever asked

        return AgentDiagnosis(self, self._reactor)

    @property
    def connections(self) -> ConnectionPool:
        """The connections to servers."""
        assert self._role.connections is not None
        return self._role.connections

    def tls_to(self, server: ServerInfo) -> bool:
        """Whether a server is called over TLS."""
        return self._tls.outgoing(server.datacenter, server.use_tls) is not None

    # -- start and stop

    def start(self) -> None:
        """Build and start all parts. Raises `ConfigError`, after stopping those that were started."""
        try:
            self._build()
        except BaseException:
            self._stop_all()
            raise
        for text in self.config.warnings:
            _log.warn("{text}", text=text)

    def _build(self) -> None:
        config, reactor, rng = self.config, self._reactor, self._rng
        self._tls = Tls(tls_settings(config))
        if config.data_dir is not None:
            self._stops.append(DataDirectoryLock(Path(config.data_dir)).release)
        self._tokens = access.agent_tokens(config, lambda job: deferToThreadPool(reactor, reactor.getThreadPool(), job))
        quorum = open_quorum(config, reactor, rng, self.metrics) if config.server else None
        if quorum is not None:
            log: Log = quorum.log
        elif config.server:
            log, stops = open_log(config, reactor, self.metrics)
            self._stops += stops
        disk = DiskThread("gossip-files", reactor.seconds, reactor.callFromThread)
        self._stops.append(disk.stop)
        self._lan_pool = lan_pool(config, reactor, rng, disk, self._lan_event, self.metrics)
        if config.server:
            if config.ports.serf_wan > 0:
                self._wan_pool = wan_pool(config, reactor, rng, disk, lambda _event: None)
            self._role = server_role(config, reactor, rng, log, self.lan, self.wan, self.metrics, self._tls, quorum)
        else:
            self._role = client_role(config, reactor, rng, lambda: len(self.lan.members), self._tls)
        self._stops += self._role.stops
        if self._role.server is not None:
            self._role.server.replication_token = lambda: self._tokens.replication
        self.access = access.agent_access(config, reactor, self._tokens, self.server, self.own_caller)
        self._parts = local_parts(config, reactor, rng, self._role, self.lan, wall_s, self.node_meta, self._tokens)
        self._stops += self._parts.stops
        self._listen()
        self._measure()
        for pool in self._pools():
            pool.serf.start()
            self._stops.append(pool.serf.shutdown)
        if self.wan is not None:
            self._flood_join = FloodJoin(reactor, self.lan, self.wan, config.datacenter)
            self._stops.append(self._flood_join.stop)
            self._flood_join.start()
        if self._role.quorum is not None:
            self._role.quorum.start()
        if self._role.leader is not None:
            self._role.leader.start()
        if self.server is not None:
            self.server.after_restore.append(self._parts.anti_entropy.catalog_replaced)
        self._tokens.changed.append(self._parts.anti_entropy.tokens_changed)
        self._parts.anti_entropy.start()
        self._stops.append(self._parts.anti_entropy.stop)
        if not config.disable_coordinates:
            self._parts.coordinates.start()
            self._stops.append(self._parts.coordinates.stop)
        self._prepare_watches(config)()
        self._stops += retry_join.begin(config, reactor, self._join, self._give_up, servers=self._wan_pool is not None)

    def _prepare_watches(self, config: RuntimeConfig) -> Callable[[], None]:
        """Validate watches; the returned function runs them in place of the present ones. Raises `ConfigError`."""
        if self._watches is None:
            if not config.watches:
                return lambda: None  # the import is costly, and most agents have none
            from consulpy.agent.features.watches import Watches

            self._watches = Watches(self._reactor)
            self._stops.append(self._watches.stop)
        return self._watches.prepare(config, lambda: self._tls.own_api)

    def _measure(self) -> None:
        timers = telemetry.Telemetry(self.config.telemetry, self.metrics, self._reactor)
        telemetry.measure(self, timers)
        timers.start()
        self._stops.append(timers.stop)

    def _pools(self) -> list[GossipPool]:
        return [pool for pool in (self._lan_pool, self._wan_pool) if pool is not None]

    def _listen(self) -> None:
        """Open all ports: gossip, RPC, DNS, HTTP."""
        for pool in self._pools():
            self._run(pool.transport)
        config, role = self.config, self._role
        connections = connection_table(self._reactor.seconds)
        if role.server is not None:
            self._run(rpc_listener(config, self._reactor, role.server, role, self._tls, connections))
        dns = dns_listener(config, self._reactor, self._rng, role, self.access, self._tokens, connections)
        if config.ports.dns > 0:
            self._run(dns)
            self.dns = dns
        self._http = HttpService(self._reactor, settings.http(config), self, logs.debugging, self._tls, connections)
        self._run(self._http)

    def _run(self, service: Any) -> None:
        try:
            service.startService()
        except CannotListenError as error:
            raise ConfigError(cannot_listen(type(service).__name__, error.interface, error.port, error)) from None
        self._stops.append(service.stopService)

    def _give_up(self, why: str) -> None:
        _log.error("{why}", why=why)
        self._shut_down(1)

    def stop(self) -> "Deferred[None]":
        """Stop all parts in the reverse order of their start, after a leader has transferred its leadership."""
        quorum = self._role.quorum if hasattr(self, "_role") else None
        if quorum is None:
            return self._stop_all()
        return quorum.transfer_leadership().addCallback(lambda _: self._stop_all())

    def _stop_all(self) -> "Deferred[None]":
        stops, self._stops = self._stops[::-1], []
        stopping = [maybeDeferred(stop) for stop in stops]
        for each in stopping:
            each.addErrback(lambda failure: _log.failure("while stopping", failure))
        return gatherResults(stopping).addCallback(lambda _: None)

    # -- gossip events

    def _lan_event(self, event: Event) -> None:
        if isinstance(event, UserEvent):
            self.metrics.incr("serf.events")
            self.metrics.incr(f"serf.events.{event.name}")
            self.events.receive(event.name, event.payload, event.ltime)
            return
        if not isinstance(event, MemberEvent):
            return
        telemetry.record_members(self.metrics, event)
        if self._flood_join is not None and event.kind in (MemberEventKind.JOIN, MemberEventKind.UPDATE):
            self._flood_join.look()
        role = self._role
        if role.quorum is not None:
            role.quorum.member_event(event)
        elif role.leader is not None:
            role.leader.member_event(event)
        elif role.router is not None and role.router.member_event(event):
            self._parts.anti_entropy.server_appeared()

    # -- operations of the HTTP API and of signals

    async def _join(self, addresses: Sequence[str], wan: bool) -> int:
        pool = self._wan_pool if wan else self._lan_pool
        if pool is None:
            raise RPCError(
                "Must be a server to join WAN cluster" if self.server is None else "WAN Federation is disabled"
            )
        name = "WAN" if wan else "LAN"
        _log.info("({name}) joining: {addresses}", name=name, addresses=", ".join(addresses))
        status = JoinStatus() if wan else self.join_status
        status.attempts += 1
        explain = partial(self._why_not_joined, pool)
        try:
            joined = await retry_join.join(self._reactor, pool.serf, addresses, pool.default_port, explain)
        except RPCError as error:
            status.last_error = " ".join(str(error).split())
            raise
        status.worked = True
        _log.info("({name}) joined: number_of_nodes={count}", name=name, count=joined)
        if not wan:
            self.state_changed("joined")
        return joined

    async def _why_not_joined(self, pool: GossipPool, address: str) -> "Verdict":
        from consulpy.agent.features.diagnosis import explain_target

        datacenter = self.datacenter if pool is self._lan_pool else ""
        return await explain_target(self._reactor, pool.serf, datacenter, address, pool.default_port)

    def join(self, addresses: list[str], wan: bool) -> "Deferred[int]":
        """Join a pool through any of `addresses`; how many worked. Fails with `RPCError`."""
        return Deferred.fromCoroutine(self._join(addresses, wan))

    def leave(self) -> "Deferred[None]":
        """Leave the pools, then end the program. A second call waits for the same leave."""
        if self._leaving is None:
            self._leaving = Deferred.fromCoroutine(self._leave())
        done: Deferred[None] = Deferred()

        def left(result: Any) -> Any:
            done.callback(None)
            return result

        self._leaving.addBoth(left)
        return done

    async def _leave(self) -> None:
        _log.info("leaving")
        self.state_changed("stopping")
        self._parts.anti_entropy.stop()
        pools = self._pools()[::-1]
        await leave(self._reactor, self._role, pools, self.config.performance.leave_drain_time_s)
        self._reactor.callLater(_SHUTDOWN_DELAY_S, self._shut_down, 0)

    def force_leave(self, name: str, prune: bool) -> None:
        """Mark a failed member as left. Raises `RPCError` for an unknown name."""
        if name not in self.lan.members:
            raise RPCError(f"agent: No node found with name '{name}'")
        self.lan.force_leave(name, prune)
        wan_name = f"{name}.{self.datacenter}"
        if self.wan is not None and wan_name in self.wan.members:
            self.wan.force_leave(wan_name, prune)

    def reload(self) -> "Deferred[None]":
        """Read the configuration again and apply its reloadable keys; all or none. Fails with `RPCError`."""
        return self._reloads.run(lambda: Deferred.fromCoroutine(self._reload_with_notification()))

    async def _reload_with_notification(self) -> None:
        self.state_changed("reloading")
        try:
            await self._reload()
        finally:
            self.state_changed("reloaded")

    async def _reload(self) -> None:
        def read() -> tuple[RuntimeConfig, Callable[[], None]]:  # in a thread: files may be slow
            # without a data directory each reading would generate another node id
            fresh = dataclasses.replace(self._read_config(), node_id=self.config.node_id)
            return fresh, self._tls.prepare(tls_settings(fresh))

        try:
            fresh, secure = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), read)
            watch = self._prepare_watches(fresh)  # validated before anything changes
            await reconfigure(self.local, map(dict, fresh.services), map(dict, fresh.checks))
        except ConfigError as error:
            raise RPCError(f"the configuration was not reloaded: {error}") from None
        if fresh.watches != self.config.watches:
            watch()
        changes = compare(self.config, fresh)
        secure()
        if isinstance(self.own_caller, ClientCaller):
            self.own_caller.rate = RateLimiter(self._reactor, fresh.limits.rpc_rate, fresh.limits.rpc_max_burst)
        self.config = fresh
        access.reconfigure(self._tokens, fresh)
        self.metrics.rules = telemetry.rules(fresh.telemetry)
        self.local.entries.discard_check_output = fresh.discard_check_output
        self._http.reconfigure(settings.http(fresh))
        logs.set_level(fresh.log_level)
        if self.dns is not None:
            self.dns.reconfigure(settings.dns(fresh))
        _log.info("reloaded: {changes}", changes=str(changes) or "nothing changed")

    def keyring(self, operation: str, key: str, relay_factor: int) -> "Deferred[list[dict[str, Any]]]":
        """Run a key operation in all pools, WAN first. Fails with `RPCError`."""
        pools = [(pool.serf, pool is self._wan_pool) for pool in reversed(self._pools())]
        return Deferred.fromCoroutine(keyring.operate(pools, self.datacenter, operation, key, relay_factor))
