"""Measurements: which rooms are asked for what, and the beat in which that happens.

Names are Consul's (its documentation's "Telemetry"); what only a Go program or Raft has is left out.
"""

import gc
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from consulpy.config.sections import Telemetry as Settings
from consulpy.metrics.registry import INTERVAL_S, Registry, Rules
from consulpy.rpc.call import ClientCaller
from consulpy.serf.broadcasts import EVENTS, INTENTS, QUERIES

if TYPE_CHECKING:
    from consulpy.agent.agent import Agent
    from consulpy.metrics.net import NetworkSink
    from consulpy.rpc.cache.agent_cache import AgentCache
    from consulpy.serf.machine import Serf

#: How often lines are sent to a StatsD, in seconds.
FLUSH_INTERVAL_S: Final = 0.1
_QUEUES: Final = {"Intent": INTENTS, "Query": QUERIES, "Event": EVENTS}


def rules(settings: Settings) -> Rules:
    """How names are shown, out of the configuration. A `prefix_filter` entry begins with `+` or `-`."""
    filters = settings.prefix_filter
    return Rules(
        prefix=settings.metrics_prefix,
        hostname="" if settings.disable_hostname else socket.gethostname(),
        allowed=tuple(each[1:] for each in filters if each.startswith("+")),
        blocked=tuple(each[1:] for each in filters if each.startswith("-")),
        allow_by_default=settings.filter_default,
    )


def _network_sinks(settings: Settings, reactor: Any) -> "list[NetworkSink]":
    """Those that the configuration names. Raises `ConfigError` for an address that is none."""
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
    """Runs from `start` to `stop`: the beat of the registry, and the senders.

    Raises `ConfigError` for an address that is none.
    """

    def __init__(self, settings: Settings, registry: Registry, reactor: Any) -> None:
        self._registry = registry
        self._reactor = reactor
        self._beats: list[Any] = []
        self._sinks: list[NetworkSink] = []
        #: Called at each beat, for what is measured by looking.
        self.looks: list[Callable[[], None]] = []
        if settings.statsd_address or settings.dogstatsd_addr or settings.statsite_address:
            self._sinks = _network_sinks(settings, reactor)
        registry.sinks += [sink.lines for sink in self._sinks]

    def start(self) -> None:
        """Begin to beat and to send."""
        self._repeat(INTERVAL_S / 2, self._beat)
        if self._sinks:
            for sender in self._sinks:
                sender.start()
            self._repeat(FLUSH_INTERVAL_S, self._flush)

    def _beat(self) -> None:
        for look in self.looks:
            look()
        self._registry.tick()

    def _flush(self) -> None:
        for sender in self._sinks:
            for packet in sender.lines.flush():
                sender.send(packet)

    def _repeat(self, interval_s: float, call: Callable[[], None]) -> None:
        place = len(self._beats)

        def again() -> None:
            self._beats[place] = self._reactor.callLater(interval_s, again)
            call()

        self._beats.append(self._reactor.callLater(interval_s, again))

    def stop(self) -> Any:
        """Send what is there, then no more."""
        for beat in self._beats:
            beat.cancel()
        self._flush()
        for sender in self._sinks:
            sender.stop()


def measure(agent: "Agent", telemetry: Telemetry) -> None:
    """Ask every room for what it counts."""
    registry = agent.metrics
    _runtime(registry, agent.clock)
    for serf in filter(None, (agent.lan, agent.wan)):
        _gossip(registry, serf, telemetry)
    _dns(agent)
    caller = agent.own_caller
    registry.pull("client.rpc", lambda: (caller.calls, caller.calls))
    if isinstance(caller, ClientCaller):
        registry.pull("client.rpc.failed", lambda: (caller.failures, caller.failures))
    _copies(registry, agent.copies)
    if agent.server is not None:
        _server(agent)


def _runtime(registry: Registry, reactor: Any) -> None:
    registry.watch("runtime.sys_bytes", _resident_bytes)
    registry.watch("runtime.descriptors", _descriptors)
    registry.watch("runtime.timers", lambda: len(reactor.getDelayedCalls()))
    registry.watch("runtime.total_gc_runs", lambda: sum(each["collections"] for each in gc.get_stats()))


def _descriptors() -> float:
    """How many file descriptors this process has open; 0 where that cannot be seen."""
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return 0


def _resident_bytes() -> float:
    """The memory that this process has, in bytes."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:  # not on Linux, or no descriptor is free
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _gossip(registry: Registry, serf: "Serf", telemetry: Telemetry) -> None:
    counters = serf.memberlist.counters
    registry.pull("memberlist.udp.sent", lambda: (counters["packets_out"], counters["bytes_out"]))
    registry.pull("memberlist.udp.received", lambda: (counters["packets_in"], counters["bytes_in"]))
    registry.watch("memberlist.health.score", lambda: serf.memberlist.health_score)

    def look() -> None:
        for name, queue in _QUEUES.items():
            registry.sample(f"serf.queue.{name}", serf.broadcasts.depth(queue))

    telemetry.looks.append(look)


def _dns(agent: "Agent") -> None:
    dns = agent.dns
    if dns is not None:
        node = {"node": agent.node_name}
        agent.metrics.pull("dns.domain_query", lambda: (dns.asked, dns.asked_ms), node, samples=True)


def _copies(registry: Registry, copies: "AgentCache") -> None:
    """Answers from copies; a sample of the ages (ms) of those that were given while no server could be reached."""
    registry.pull("client.copies.hit", lambda: (copies.hits, copies.hits))
    registry.pull("client.copies.miss", lambda: (copies.misses, copies.misses))
    registry.pull("client.copies.stale", lambda: (copies.stale, copies.stale_ms), samples=True)
    registry.watch("client.copies.entries", lambda: len(copies))


def _server(agent: "Agent") -> None:
    server, registry = agent.server, agent.metrics
    assert server is not None
    registry.pull("rpc.request", lambda: (server.calls, server.calls))
    registry.pull("rpc.query", lambda: (server.queries, server.queries))
    registry.watch("rpc.queries_blocking", lambda: server.waiting)
    registry.watch("raft.applied_index", lambda: server.store.index)
    registry.watch("raft.last_index", lambda: server.store.index)
    registry.watch("autopilot.healthy", lambda: float(server.is_leader))
    registry.watch("autopilot.failure_tolerance", lambda: 0.0)
    registry.watch("session_ttl.active", lambda: len(server.sessions) if server.sessions is not None else 0)


__all__ = ["Telemetry", "measure", "rules"]
