"""A server: its state log, RPC server, leader or quorum, and calls to other datacenters."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from consulpy.agent.access import acl_duties, server_guard
from consulpy.agent.build.role import Role, reply_timeout
from consulpy.agent.process.logs import reporter
from consulpy.agent.process.monotonic import wall_clock
from consulpy.agent.process.token_file import AclResetFile
from consulpy.config.schema import RuntimeConfig
from consulpy.config.sections import AutopilotSettings
from consulpy.errors import RPCError
from consulpy.leader.leader import REJOIN_LEAST_S, REJOIN_MOST_S, Leader
from consulpy.leader.lock_delays import LockDelays
from consulpy.metrics.registry import Measures, Registry
from consulpy.rpc.blocking import WaitLimits
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.call import ServerCaller
from consulpy.rpc.connect.interface import CertificateAuthority
from consulpy.rpc.limits.request_limits import ENFORCING, PERMISSIVE, RequestLimits
from consulpy.rpc.net.dialer import Dialer
from consulpy.rpc.pool import SERVER_IDLE_STREAMS, ConnectionPool
from consulpy.rpc.server import Server
from consulpy.rpc.server_metadata import host_port
from consulpy.rpc.wan_forward import DatacenterForwarder
from consulpy.serf.machine import Serf
from consulpy.state.log import Log, MemoryLog
from consulpy.state.store import Store
from consulpy.structs.config_entry import KINDS, Entry
from consulpy.structs.operator import AutopilotConfig
from consulpy.structs.session import TTL_MIN_NS
from consulpy.tls.contexts import Tls

if TYPE_CHECKING:
    from consulpy.acl.auth_config import JwtConfig, KubernetesConfig
    from consulpy.acl.binding import ServiceAccount
    from consulpy.agent.build.quorum import QuorumServer
    from consulpy.agent.process.jwt_keys import JwtKeys
    from consulpy.leader.connect import ConnectTasks
    from consulpy.leader.mesh_replication import MeshReplication

_NS_PER_S: Final = 1_000_000_000


def open_quorum(config: RuntimeConfig, reactor: Any, rng: Random, metrics: Registry) -> "QuorumServer | None":
    """Raft of this server, not yet attached, though it may be a quorum of one; None for one server in memory (-dev)."""
    if config.data_dir is None and config.bootstrap_expect < 2:
        return None
    folder = Path(config.data_dir) / "state" if config.data_dir is not None else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    from consulpy.agent.build.quorum import QuorumServer

    return QuorumServer(config, reactor, rng, metrics, folder)


def memory_log(reactor: Any, metrics: Measures) -> Log:
    """The state log of a -dev server."""
    return MemoryLog(Store(), say=reporter("state"), metrics=metrics, seconds=reactor.seconds)


def server_role(
    config: RuntimeConfig,
    reactor: Any,
    rng: Random,
    log: Log,
    lan: Serf,
    wan: Serf | None,
    metrics: Measures,
    tls: Tls,
    quorum: "QuorumServer | None" = None,
) -> Role:
    """RPC server, agent cache and connection pool of a server; its leader, or its place in the quorum."""
    guard = server_guard(config, log, reactor, lambda: server)
    server = Server(
        datacenter=config.datacenter,
        node_name=config.node_name,
        node_id=config.node_id,
        rpc_address=host_port(config.advertise_addr, config.ports.server),
        log=log,
        clock=reactor,
        rng=rng,
        lan=lan,
        wan=wan,
        metrics=metrics,
        hold_timeout_s=config.performance.rpc_hold_timeout_s,
        session_ttl_min_ns=round(config.session_ttl_min_s * 1e9) or TTL_MIN_NS,
        waits=WaitLimits(config.default_query_time_s, config.max_query_time_s),
        wall_s=wall_clock(reactor),
        guard=guard,
    )
    _apply_settings(server, config, reactor)
    caller = ServerCaller(server)
    timeout = reply_timeout(config, reactor)
    role = Role(caller, caller, AgentCache(caller, reactor), server, quorum=quorum, timeout=timeout)
    dialer = Dialer(reactor, config.bind_addr, tls=tls)
    dial: Any = dialer
    connections = ConnectionPool(dial, reactor, idle_streams=SERVER_IDLE_STREAMS)
    role.connections = connections
    role.stops += [connections.close, timeout.close]
    if wan is not None:
        server.remote_datacenters = DatacenterForwarder(
            wan.members.values, connections, rng, log=reporter("rpc.wan"), metrics=metrics, timeout=timeout
        )

    server.in_thread = lambda job: deferToThreadPool(reactor, reactor.getThreadPool(), job)
    role.stops.append(role.cache.close)
    make_leader = partial(_make_leader, config, reactor, log, lan, quorum is None, server)
    if quorum is not None:
        quorum.attach(server, lan, dialer, connections, timeout, make_leader)
        role.stops.append(quorum.stop)
        return role

    def leads() -> None:
        server.is_leader = True
        reporter("leader")("info", f"this server leads datacenter {config.datacenter}")

    leader = role.leader = make_leader(leads)
    server.queue_coordinate = leader.queue_coordinate
    server.sessions = leader.sessions
    server.after_restore.append(leader.restored)
    role.stops.append(leader.stop)
    return role


def _apply_settings(server: Server, config: RuntimeConfig, reactor: Any) -> None:
    """Set access control, intentions, limits and the certificate authority as the configuration says."""
    server.default_intention_policy = config.default_intention_policy
    server.request_limits = request_limits(config, reactor, server)
    server.review_token = _review_token
    server.jwt_keys = _JwtKeys(reactor.seconds)
    if config.data_dir is not None:
        server.reset_file = AclResetFile(config.data_dir)
    server.authority = _authority(config, server)
    if config.acl.enabled and config.primary_datacenter != config.datacenter:
        server.primary_datacenter = config.primary_datacenter
        server.copies_tokens = config.acl.enable_token_replication
    if config.primary_datacenter != config.datacenter:
        server.mesh_primary = config.primary_datacenter


def request_limits(config: RuntimeConfig, clock: Any, server: Server) -> RequestLimits | None:
    """The limits of a server's calls (`limits.request_limits`); None: there are none."""
    limits = config.limits.request_limits
    if limits.mode not in (ENFORCING, PERMISSIVE):
        return None
    return RequestLimits(
        clock,
        server.metrics,
        lambda: server.is_leader,
        enforces=limits.mode == ENFORCING,
        read_rate=limits.read_rate,
        write_rate=limits.write_rate,
    )


def _review_token(config: "KubernetesConfig", bearer: str) -> "ServiceAccount":
    from consulpy.agent.process.token_review import review  # costly, and seldom used

    return review(config, bearer)


class _JwtKeys:
    """Keys of auth methods; made when the first one is asked for, as few servers need its libraries."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._keys: JwtKeys | None = None

    def __call__(self, config: "JwtConfig", *, wants_new: bool = False) -> list[Any]:
        """See `consulpy.rpc.server.JwtKeys`."""
        if self._keys is None:
            from consulpy.agent.process.jwt_keys import JwtKeys

            self._keys = JwtKeys(self._seconds)
        return self._keys.keys(config, wants_new=wants_new)


def _make_leader(
    config: RuntimeConfig,
    reactor: Any,
    log: Log,
    lan: Serf,
    is_single: bool,
    server: Server,
    ready: Callable[[], None],
    delays: LockDelays | None = None,
) -> Leader:
    """The leader's duties for one term of leadership. `is_single`: there is no Raft; `ready()`: they are set up.

    `delays`: lock delays counted by this server before.
    """
    entries = _bootstrap_entries(config)
    newer = [entry for entry in entries if _is_newer(entry)]

    def leads() -> None:
        ready()
        if newer:
            Deferred.fromCoroutine(_bootstrap_newer(server, newer))

    return Leader(
        config.datacenter,
        config.node_name,
        log,
        lan,
        reactor,
        on_ready=leads,
        log=reporter("leader"),
        wall_s=wall_clock(reactor),
        autopilot=_first_autopilot(config.autopilot),
        bootstrap_entries=[entry for entry in entries if not _is_newer(entry)],
        alone=is_single,
        delays=delays,
        acl=acl_duties(config, log, reactor, server),
        connect=_connect_tasks(server, reactor),
        replication=_mesh_replication(config, log, reactor, server),
        metrics=server.metrics,
        has_rejoined=lambda: lan.rejoin.is_over(REJOIN_LEAST_S, REJOIN_MOST_S),
    )


def _mesh_replication(config: RuntimeConfig, log: Log, reactor: Any, server: Server) -> "MeshReplication | None":
    if not server.mesh_primary:
        return None
    from consulpy.leader.mesh_replication import MeshReplication
    from consulpy.rpc.primary_caller import PrimaryCaller

    return MeshReplication(
        lambda: log.store,
        reactor,
        server.mesh_primary,
        PrimaryCaller(lambda: server, server.mesh_primary).call,
        server.submit,
        lambda: server.replication_token(),
        reporter("replication"),
        with_intentions=config.connect.enabled,
        without_newer_kinds=server.without_newer_kinds,
    )


def _connect_tasks(server: Server, reactor: Any) -> "ConnectTasks | None":
    if server.authority is None:
        return None
    from consulpy.leader.connect import ConnectTasks

    return ConnectTasks(server.authority, reactor, reporter("connect"))


def _authority(config: RuntimeConfig, server: Server) -> CertificateAuthority | None:
    if not config.connect.enabled:
        return None
    from consulpy.agent.build.lazy_authority import LazyAuthority  # only with Connect

    return LazyAuthority(config, server)


def _is_newer(entry: Entry) -> bool:
    """Whether servers of 1.8.7 do not know an entry's kind, or a field of it."""
    from consulpy.structs.newer_config_fields import newer_paths

    return entry.kind not in KINDS or any(newer_paths(entry))


async def _bootstrap_newer(server: Server, entries: Sequence[Entry]) -> None:
    """Write entries of newer kinds, which not every quorum takes."""
    from consulpy.rpc.endpoints.config_entry import bootstrap

    for entry in entries:
        try:
            await bootstrap(server, entry)
        except RPCError as error:
            reporter("leader")("warn", f"bootstrap config entry {entry.kind}/{entry.name} was not written: {error}")


def _first_autopilot(settings: AutopilotSettings) -> AutopilotConfig:
    """The `autopilot` block as the autopilot configuration that the first leader writes."""
    return AutopilotConfig(
        cleanup_dead_servers=settings.cleanup_dead_servers,
        last_contact_threshold=round(settings.last_contact_threshold_s * _NS_PER_S),
        max_trailing_logs=settings.max_trailing_logs,
        min_quorum=settings.min_quorum,
        server_stabilization_time=round(settings.server_stabilization_time_s * _NS_PER_S),
        redundancy_zone_tag=settings.redundancy_zone_tag,
        disable_upgrade_migration=settings.disable_upgrade_migration,
        upgrade_version_tag=settings.upgrade_version_tag,
    )


def _bootstrap_entries(config: RuntimeConfig) -> Sequence[Entry]:
    if not config.config_entries.bootstrap or config.primary_datacenter != config.datacenter:
        return ()
    from consulpy.config.bootstrap_entries import entries_of

    return entries_of(config.config_entries.bootstrap)
