"""`Agent`: builds every room from a configuration, introduces them to each other, starts, reloads, leaves and stops.

Read this first. The order of `start` is the order in which things depend on each other: the state log, the gossip
pools, port 8300 and `call`, the leader, the services of this agent, then the doors (DNS, HTTP), then joining.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from consulpy.agent import joining, keyoperations, logs, report, settings, telemetry
from consulpy.agent.datadir import DataDirectoryLock
from consulpy.agent.disk import DiskThread
from consulpy.agent.pools import Pool, lan_pool, reporter, wan_pool
from consulpy.agent.versions import of_copies, of_state
from consulpy.checks.runner import Runner
from consulpy.config.reload import compare
from consulpy.config.schema import RuntimeConfig
from consulpy.config.tls import tls_settings
from consulpy.dns.transport import DnsService
from consulpy.errors import ConfigError, NoServers, RPCError
from consulpy.http.server import HttpService
from consulpy.leader.machine import Leader
from consulpy.local.aliases import Aliases
from consulpy.local.antientropy import AntiEntropy
from consulpy.local.coordinate import CoordinateSender
from consulpy.local.events import UserEvents
from consulpy.local.reaper import Reaper
from consulpy.local.restore import configure, restore
from consulpy.local.state import LocalState, Scripts
from consulpy.local.transport import DirectoryFiles
from consulpy.memberlist.transport import cannot_listen
from consulpy.metrics.registry import Registry
from consulpy.rpc.blocking import WaitLimits
from consulpy.rpc.call import Caller, ClientCaller, ServerCaller
from consulpy.rpc.copies import Copies
from consulpy.rpc.copying import CopyingCaller
from consulpy.rpc.members import host_port
from consulpy.rpc.pool import Pool as ConnectionPool
from consulpy.rpc.rate import RateLimit
from consulpy.rpc.router import Router
from consulpy.rpc.server import Server
from consulpy.rpc.snapshots import SnapshotRequest, perform
from consulpy.rpc.transport import Dialer, RpcService
from consulpy.rpc.wan import OtherDatacenters
from consulpy.serf.events import Event, MemberEvent, MemberEventKind, UserEvent
from consulpy.serf.machine import Serf
from consulpy.state.log import LocalLog, Log, MemoryLog
from consulpy.state.store import Store
from consulpy.structs.node import Node
from consulpy.structs.options import QueryMeta
from consulpy.tls.contexts import Tls

if TYPE_CHECKING:
    from consulpy.agent.watches import Watches

_log = Logger()

#: The least pause between the answer to a leave and the end of the program, in seconds: the answer has to get out.
_LAST_WORDS_S: Final = 0.1


class Agent:
    """One agent.

    `reactor`: Twisted's. `shut_down(status)`: ends the program, called after a leave and when joining failed for good.
    `read_config()`: the configuration as it is written now, for a reload.
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
        self.clock = reactor
        self.metrics = Registry(self._wall_s, telemetry.rules(config.telemetry))
        self.prometheus_enabled = config.telemetry.prometheus_retention_time_s > 0
        self.limits = settings.writes(config)
        self.translate_wan_addrs = config.translate_wan_addrs
        self._read_config = read_config or (lambda: config)
        #: The DNS door, if it is open.
        self.dns: DnsService | None = None
        self._watches: Watches | None = None
        self._stops: list[Callable[[], object]] = []
        self._leaving: Deferred[None] | None = None
        self._lan_pool: Pool
        self._wan_pool: Pool | None = None
        self._leader: Leader | None = None
        self.server: Server | None = None
        self.router: Router
        self._dialer: Dialer
        #: Makes the calls; the doors go through `caller`, which may have copies in front of it.
        self.own_caller: ServerCaller | ClientCaller
        self.caller: Caller
        self.copies: Copies
        self.local: LocalState
        self.events: UserEvents

    # -- what the doors ask

    @property
    def lan(self) -> Serf:
        """The LAN pool."""
        return self._lan_pool.serf

    @property
    def wan(self) -> Serf | None:
        """The WAN pool of a server."""
        return self._wan_pool.serf if self._wan_pool else None

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

    def banner(self) -> str:
        """What a person sees first."""
        return report.banner(self.config)

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
        server = self.router.find()
        if server is None:
            return fail(NoServers())
        return self._dialer.snapshot(server, request, data)

    def monitor(self, level: str, as_json: bool, write: Callable[[str], None]) -> Callable[[], None]:
        """Stream log lines to `write` until what is returned is called. KeyError for an unknown level."""
        return logs.stream(level, as_json, write)

    def timeline(self, name: str) -> list[dict[str, Any]] | None:
        """What was seen of a member: who suspected it, who confirmed, who refuted. None for one never heard of."""
        seen = self.lan.timeline(name)
        return [event.to_json() for event in seen] if seen or name in self.lan.members else None

    # -- a life

    def start(self) -> None:
        """Build and start every room, from the ground up. Raises `ConfigError`; what was started is stopped then."""
        try:
            self._build()
        except BaseException:
            self._stop_all()
            raise
        for text in self.config.warnings:
            _log.warn("{text}", text=text)

    def _build(self) -> None:
        config = self.config
        self._tls = Tls(tls_settings(config))
        self._lock_data_directory()
        state_log = self._open_log() if config.server else None
        self._lan_pool = lan_pool(config, self._reactor, self._rng, self._lan_event, self.metrics)
        if state_log is not None:
            self._wan_pool = wan_pool(config, self._reactor, self._rng, lambda _event: None)
            self._be_server(state_log)
        else:
            self._be_client()
        self._build_local()
        self._listen()
        self._measure()
        for pool in self._pools():
            pool.serf.start()
            self._stops.append(pool.serf.shutdown)
        if self._leader is not None:
            self._leader.start()
        self._anti_entropy.start()
        self._stops.append(self._anti_entropy.stop)
        if not config.disable_coordinates:
            self._coordinates.start()
            self._stops.append(self._coordinates.stop)
        self._planned(config)()
        self._join_others()

    def _planned(self, config: RuntimeConfig) -> Callable[[], None]:
        """Check the watches of a configuration; what is given runs them and no others. Raises `ConfigError`."""
        if self._watches is None:
            if not config.watches:
                return lambda: None  # most agents have none, and need not pay for what runs them
            from consulpy.agent.watches import Watches

            self._watches = Watches(self._reactor)
            self._stops.append(self._watches.stop)
        return self._watches.planned(settings.own_url(config) if config.watches else "", config.watches)

    def _measure(self) -> None:
        beat = telemetry.Telemetry(self.config.telemetry, self.metrics, self._reactor)
        telemetry.measure(self, beat)
        beat.start()
        self._stops.append(beat.stop)

    def _pools(self) -> list[Pool]:
        return [pool for pool in (self._lan_pool, self._wan_pool) if pool is not None]

    def _lock_data_directory(self) -> None:
        if self.config.data_dir is not None:
            self._stops.append(DataDirectoryLock(Path(self.config.data_dir)).release)

    def _open_log(self) -> Log:
        """The state log: in memory, or in the data directory with one thread that waits for the disk."""
        store, config = Store(), self.config
        if config.data_dir is None:
            return MemoryLog(store, say=reporter("state"), metrics=self.metrics, seconds=self._reactor.seconds)
        folder = Path(config.data_dir) / "state"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        disk = DiskThread("state-log")
        log = LocalLog(
            store,
            str(folder / "log.sqlite"),
            run=disk.run,
            hand_back=self._reactor.callFromThread,
            say=reporter("state"),
            metrics=self.metrics,
            seconds=self._reactor.seconds,
        )
        self._stops += [log.close, disk.stop]
        return log

    def _be_server(self, state_log: Log) -> None:
        """A server: the state, port 8300, the leader."""
        config = self.config
        self.server = Server(
            datacenter=config.datacenter,
            node_name=config.node_name,
            node_id=config.node_id,
            rpc_address=host_port(config.advertise_addr, config.ports.server),
            log=state_log,
            clock=self._reactor,
            rng=self._rng,
            lan=self.lan,
            wan=self.wan,
            metrics=self.metrics,
            hold_timeout_s=config.performance.rpc_hold_timeout_s,
            waits=WaitLimits(config.default_query_time_s, config.max_query_time_s),
        )
        if self.wan is not None:
            dial: Any = Dialer(self._reactor, config.bind_addr, tls=self._tls)
            connections = ConnectionPool(dial, self._reactor)
            self._stops.append(connections.close)
            self.server.elsewhere = OtherDatacenters(
                self.wan.members.values, connections, self._rng, log=reporter("rpc.wan"), metrics=self.metrics
            )
        self._leader = Leader(
            config.datacenter,
            config.node_name,
            state_log,
            self.lan,
            self._reactor,
            on_ready=self._leading,
            log=reporter("leader"),
        )
        self._stops.append(self._leader.stop)
        self.server.queue_coordinate = self._leader.queue_coordinate
        self.server.sessions = self._leader.sessions
        self.server.on_restored = self._leader.restored
        self.server.in_thread = lambda job: deferToThreadPool(self._reactor, self._reactor.getThreadPool(), job)
        self.caller = self.own_caller = ServerCaller(self.server)
        self._copy(Copies(self.caller, self._reactor))

    def _leading(self) -> None:
        assert self.server is not None
        self.server.is_leader = True
        _log.info("this server leads datacenter {dc}", dc=self.datacenter)

    def _be_client(self) -> None:
        """A client: reach the servers that gossip names."""
        clock, rng = self._reactor, self._rng
        self._dialer = Dialer(self._reactor, self.config.bind_addr, tls=self._tls)
        dial: Any = self._dialer
        pool = ConnectionPool(dial, clock)
        ping = b"\x80"
        self.router = Router(
            self.datacenter,
            clock,
            rng,
            lambda server: pool.call(server, "Status.Ping", ping),
            self._cluster_size,
            log=reporter("router"),
        )
        self.router.start()
        self._stops += [pool.close, self.router.stop]
        calls = self.own_caller = ClientCaller(
            self.router,
            pool,
            clock,
            rng,
            log=reporter("rpc"),
            hold_timeout_s=self.config.performance.rpc_hold_timeout_s,
            rate=RateLimit(clock, self.config.limits.rpc_rate, self.config.limits.rpc_max_burst),
        )
        self._copy(Copies(calls, clock, calls))
        self.caller = CopyingCaller(calls, self.copies, self.datacenter)

    def _copy(self, copies: Copies) -> None:
        self.copies = copies
        self._stops.append(copies.close)

    def _build_local(self) -> None:
        """The services and checks of this agent, and keeping the catalog equal to them."""
        config, clock, rng = self.config, self._reactor, self._rng
        node = Node(
            id=config.node_id,
            node=config.node_name,
            address=config.advertise_addr,
            datacenter=config.datacenter,
            tagged_addresses=report.tagged_addresses(config),
            meta=self.node_meta,
        )
        files = DirectoryFiles(config.data_dir) if config.data_dir else None
        disk = DiskThread("services")
        self.local = LocalState(
            node,
            clock,
            rng,
            check_update_interval_s=config.check_update_interval_s,
            discard_check_output=config.discard_check_output,
            files=files,
            wall_s=self._wall_s,
            scripts=Scripts(
                remote=config.enable_script_checks,
                local=config.enable_script_checks or config.enable_local_script_checks,
            ),
            run=disk.run,
            hand_back=self._reactor.callFromThread,
        )
        self.local.starter = Runner(
            self._reactor,
            rng,
            Aliases(self.local.entries, self.own_caller),
            output_max_bytes=config.check_output_max_size_bytes,
            tls=settings.check_tls(config),
        )
        configure(self.local, map(dict, config.services), map(dict, config.checks))
        if files is not None:
            restore(self.local, files, self._wall_s)
        reaper = Reaper(self.local, clock)
        reaper.start()
        self._stops += [disk.stop, reaper.stop, self.local.stop]
        self.events = UserEvents(config.node_name, lambda: self.local.services.values(), rng)
        if not config.disable_remote_exec:
            from consulpy.agent.remoteexec import RemoteExec  # most agents don't have it

            remote = RemoteExec(self._reactor, self.own_caller, config.datacenter, config.node_name)
            self.events.on_remote_exec = remote.asked
            self._stops.append(remote.stop)
        size = self._cluster_size
        self._anti_entropy = AntiEntropy(self.own_caller, self.local, clock, rng, size)
        self._coordinates = CoordinateSender(
            self.own_caller,
            config.datacenter,
            config.node_name,
            clock,
            rng,
            self.lan.coordinate,
            size,
            supported=lambda: self.server is not None or self.router.all_take_coordinates(),
        )

    def _listen(self) -> None:
        """Open all ports: gossip, RPC, then the doors."""
        for pool in self._pools():
            self._run(pool.transport)
        config = self.config
        if self.server is not None:
            rpc = RpcService(
                self._reactor,
                config.bind_addr,
                config.ports.server,
                self.server,
                connections_per_client=config.limits.rpc_max_conns_per_client,
                handshake_timeout_s=config.limits.rpc_handshake_timeout_s,
                tls=self._tls,
            )
            self._run(rpc)
        version = of_copies(self.copies, lambda: dns.config) if self.server is None else of_state(self.server)
        dns = DnsService(self._reactor, settings.dns(config), self.caller, rng=self._rng, version=version)
        if config.ports.dns > 0:
            self._run(dns)
            self.dns = dns
        self._http = HttpService(self._reactor, settings.http(config), self, logs.debugging, self._tls)
        self._run(self._http)

    def _run(self, service: Any) -> None:
        try:
            service.startService()
        except CannotListenError as error:
            raise ConfigError(cannot_listen(type(service).__name__, error.interface, error.port, error)) from None
        self._stops.append(service.stopService)

    def _join_others(self) -> None:
        config = self.config
        for wan, once, again, interval_s, most in (
            (False, config.start_join, config.retry_join, config.retry_interval_s, config.retry_max),
            (True, config.start_join_wan, config.retry_join_wan, config.retry_interval_wan_s, config.retry_max_wan),
        ):
            if wan and self._wan_pool is None:
                continue
            if once:
                Deferred.fromCoroutine(self._join_once(list(once), wan))
            if again:
                retry = joining.RetryJoin(
                    self._reactor,
                    lambda again=again, wan=wan: self._join(again, wan),  # type: ignore[misc]
                    pool="WAN" if wan else "LAN",
                    interval_s=interval_s,
                    max_attempts=most,
                    gave_up=self._give_up,
                )
                self._stops.append(retry.stop)
                Deferred.fromCoroutine(retry.run())

    async def _join_once(self, addresses: list[str], wan: bool) -> None:
        try:
            joined = await self._join(addresses, wan)
        except RPCError as error:
            self._give_up(f"could not join: {str(error).strip()}")
        else:
            _log.info("joined through {count} of {all} addresses", count=joined, all=len(addresses))

    def _give_up(self, why: str) -> None:
        _log.error("{why}", why=why)
        self._shut_down(1)

    def stop(self) -> "Deferred[None]":
        """Stop everything at once, the last that was started first."""
        return self._stop_all()

    def _stop_all(self) -> "Deferred[None]":
        stops, self._stops = self._stops[::-1], []
        waiting = [maybeDeferred(stop) for stop in stops]
        for each in waiting:
            each.addErrback(lambda failure: _log.failure("while stopping", failure))
        return gatherResults(waiting).addCallback(lambda _: None)

    # -- what happens in the pools

    def _lan_event(self, event: Event) -> None:
        if isinstance(event, UserEvent):
            self.metrics.incr("serf.events")
            self.metrics.incr(f"serf.events.{event.name}")
            self.events.receive(event.name, event.payload, event.ltime)
            return
        if not isinstance(event, MemberEvent):
            return
        for member in event.members:
            what = "left" if event.kind is MemberEventKind.LEAVE else event.kind.value
            self.metrics.incr(f"serf.member.{what}")
            _log.info(
                "member {what}: {name} {address}", what=event.kind.value, name=member.name, address=member.address
            )
        if self._leader is not None:
            self._leader.member_event(event)
        elif self.router.member_event(event):
            self._anti_entropy.server_appeared()

    def _cluster_size(self) -> int:
        return len(self.lan.members)

    def _wall_s(self) -> float:
        return time.time()  # noqa: TID251 - the one place where the world's time comes in

    # -- what users ask for

    async def _join(self, addresses: Sequence[str], wan: bool) -> int:
        pool = self._wan_pool if wan else self._lan_pool
        if pool is None:
            raise RPCError("Must be a server to join WAN cluster")
        return await joining.join(self._reactor, pool.serf, addresses, pool.default_port)

    def join(self, addresses: list[str], wan: bool) -> "Deferred[int]":
        """Join a pool through any of `addresses`; how many worked. Fails with `RPCError`."""
        return Deferred.fromCoroutine(self._join(addresses, wan))

    def leave(self) -> "Deferred[None]":
        """Leave the pools gracefully, then end the program. Asking again waits for the same leave."""
        if self._leaving is None:
            self._leaving = Deferred.fromCoroutine(self._leave())
        waiting: Deferred[None] = Deferred()

        def left(result: Any) -> Any:
            waiting.callback(None)
            return result

        self._leaving.addBoth(left)
        return waiting

    async def _leave(self) -> None:
        _log.info("leaving")
        self._anti_entropy.stop()
        for pool in reversed(self._pools()):
            left: Deferred[None] = Deferred()
            pool.serf.leave(lambda left=left: left.callback(None))  # type: ignore[misc]
            await left
        if self.server is not None:
            self.server.is_leader = False
        self._reactor.callLater(_LAST_WORDS_S, self._shut_down, 0)

    def force_leave(self, name: str, prune: bool) -> None:
        """Make a failed member a left one. Raises `RPCError` for a name that nobody has."""
        if name not in self.lan.members:
            raise RPCError(f"agent: No node found with name '{name}'")
        self.lan.force_leave(name, prune)
        wan_name = f"{name}.{self.datacenter}"
        if self.wan is not None and wan_name in self.wan.members:
            self.wan.force_leave(wan_name, prune)

    def reload(self) -> "Deferred[None]":
        """Read the configuration again and apply what can be applied. Fails with `RPCError`."""
        return maybeDeferred(self._reload)

    def _reload(self) -> None:
        try:
            # without a data directory each reading would make up another node id
            fresh = dataclasses.replace(self._read_config(), node_id=self.config.node_id)
            secure = self._tls.planned(tls_settings(fresh))
            watch = self._planned(fresh)  # before anything changes: all of it is applied, or nothing
            configure(self.local, map(dict, fresh.services), map(dict, fresh.checks))
        except ConfigError as error:
            raise RPCError(f"the configuration was not reloaded: {error}") from None
        if fresh.watches != self.config.watches:
            watch()
        changes = compare(self.config, fresh)
        secure()
        if isinstance(self.own_caller, ClientCaller):
            self.own_caller.rate = RateLimit(self._reactor, fresh.limits.rpc_rate, fresh.limits.rpc_max_burst)
        self.config = fresh
        self.metrics.rules = telemetry.rules(fresh.telemetry)
        self.local.entries.discard_check_output = fresh.discard_check_output
        self._http.reconfigure(settings.http(fresh))
        logs.set_level(fresh.log_level)
        if self.dns is not None:
            self.dns.reconfigure(settings.dns(fresh))
        _log.info("reloaded: {changes}", changes=str(changes) or "nothing changed")

    def keyring(self, operation: str, key: str, relay_factor: int) -> "Deferred[list[dict[str, Any]]]":
        """A key operation in all pools. Fails with `RPCError`."""
        pools = [(pool.serf, pool is self._wan_pool) for pool in reversed(self._pools())]
        return Deferred.fromCoroutine(keyoperations.operate(pools, self.datacenter, operation, key, relay_factor))
