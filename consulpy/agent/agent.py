"""`Agent`: builds all parts from a configuration and connects them; starts, reloads, leaves and stops.

Read this first. `start` follows the dependencies: the state log, the gossip pools, the server or client role, the
services of this agent, the listeners (port 8300, DNS, HTTP), the leader, then joining.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from consulpy.agent import access, telemetry
from consulpy.agent.build import settings
from consulpy.agent.build.client import client_role
from consulpy.agent.build.gossip import GossipPool, lan_pool, wan_pool
from consulpy.agent.build.listeners import dns_listener, rpc_listener
from consulpy.agent.build.local import local_parts
from consulpy.agent.features import retry_join
from consulpy.agent.features.flood_join import FloodJoin
from consulpy.agent.features.retry_join import JoinStatus
from consulpy.agent.leave import leave
from consulpy.agent.parts import AgentParts
from consulpy.agent.process import logs
from consulpy.agent.process.data_dir import DataDirectoryLock
from consulpy.agent.process.descriptors import connection_table
from consulpy.agent.process.disk_thread import disk_thread
from consulpy.checks.agenttls import AgentTls
from consulpy.config.reload import compare
from consulpy.config.schema import RuntimeConfig
from consulpy.config.tls import tls_settings
from consulpy.errors import ConfigError, RPCError
from consulpy.http.listener import HttpService
from consulpy.local.load import reconfigure
from consulpy.log import Logger
from consulpy.memberlist.transport import cannot_listen
from consulpy.rpc.call import ClientCaller
from consulpy.rpc.limits.rate_limit import RateLimiter
from consulpy.serf.events import Event, MemberEvent, MemberEventKind, UserEvent
from consulpy.tls.contexts import Tls

if TYPE_CHECKING:
    from consulpy.agent.build.role import Role
    from consulpy.agent.features.diagnosis import AgentDiagnosis
    from consulpy.diagnosis.causes import Verdict
    from consulpy.local.leaf_certificates import LeafCertificates

_log = Logger()

#: From the end of a leave to the end of the program, in seconds: the HTTP response to it is still sent.
_SHUTDOWN_DELAY_S: Final = 0.1


class Agent(AgentParts):
    """One agent: builds its parts from the configuration, starts, reloads, leaves and stops them."""

    # -- diagnosis

    def why(self, name: str) -> "Deferred[dict[str, Any]]":
        """The verdict about a member that has a timeline."""
        return Deferred.fromCoroutine(self._diagnosis.why(name)).addCallback(lambda verdict: verdict.to_json())

    def doctor(self, target: str) -> "Deferred[list[dict[str, Any]]]":
        """The findings about this agent and its cluster, or about a join to `target` if that is not empty."""
        from consulpy.agent.features.doctor import checks  # a costly import, for few requests

        diagnosis = self._diagnosis
        if target:
            found = Deferred.fromCoroutine(diagnosis.target(target))
        else:
            found = diagnosis.run(checks(self, self._reactor))
        return found.addCallback(lambda findings: [finding.to_json() for finding in findings])

    @property
    def _diagnosis(self) -> "AgentDiagnosis":
        from consulpy.agent.features.diagnosis import AgentDiagnosis  # a costly import, for few requests

        return AgentDiagnosis(self, self._reactor)

    # -- start and stop

    def start(self) -> None:
        """Build and start all parts. Raises `ConfigError`, after stopping those that were started.

        A client that gets its certificate from the servers (`auto_encrypt.tls`) starts once it has it.
        """
        try:
            self._prepare()
            if self.config.auto_encrypt.tls:
                self._obtain_certificate()
            else:
                self._build()
        except BaseException:
            self.stop_parts()
            raise
        for text in self.config.warnings:
            _log.warn("{text}", text=text)

    def _prepare(self) -> None:
        config, reactor = self.config, self._reactor
        self._tls = Tls(tls_settings(config))
        if config.data_dir is not None:
            self._stops.append(DataDirectoryLock(Path(config.data_dir)).release)
        self._tokens = access.agent_tokens(config, lambda job: deferToThreadPool(reactor, reactor.getThreadPool(), job))

    def _obtain_certificate(self) -> None:
        """Ask the servers for the certificate, then build the rest."""
        from consulpy.agent.features.auto_encrypt import obtain  # costly, and for few agents

        def obtained(follow: "Callable[[Role, LeafCertificates], Callable[[], object]]") -> None:
            self._build()
            self._stops.append(follow(self._role, self.leaf_certificates))

        def failed(failure: Failure) -> None:
            if not failure.check(CancelledError):
                self._give_up(f"auto_encrypt: {failure.getErrorMessage()}")

        token = self._tokens.agent
        obtaining = obtain(self.config, self._reactor, self._rng, self._tls, lambda: token)
        self._stops.append(obtaining.cancel)
        obtaining.addCallback(obtained).addErrback(failed)

    def _build(self) -> None:
        config, reactor, rng = self.config, self._reactor, self._rng
        if config.server:
            from consulpy.agent.build.server import memory_log, open_quorum, server_role  # no client needs them

            quorum = open_quorum(config, reactor, rng, self.metrics)
            log = quorum.log if quorum is not None else memory_log(reactor, self.metrics)
        disk = disk_thread("gossip-files", reactor)
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
            if config.auto_encrypt.allow_tls:
                from consulpy.agent.features.auto_encrypt import give_certificates  # costly, and for few agents

                self._stops.append(give_certificates(config, reactor, self._role, self._tls))
        self.access = access.agent_access(config, reactor, self._tokens, self.server, self.own_caller)
        self.access.default_intention_policy = config.default_intention_policy
        self._parts = local_parts(
            config, reactor, rng, self._role, self.lan, self._wall_s, self.node_meta, self._tokens, self._environment
        )
        self._stops += self._parts.stops
        if config.connect.enabled:
            from consulpy.local.proxy_leafs import ProxyLeafs  # for agents with Connect only

            self._stops.append(ProxyLeafs(self.local.entries, self._leaf_of, reactor).stop)
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
        if config.auto_reload_config:
            self._reload_by_itself()
        self._end_joins = retry_join.begin(
            config, reactor, self._join, self._give_up, servers=self._wan_pool is not None
        )
        self._stops += self._end_joins

    def _leaf_of(self, service: str, token: str) -> "Deferred[Any]":
        """The leaf certificate of a service, kept from now on. `token`: of its registration."""
        token = token or self._tokens.of_registrations(from_file=False)
        return Deferred.fromCoroutine(self.leaf_certificates.read(self.config.datacenter, service, token))

    def _reload_by_itself(self) -> None:
        """Reload when files change."""
        from consulpy.agent.features.auto_reload import AutoReload, signatures, watched_paths  # for few agents

        def look() -> "Deferred[Any]":
            paths = watched_paths(self.config)
            return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), signatures, paths)

        watch = AutoReload(self._reactor, look, self.reload)
        self._stops.append(watch.stop)
        watch.start()

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
            self._run(pool.transport, "gossip")
        config, role = self.config, self._role
        connections = connection_table(self._reactor.seconds)
        self._stops.append(connections.close_all)
        if role.server is not None:
            self._run(rpc_listener(config, self._reactor, role.server, role, self._tls, connections), "RPC")
        dns = dns_listener(config, self._reactor, self._rng, role, self.access, self._tokens, connections)
        if config.ports.dns > 0:
            self._run(dns, "DNS")
            self.dns = dns
        self._http = HttpService(self._reactor, settings.http(config), self, logs.debugging, self._tls, connections)
        self._run(self._http, "HTTP")

    def _run(self, service: Any, what: str) -> None:
        """Start a listener; `what`: its name in errors."""
        try:
            service.startService()
        except CannotListenError as error:
            raise ConfigError(cannot_listen(what, error.interface, error.port, error)) from None
        self._stops.append(service.stopService)

    def _give_up(self, why: str) -> None:
        _log.error("{why}", why=why)
        self._shut_down(1)

    def stop(self) -> "Deferred[None]":
        """Stop, after a leader has transferred its leadership."""
        quorum = self._role.quorum if hasattr(self, "_role") else None
        if quorum is None:
            return self.stop_parts()
        return quorum.transfer_leadership().addCallback(lambda _: self.stop_parts())

    def stop_parts(self) -> "Deferred[None]":
        """Stop all parts in the reverse order of their start."""
        stops, self._stops = self._stops[::-1], []
        stopping = [maybeDeferred(stop) for stop in stops]
        for each in stopping:
            each.addErrback(lambda failure: _log.failure("while stopping", failure))
        return gatherResults(stopping, consumeErrors=True).addCallback(lambda _: None)

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
        for end_join in self._end_joins:
            end_join()
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

    def force_leave_wan(self, name: str, prune: bool) -> None:
        """Mark a failed server (NODE.DATACENTER) as left in the WAN pool only. Raises `RPCError`."""
        if self.wan is None:
            raise RPCError("Must be a server to force a leave of the WAN pool")
        if name not in self.wan.members:
            raise RPCError(f"agent: No node found with name '{name}'")
        self.wan.force_leave(name, prune)

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
        def read() -> tuple[RuntimeConfig, Callable[[], None], AgentTls | None]:  # in a thread: files may be slow
            # without a data directory each reading would generate another node id
            fresh = dataclasses.replace(self._read_config(), node_id=self.config.node_id)
            return fresh, self._tls.prepare(tls_settings(fresh)), settings.check_tls(fresh)

        try:
            fresh, secure, of_checks = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), read)
            watch = self._prepare_watches(fresh)  # validated before anything changes
            await reconfigure(self.local, map(dict, fresh.services), map(dict, fresh.checks))
        except ConfigError as error:
            raise RPCError(f"the configuration was not reloaded: {error}") from None
        if fresh.watches != self.config.watches:
            watch()
        changes = compare(self.config, fresh)
        secure()
        self._parts.runner.tls = of_checks
        if self._role.timeout is not None:
            self._role.timeout.timeout_s = fresh.limits.rpc_client_timeout_s
        if isinstance(self.own_caller, ClientCaller):
            self.own_caller.rate = RateLimiter(self._reactor, fresh.limits.rpc_rate, fresh.limits.rpc_max_burst)
        if self.server is not None and fresh.limits.request_limits != self.config.limits.request_limits:
            from consulpy.agent.build.server import request_limits  # no client needs it

            self.server.request_limits = request_limits(fresh, self._reactor, self.server)
        self.config = fresh
        access.reconfigure(self._tokens, fresh)
        self.metrics.rules = telemetry.rules(fresh.telemetry)
        self.local.entries.discard_check_output = fresh.discard_check_output
        self._http.reconfigure(settings.http(fresh))
        logs.set_level(fresh.log_level)
        if self.dns is not None:
            self.dns.reconfigure(settings.dns(fresh))
        _log.info("reloaded: {changes}", changes=changes)

    def reset(self) -> "Deferred[None]":
        """Empty the agent's own state and, if it leads, the servers' (`features.reset`)."""
        from consulpy.agent.features.reset import reset  # for tests only

        return reset(self)
