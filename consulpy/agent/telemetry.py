"""Telemetry: the metrics that are read from the parts of an agent, when they are read, and where they are sent.

Names are those of Consul's documentation, "Telemetry"; metrics of Go's runtime are left out.
"""

import gc
import resource
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from consulpy.config.sections import Telemetry as Settings
from consulpy.errors import RPCError
from consulpy.log import Logger
from consulpy.metrics.registry import INTERVAL_S, Registry, Rules
from consulpy.rpc.call import ClientCaller, ServerCaller
from consulpy.serf.broadcasts import EVENTS, INTENTS, QUERIES
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.members import Status

if TYPE_CHECKING:
    from consulpy.dns.transport import DnsService
    from consulpy.metrics.net import NetworkSink
    from consulpy.rpc.cache.agent_cache import AgentCache
    from consulpy.rpc.server import Server
    from consulpy.serf.machine import Serf

_log = Logger()

#: Interval of flushes to a StatsD, in seconds.
FLUSH_INTERVAL_S: Final = 0.1
_QUEUES: Final = {"Intent": INTENTS, "Query": QUERIES, "Event": EVENTS}


class MeasuredAgent(Protocol):
    """The parts of an agent that are measured."""

    node_name: str
    metrics: Registry
    clock: Any
    dns: "DnsService | None"

    @property
    def lan(self) -> "Serf":
        """The LAN pool."""

    @property
    def wan(self) -> "Serf | None":
        """The WAN pool of a server."""

    @property
    def own_caller(self) -> ServerCaller | ClientCaller:
        """Makes the calls."""

    @property
    def agent_cache(self) -> "AgentCache":
        """The agent cache."""

    @property
    def server(self) -> "Server | None":
        """The RPC server; None on a client."""


def rules(settings: Settings) -> Rules:
    """Prefix, host name and filters of metric names. A `prefix_filter` entry begins with `+` or `-`."""
    filters = settings.prefix_filter
    # as Consul: kept in memory alone, metrics have no host name
    sinks = settings.statsd_address, settings.dogstatsd_addr, settings.statsite_address
    is_sent = any(sinks) or settings.prometheus_retention_time_s > 0
    return Rules(
        prefix=settings.metrics_prefix,
        hostname=socket.gethostname() if is_sent and not settings.disable_hostname else "",
        allowed=tuple(each[1:] for each in filters if each.startswith("+")),
        blocked=tuple(each[1:] for each in filters if each.startswith("-")),
        allow_by_default=settings.filter_default,
    )


def _network_sinks(settings: Settings, reactor: Any) -> "list[NetworkSink]":
    """The configured StatsD, DogStatsD and statsite sinks. Raises `ConfigError` for an invalid address."""
    from consulpy.metrics.net import StatsdSink, StatsiteSink  # most agents have none
    from consulpy.metrics.statsd import StatsdLines

    found: list[NetworkSink] = []
    if settings.statsd_address:
        found.append(StatsdSink(reactor, settings.statsd_address, StatsdLines()))
    if settings.dogstatsd_addr:
        lines = StatsdLines(tagged=True, tags=settings.dogstatsd_tags)
        found.append(StatsdSink(reactor, settings.dogstatsd_addr, lines))
    if settings.statsite_address:
        found.append(StatsiteSink(reactor, settings.statsite_address, StatsdLines()))
    return found


class Telemetry:
    """The timers of the metrics registry and of the network sinks, from `start` to `stop`.

    Raises `ConfigError` for an invalid address of a sink.
    """

    def __init__(self, settings: Settings, registry: Registry, reactor: Any) -> None:
        self._registry = registry
        self._reactor = reactor
        self._timers: list[Any] = []
        self._sinks: list[NetworkSink] = []
        #: Called at each interval, for metrics that are sampled.
        self.samplers: list[Callable[[], None]] = []
        if settings.statsd_address or settings.dogstatsd_addr or settings.statsite_address:
            self._sinks = _network_sinks(settings, reactor)
        registry.sinks += [sink.lines for sink in self._sinks]

    def start(self) -> None:
        """Start the timers and the sinks."""
        self._repeat(INTERVAL_S / 2, self._tick)
        if self._sinks:
            for sink in self._sinks:
                sink.start()
            self._repeat(FLUSH_INTERVAL_S, self._flush)

    def _tick(self) -> None:
        for sample in self.samplers:
            sample()
        self._registry.tick()

    def _flush(self) -> None:
        for sink in self._sinks:
            for packet in sink.lines.flush():
                sink.send(packet)

    def _repeat(self, interval_s: float, call: Callable[[], None]) -> None:
        place = len(self._timers)

        def again() -> None:
            self._timers[place] = self._reactor.callLater(interval_s, again)
            call()

        self._timers.append(self._reactor.callLater(interval_s, again))

    def stop(self) -> Any:
        """Flush and stop the sinks."""
        for timer in self._timers:
            timer.cancel()
        self._flush()
        for sink in self._sinks:
            sink.stop()


def measure(agent: MeasuredAgent, telemetry: Telemetry) -> None:
    """Register the metrics of all parts. `telemetry`: samples the queues at each interval."""
    registry = agent.metrics
    _runtime(registry, agent.clock)
    for serf in filter(None, (agent.lan, agent.wan)):
        _gossip(registry, serf, telemetry, wan=serf is agent.wan)
    _dns(agent)
    caller = agent.own_caller
    registry.pull("client.rpc", lambda: (caller.calls, caller.calls))
    if isinstance(caller, ClientCaller):
        registry.pull("client.rpc.failed", lambda: (caller.failures, caller.failures))
    _agent_cache(registry, agent.agent_cache)
    if agent.server is not None:
        _server(agent)


def record_members(registry: Registry, event: MemberEvent) -> None:
    """Count and log the members of an event of the LAN pool."""
    what = "left" if event.kind is MemberEventKind.LEAVE else event.kind.value
    for member in event.members:
        registry.incr(f"serf.member.{what}")
        _log.info("member {what}: {name} {address}", what=event.kind.value, name=member.name, address=member.address)


def _runtime(registry: Registry, reactor: Any) -> None:
    registry.watch("runtime.sys_bytes", _resident_bytes)
    registry.watch("runtime.descriptors", _descriptors)
    registry.watch("runtime.timers", lambda: len(reactor.getDelayedCalls()))
    registry.watch("runtime.total_gc_runs", lambda: sum(each["collections"] for each in gc.get_stats()))


def _descriptors() -> float:
    """Open file descriptors of this process; 0 where /proc is missing."""
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return 0


def _resident_bytes() -> float:
    """Resident memory of this process, in bytes."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:  # not on Linux, or no descriptor is free
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _gossip(registry: Registry, serf: "Serf", telemetry: Telemetry, *, wan: bool) -> None:
    counters = serf.memberlist.counters
    registry.pull("memberlist.udp.sent", lambda: (counters["packets_out"], counters["bytes_out"]))
    registry.pull("memberlist.udp.received", lambda: (counters["packets_in"], counters["bytes_in"]))
    registry.watch("memberlist.health.score", lambda: serf.memberlist.health_score)
    registry.pull("memberlist.probe.ended", lambda: (serf.memberlist.probes[0],) * 2)
    registry.pull("memberlist.probe.failed", lambda: (serf.memberlist.probes[1],) * 2)
    pool = {"pool": "wan" if wan else "lan"}
    for status in (Status.ALIVE, Status.LEAVING, Status.FAILED, Status.LEFT):
        labels = {**pool, "state": str(status)}
        registry.watch("memberlist.members", partial(serf.membership.count, status), labels)

    def sample() -> None:
        for name, queue in _QUEUES.items():
            registry.sample(f"serf.queue.{name}", serf.broadcasts.depth(queue))

    telemetry.samplers.append(sample)


def _dns(agent: MeasuredAgent) -> None:
    dns = agent.dns
    if dns is not None:
        node = {"node": agent.node_name}
        agent.metrics.pull("dns.domain_query", lambda: (dns.queries, dns.queries_ms), node, samples=True)


def _agent_cache(registry: Registry, cache: "AgentCache") -> None:
    """Hits, misses, and the ages in ms of results that were given while no server could be reached."""
    registry.pull("client.copies.hit", lambda: (cache.hits, cache.hits))
    registry.pull("client.copies.miss", lambda: (cache.misses, cache.misses))
    registry.pull("client.copies.stale", lambda: (cache.stale, cache.stale_ms), samples=True)
    registry.watch("client.copies.entries", lambda: len(cache))


def _server(agent: MeasuredAgent) -> None:
    server, registry = agent.server, agent.metrics
    assert server is not None
    registry.pull("rpc.request", lambda: (server.calls, server.calls))
    registry.pull("rpc.query", lambda: (server.queries, server.queries))
    registry.watch("rpc.queries_blocking", lambda: server.waiting)
    registry.watch("raft.applied_index", lambda: server.store.index)
    registry.watch("raft.last_index", lambda: server.store.index if server.quorum is None else server.quorum.last_index)
    registry.watch("autopilot.healthy", lambda: _health(server)[0])
    registry.watch("autopilot.failure_tolerance", lambda: _health(server)[1])
    registry.watch("session_ttl.active", lambda: len(server.sessions) if server.sessions is not None else 0)


def _health(server: "Server") -> tuple[float, float]:
    """Whether all servers are healthy, and how many may fail; zeros where that is not known: not on the leader."""
    if server.quorum is None:
        return float(server.is_leader), 0.0
    try:
        from consulpy.rpc.endpoints.operator import quorum_health  # of servers

        found = quorum_health(server.quorum.health())
    except RPCError:
        return 0.0, 0.0
    return float(found.healthy), float(found.failure_tolerance)


__all__ = ["Telemetry", "measure", "rules"]
