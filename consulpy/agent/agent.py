"""`Agent`: builds every room from a configuration, introduces them to each other, starts, reloads, leaves and stops.

Read this first. The order of `start` is the order in which things depend on each other: the state log, the gossip pools,
port 8300 and `call`, the leader, the services of this agent, then the doors (DNS, HTTP), then joining.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.application.service import IService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.logger import Logger

from consulpy.agent import joining, logs, report
from consulpy.agent.pools import Pool, lan_pool, reporter, wan_pool
from consulpy.config.schema import RuntimeConfig
from consulpy.dns.transport import DnsService
from consulpy.errors import ConsulpyError, RPCError
from consulpy.http.server import HttpService
from consulpy.leader.machine import Leader
from consulpy.local.antientropy import AntiEntropy
from consulpy.local.coordinate import CoordinateSender
from consulpy.local.events import UserEvents
from consulpy.local.state import LocalState
from consulpy.rpc.call import Caller, ClientCaller, ServerCaller
from consulpy.rpc.router import Router
from consulpy.rpc.server import Server
from consulpy.serf.events import Event, MemberEvent, MemberEventKind, UserEvent
from consulpy.serf.machine import Serf
from consulpy.state.log import LocalLog, Log, MemoryLog
from consulpy.state.store import Store
from consulpy.structs.node import Node

_log = Logger()

#: The least pause between the answer to a leave and the end of the program, in seconds: the answer has to get out.
_LAST_WORDS_S: Final = 0.1


class Agent:
    """One agent.

    `reactor`: Twisted's. `shut_down(status)`: ends the program, called after a leave and when joining failed for good.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        reactor: Any,
        *,
        shut_down: Callable[[int], None] = lambda _status: None,
        rng: Random | None = None,
    ) -> None:
        self.config = config
        self.datacenter = config.datacenter
        self.node_name = config.node_name
        self._reactor = reactor
        self._shut_down = shut_down
        self._rng = rng or Random()
        self._services: list[IService] = []
        self._stops: list[Callable[[], object]] = []
        self._leaving: Deferred[None] | None = None
        self._lan_pool: Pool
        self._wan_pool: Pool | None = None
        self._leader: Leader | None = None
        self.server: Server | None = None
        self.router: Router
        self.caller: Caller
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
        config, reactor, rng = self.config, self._reactor, self._rng
        self._lock_data_directory()
        state_log = self._open_log() if config.server else None
        self._lan_pool = lan_pool(config, reactor, rng, self._lan_event)
        self._run(self._lan_pool.transport)
        if state_log is not None:
            self._wan_pool = wan_pool(config, reactor, rng, lambda _event: None)
            self._run(self._wan_pool.transport)
            self._serve(state_log)
        else:
            self._be_client()
        self._build_local()
        self._open_doors()
        if self._leader is not None:
            self._leader.start()
        for pool in self._pools():
            pool.serf.start()
            self._stops.append(pool.serf.shutdown)
        self._join_others()

    def _lock_data_directory(self) -> None:
        if self.config.data_dir is not None:
            lock = DataDirectoryLock(Path(self.config.data_dir))
            self._stops.append(lock.release)

    def _open_log(self) -> Log:
        store, config = Store(), self.config
        if config.data_dir is None:
            return MemoryLog(store, say=reporter("state"))
        folder = Path(config.data_dir) / "state"
        folder.mkdir(parents=True, exist_ok=True)
        log = LocalLog(
            store,
            str(folder / "log.sqlite"),
            run=self._reactor.callInThread,
            hand_back=self._reactor.callFromThread,
            say=reporter("state"),
        )
        self._stops.append(log.close)
        return log

    def _serve(self, state_log: Log) -> None:
        """A server: the state, port 8300, the leader."""
        config = self.config
        self.server = Server(
            datacenter=config.datacenter,
            node_name=config.node_name,
            node_id=config.node_id,
            rpc_address=f"{config.advertise_addr}:{config.ports.server}",
            log=state_log,
            clock=self._reactor,
            rng=self._rng,
            lan=self.lan,
            wan=self.wan,
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
        self.caller = ServerCaller(self.server)

    def _be_client(self) -> None:
        """A client: reach the servers that gossip names."""

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
        self.local = LocalState(node, clock, rng)
        self.events = UserEvents(config.node_name, lambda: self.local.services.values(), rng)
        size = self._cluster_size
        self._anti_entropy = AntiEntropy(self.caller, self.local, clock, rng, size)
        self._coordinates = CoordinateSender(
            self.caller, config.datacenter, config.node_name, clock, rng, self.lan.coordinate, size
        )
