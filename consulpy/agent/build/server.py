"""What an agent is in its datacenter: a server with the state, or a client of servers; and who makes its calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.threads import deferToThreadPool

from consulpy.agent.access import acl_duties, server_guard
from consulpy.agent.build.gossip import reporter
from consulpy.agent.process.disk_thread import DiskThread
from consulpy.agent.process.monotonic import wall_s
from consulpy.agent.process.token_file import AclResetFile
from consulpy.config.schema import RuntimeConfig
from consulpy.leader.leader import Leader
from consulpy.metrics.registry import Measures
from consulpy.raft.raft_db_file import is_real_server
from consulpy.rpc.blocking import WaitLimits
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.cache.caching_caller import CopyingCaller
from consulpy.rpc.call import Caller, ClientCaller, ServerCaller
from consulpy.rpc.limits.rate_limit import RateLimiter
from consulpy.rpc.net.dialer import Dialer
from consulpy.rpc.pool import ConnectionPool as ConnectionPool
from consulpy.rpc.router import Router
from consulpy.rpc.server import Server
from consulpy.rpc.server_metadata import host_port
from consulpy.rpc.wan_forward import DatacenterForwarder
from consulpy.serf.machine import Serf
from consulpy.state.disk import is_of_quorum
from consulpy.state.log import LocalLog, Log, MemoryLog
from consulpy.state.store import Store
from consulpy.structs.config_entry import Entry
from consulpy.structs.session import TTL_MIN_NS
from consulpy.tls.contexts import Tls

if TYPE_CHECKING:
    from consulpy.agent.build.quorum import QuorumServer

Stops = list[Callable[[], object]]


@dataclass(slots=True)
class Role:
    """`own_caller` makes the calls; the doors go through `caller`, which may have copies in front of it.

    `server` and `leader` or `quorum` of a server; `router` and `dialer` of a client. `stops`: what ends it, the last
    one first.
    """

    own_caller: ServerCaller | ClientCaller
    caller: Caller
    copies: AgentCache
    server: Server | None = None
    leader: Leader | None = None
    router: Router | None = None
    dialer: Dialer | None = None
    quorum: "QuorumServer | None" = None
    stops: Stops = field(default_factory=list)


def open_quorum(config: RuntimeConfig, reactor: Any, rng: Random, metrics: Measures) -> "QuorumServer | None":
    """What makes a server one of a quorum; None for one that is alone, as it was begun."""
    if config.data_dir is None:
        return None
    path = Path(config.data_dir) / "state" / "log.sqlite"
    if config.bootstrap and not is_of_quorum(path) and not is_real_server(Path(config.data_dir)):
        return None
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    from consulpy.agent.build.quorum import QuorumServer

    return QuorumServer(config, reactor, rng, metrics, path.parent)


def open_log(config: RuntimeConfig, reactor: Any, metrics: Measures) -> tuple[Log, Stops]:
    """The state log: in memory, or in the data directory with one thread that waits for the disk."""
    store = Store()
    if config.data_dir is None:
        return MemoryLog(store, say=reporter("state"), metrics=metrics, seconds=reactor.seconds), []
    folder = Path(config.data_dir) / "state"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    disk = DiskThread("state-log", reactor.seconds, reactor.callFromThread)
    log = LocalLog(
        store,
        str(folder / "log.sqlite"),
        run=disk.run,
        call=disk.call,
        # in a crowd the thread is not to wait for the end of a turn: what comes meanwhile goes together anyway
        later=lambda job: reactor.callLater(0, job) if disk.is_quiet else job(),
        hand_back=reactor.callFromThread,
        say=reporter("state"),
        metrics=metrics,
        seconds=reactor.seconds,
    )
    return log, [log.close, disk.stop]


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
    """A server: the state, the leader, and calls to other datacenters."""
    guard = server_guard(config, log)
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
        wall_s=wall_s,
        guard=guard,
    )
    if config.data_dir is not None:
        server.reset_file = AclResetFile(config.data_dir)
    caller = ServerCaller(server)
    role = Role(caller, caller, AgentCache(caller, reactor), server, quorum=quorum)
    dialer = Dialer(reactor, config.bind_addr, tls=tls)
    dial: Any = dialer
    connections = ConnectionPool(dial, reactor)
    role.stops.append(connections.close)
    if wan is not None:
        server.elsewhere = DatacenterForwarder(
            wan.members.values, connections, rng, log=reporter("rpc.wan"), metrics=metrics
        )

    def leads() -> None:
        server.is_leader = True
        reporter("leader")("info", f"this server leads datacenter {config.datacenter}")

    def make_leader(ready: Callable[[], None]) -> Leader:
        return Leader(
            config.datacenter,
            config.node_name,
            log,
            lan,
            reactor,
            on_ready=ready,
            log=reporter("leader"),
            wall_s=wall_s,
            bootstrap_entries=_bootstrap_entries(config),
            alone=quorum is None,
            acl=acl_duties(config, log, reactor),
        )

    server.in_thread = lambda job: deferToThreadPool(reactor, reactor.getThreadPool(), job)
    role.stops.append(role.copies.close)
    if quorum is not None:
        quorum.attach(server, lan, dialer, connections, make_leader)
        role.stops.append(quorum.stop)
        return role
    leader = role.leader = make_leader(leads)
    server.queue_coordinate = leader.queue_coordinate
    server.sessions = leader.sessions
    server.after_restore.append(leader.restored)
    role.stops.append(leader.stop)
    return role


def _bootstrap_entries(config: RuntimeConfig) -> Sequence[Entry]:
    if not config.config_entries.bootstrap:
        return ()
    from consulpy.config.bootstrap_entries import entries_of

    return entries_of(config.config_entries.bootstrap)


def client_role(config: RuntimeConfig, reactor: Any, rng: Random, cluster_size: Callable[[], int], tls: Tls) -> Role:
    """A client: reach the servers that gossip names."""
    dialer = Dialer(reactor, config.bind_addr, tls=tls)
    dial: Any = dialer
    pool = ConnectionPool(dial, reactor)
    router = Router(
        config.datacenter,
        reactor,
        rng,
        lambda server: pool.call(server, "Status.Ping", b"\x80"),
        cluster_size,
        log=reporter("router"),
    )
    router.start()
    calls = ClientCaller(
        router,
        pool,
        reactor,
        rng,
        log=reporter("rpc"),
        hold_timeout_s=config.performance.rpc_hold_timeout_s,
        rate=RateLimiter(reactor, config.limits.rpc_rate, config.limits.rpc_max_burst),
        in_thread=lambda job: deferToThreadPool(reactor, reactor.getThreadPool(), job),
    )
    copies = AgentCache(calls, reactor, calls)
    # With access control a client cannot know when a reader's rights change: it asks a server each time.
    caller: Caller = calls if config.acl.enabled else CopyingCaller(calls, copies, config.datacenter)
    stops: Stops = [pool.close, router.stop, copies.close]
    return Role(calls, caller, copies, router=router, dialer=dialer, stops=stops)
