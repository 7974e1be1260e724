"""A server of a quorum: Raft with its storage and connections, and the leader's duties while this server leads."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail

from consulpy.agent.build import settings
from consulpy.agent.build.bootstrap import Bootstrap
from consulpy.agent.build.completion import completion
from consulpy.agent.build.newer_kinds import NewerKindsGuard
from consulpy.agent.build.quorum_peers import QuorumPeers
from consulpy.agent.build.raft_report import raft_stats, server_health
from consulpy.agent.build.take_over import take_over
from consulpy.agent.process.disk_thread import disk_thread
from consulpy.agent.process.logs import reporter
from consulpy.codec.record import Record
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import NoLeader, RPCError
from consulpy.leader.leader import Leader
from consulpy.leader.lock_delays import LockDelays
from consulpy.leader.servers import QuorumServers
from consulpy.metrics.registry import Registry
from consulpy.metrics.tallies import Tallies
from consulpy.raft.configuration import Configuration
from consulpy.raft.configuration import Server as RaftServer
from consulpy.raft.disk import MemoryDatabase, RaftDatabase
from consulpy.raft.interfaces import NotLeader, Observer, Role
from consulpy.raft.leader_watch import LeaderWatch
from consulpy.raft.leadership import Leadership
from consulpy.raft.machine import Raft
from consulpy.raft.peers import Peers
from consulpy.raft.replicated_log import ReplicatedLog
from consulpy.raft.state_machine import StoreMachine
from consulpy.raft.store_storage import StoreStorage
from consulpy.raft.stream import RaftStream
from consulpy.rpc.forward import LeaderForwarder
from consulpy.rpc.limits.reply_timeout import ReplyTimeout
from consulpy.rpc.methods import Method
from consulpy.rpc.net.dialer import Dialer
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.server import Server
from consulpy.rpc.server_metadata import host_port
from consulpy.rpc.snapshot_messages import SnapshotRequest
from consulpy.rpc.spool_file import SnapshotResult, Spool
from consulpy.serf.events import Event, MemberEvent
from consulpy.serf.machine import Serf
from consulpy.state.store import Store
from consulpy.structs.operator import AutopilotConfig, ServerHealth

_say = reporter("raft")

MakeLeader = Callable[[Callable[[], None], LockDelays], Leader]


class QuorumServer(Observer):
    """Raft of one server, and its observer.

    Built in three steps, as the parts need each other: the constructor opens the log, `attach` connects it to gossip
    and RPC, `start` loads the stored state. `folder`: directory of the Raft log; None: in memory.
    """

    def __init__(
        self, config: RuntimeConfig, reactor: Any, rng: Random, metrics: Registry, folder: Path | None
    ) -> None:
        self._config = config
        self._reactor = reactor
        self._rng = rng
        self._metrics = metrics
        self._times, self._counts = Tallies(metrics), Tallies(metrics, samples=False)
        self.store = Store()
        self.log = ReplicatedLog(self.store)
        self._own = RaftServer(host_port(config.advertise_addr, config.ports.server), config.node_id)
        self._disk = disk_thread("raft-log", reactor)
        self._database = (
            RaftDatabase(str(folder / "log.sqlite"), _say, alone=config.bootstrap, marked_in=folder.parent)
            if folder
            else MemoryDatabase(_say)
        )
        self._storage = StoreStorage(self._database, self._own, self._disk.run, reactor.callFromThread, self._disk.call)
        self._delays = LockDelays(reactor)
        self.store.on_lock_delay = self._delays.start
        self._leader: Leader | None = None

    def attach(
        self,
        server: Server,
        lan: Serf,
        dialer: Dialer,
        pool: ConnectionPool,
        timeout: ReplyTimeout,
        make_leader: MakeLeader,
    ) -> None:
        """Connect Raft to RPC and gossip. `make_leader(ready)`: the leader's duties of one term (`leader.leader`)."""
        config, reactor = self._config, self._reactor
        self._server = server
        self._dialer = dialer
        self._make_leader = make_leader
        self._others = others = QuorumPeers(
            config,
            reactor,
            self._own,
            lan,
            dialer,
            pool,
            lambda: self.raft.configurations.latest.servers,
            lambda: self.leader_address,
        )
        self._peers = Peers(reactor, others.dial, others.survey)
        machine = StoreMachine(
            self.store,
            say=reporter("state"),
            metrics=self._metrics,
            seconds=reactor.seconds,
            restored=self._restored,
            own=self.log.own,
        )
        self.raft = self.log.raft = Raft(
            config.node_id,
            self._own.address,
            settings.raft(config),
            clock=reactor,
            rng=self._rng,
            storage=self._storage,
            sender=self._peers,
            state_machine=machine,
            observer=self,
        )
        self._metrics.watch("raft.commitNumLogs", lambda: self.raft.applying.last_count)
        self._metrics.watch("raft.leader.dispatchNumLogs", self._dispatched)
        self._watch = LeaderWatch(lambda: self.raft.known_leader, others.refuses, self.raft.leader_died)
        self._forwarder = LeaderForwarder(
            others.leader, pool, reactor, self._rng, config.performance.rpc_hold_timeout_s, timeout
        )
        self.servers_work = QuorumServers(
            self.raft,
            config.datacenter,
            lan.members.values,
            reactor,
            others.stats,
            self._autopilot,
            reporter("autopilot"),
            NewerKindsGuard(
                self.raft,
                reactor,
                self.store,
                others.knows_newer_kinds,
                others.peers,
                reporter("autopilot"),
            ).peers,
        )
        self._bootstrap = Bootstrap(config, reactor, self.raft, pool, others.alive)
        server.quorum = self

    def start(self) -> None:
        """Load the stored state and join the quorum. Raises `ConfigError` for a log that cannot be read."""
        if self._config.data_dir is not None:
            take_over(Path(self._config.data_dir), self._database, self._storage)
        self.raft.start()
        self._mark_log()
        if self._config.bootstrap and not (self.raft.log.last_index or self.raft.term):
            self.raft.bootstrap(Configuration.of([self._own]))

    def _mark_log(self) -> None:
        count = len(self.raft.configurations.latest.servers)
        self._disk.run(lambda: self._database.set_servers(count))

    def stop(self) -> None:
        """Leave Raft and close the log; everything acknowledged is stored."""
        self._end_term()
        self.raft.stop()
        self._peers.close()
        self._disk.stop()
        self._storage.close()

    def transfer_leadership(self) -> "Deferred[None]":
        """Transfer leadership to another voter, if this server leads; fires when done or failed."""
        done, finished = completion()
        leadership = self.raft.leadership
        if leadership is None or len(self.raft.configurations.latest.voters) < 2:
            finished(None)
        else:
            leadership.transfer(finished)
        return done.addErrback(lambda failure: _say("warn", f"leadership was not transferred: {failure.value}"))

    @property
    def is_removed(self) -> bool:
        """Whether this server has left the configuration, or is alone in it."""
        servers = self.raft.configurations.latest.servers
        return len(servers) < 2 or all(server.id != self._config.node_id for server in servers)

    def stream(
        self,
        write: Callable[[bytes], object],
        set_reading: Callable[[bool], object],
        close: Callable[[str], object],
        on_memory: Callable[[int], object],
    ) -> RaftStream:
        """Server side of Raft on one connection: see `RaftStream`."""
        raft = self.raft
        stream = RaftStream(
            raft.handle,
            raft.snapshots.begin_receiving,
            write,
            set_reading,
            close,
            self._watch.lost,
            on_memory,
        )
        self._watch.opened(stream)
        return stream

    # -- interface of the RPC server (consulpy.rpc.forward.Quorum)

    @property
    def leader_address(self) -> str:
        """See `Quorum`. Empty while this server is elected and not yet ready."""
        address = self.raft.known_leader
        return "" if address == self._own.address and not self._server.is_leader else address

    @property
    def leader(self) -> Leader | None:
        """The leader's duties, while this server leads."""
        return self._leader

    @property
    def peers(self) -> list[str]:
        """See `Quorum`."""
        return [server.address for server in self.raft.configurations.latest.servers]

    @property
    def last_contact_ns(self) -> int:
        """See `Quorum`."""
        if self.raft.leadership is not None or self.raft.contact_s is None:
            return 0
        return int(self.raft.since_contact_s * 1e9)

    @property
    def had_contact(self) -> bool:
        """See `Quorum`."""
        return self.raft.contact_s is not None

    @property
    def has_caught_up(self) -> bool:
        """See `Quorum`."""
        return self.raft.has_caught_up

    @property
    def has_lease(self) -> bool:
        """See `Quorum`."""
        return self.raft.leadership is not None and self.raft.leadership.has_lease

    @property
    def term(self) -> int:
        """See `Quorum`."""
        return self.raft.term

    @property
    def last_index(self) -> int:
        """See `Quorum`."""
        return self.raft.log.last_index

    @property
    def last_term(self) -> int:
        """See `Quorum`."""
        return self.raft.log.last_term

    def confirm(self) -> "Deferred[None]":
        """See `Quorum`."""
        done, finished = completion()
        leadership = self.raft.leadership
        index = self.raft.commit_index

        def verified(result: Any) -> None:
            if isinstance(result, Exception):
                finished(result)
            else:
                self.raft.applying.when_applied(index, finished)

        if leadership is None or self.raft.unconfirmed.is_in_force:
            finished(NotLeader())
        else:
            leadership.verify(verified)
        return done

    def forward(self, method: Method, request: Record) -> "Deferred[Any]":
        """See `Quorum`."""
        return self._forwarder.call(self._server, method, request)

    def snapshot(self, request: SnapshotRequest, data: Spool | None) -> "Deferred[SnapshotResult]":
        """See `Quorum`."""
        leader = self._others.leader()
        return self._dialer.snapshot(leader, request, data) if leader is not None else fail(NoLeader())

    def servers(self) -> list[RaftServer]:
        """See `Quorum`."""
        return list(self.raft.configurations.latest.servers)

    def health(self) -> list[ServerHealth]:
        """See `Quorum`."""
        seen = self.servers_work.health
        if not seen:
            raise RPCError("autopilot has not looked at the servers yet")
        to_wall_s = self._server.wall_s() - self._reactor.seconds()
        return [
            server_health(seen[server.id], server, self._config.node_id, to_wall_s)
            for server in self.servers()
            if server.id in seen
        ]

    def without_newer_kinds(self) -> "Deferred[list[str]]":
        """See `Quorum`."""
        return Deferred.fromCoroutine(self._others.without_newer_kinds())

    def remove(self, server_id: str) -> "Deferred[None]":
        """See `Quorum`."""
        return self._lead(
            lambda office, finished: office.change_configuration(lambda now: now.without(server_id), finished)
        )

    def transfer(self, server_id: str) -> "Deferred[None]":
        """See `Quorum`."""
        return self._lead(lambda office, finished: office.transfer(finished, server_id))

    def _lead(self, act: "Callable[[Leadership, Callable[[Any], None]], None]") -> "Deferred[None]":
        """The end of what only a leader can do; fails with `NoLeader` elsewhere."""
        done, finished = completion()
        leadership = self.raft.leadership
        if leadership is None:
            finished(NoLeader())
        else:
            act(leadership, finished)
        return done

    def _dispatched(self) -> float:
        return self.raft.persistence.last_count if self.raft.leadership is not None else 0

    def stats(self) -> dict[str, str]:
        """Section `raft` of `consul info`."""
        return raft_stats(self.raft)

    # -- interface of Raft (consulpy.raft.interfaces.Observer)

    def say(self, level: str, text: str) -> None:
        """See `Observer`."""
        _say(level, text)

    def role_changed(self, role: Role, term: int) -> None:
        """See `Observer`."""
        _say("info", f"entering {role.value.lower()} state: term={term}")
        self._metrics.incr(f"raft.state.{role.value.lower()}")
        if role is not Role.LEADER:
            self._end_term()

    def leader_changed(self, address: str) -> None:
        """See `Observer`."""
        self._others.changed()
        if address and address != self._own.address:
            _say("info", f"new leader elected: {address}")

    def ready(self) -> None:
        """See `Observer`: all entries of earlier terms are applied."""
        self._end_term()

        def leads() -> None:
            if self._leader is leader and self.raft.leadership is not None:
                self._server.is_leader = True
                self.servers_work.start()
                _say("info", f"this server leads datacenter {self._config.datacenter}: term={self.raft.term}")

        leader = self._leader = self._make_leader(leads, self._delays)
        self._server.queue_coordinate = leader.queue_coordinate
        self._server.sessions = leader.sessions
        leader.start()

    def configuration_changed(self) -> None:
        """See `Observer`."""
        self._others.changed()
        self._mark_log()

    def heartbeat_failed(self, server: RaftServer, error: Exception) -> None:  # noqa: ARG002
        """See `Observer`."""
        self._metrics.incr("raft.replication.heartbeat.failed")

    def incr(self, name: str, count: float = 1) -> None:
        """See `Observer`."""
        self._metrics.incr(name, count)

    def sample(self, name: str, value: float) -> None:
        """See `Observer`."""
        self._metrics.sample(name, value)

    def counted(self, name: str, count: float, times: int = 1) -> None:
        """See `Observer`."""
        self._counts.add(name, count, times)

    def timed(self, name: str, seconds: float, count: int = 1) -> None:
        """See `Observer`."""
        self._times.add(name, 1000 * seconds, count)

    def _end_term(self) -> None:
        leader, self._leader = self._leader, None
        if leader is not None:
            leader.stop()
            self.servers_work.stop()
        self._server.is_leader = False

    def _restored(self) -> None:
        for job in self._server.after_restore:
            job()
        if self._leader is not None:
            self._leader.restored()

    # -- other servers

    def member_event(self, event: Event) -> None:
        """Apply a change of the LAN members."""
        if isinstance(event, MemberEvent):
            self._others.changed()
            if self._leader is not None:
                self._leader.member_event(event)
            self.servers_work.member_event(event)
            self._bootstrap.check()

    def _autopilot(self) -> AutopilotConfig:
        return self.store.operator.autopilot(None)[1] or AutopilotConfig()
