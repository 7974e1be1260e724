"""Detection times of a cluster with given gossip settings for failures, leaves, joins, events: `consulpy simulate`."""

import math
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from consulpy.testing.simulation.faults import Fault, at
from consulpy.testing.simulation.simulation import Simulation

#: What is measured, in the order of the report.
KINDS: Final = ("failure", "join", "leave", "event")
#: The events of a node by which it knows.
_KNOWN_BY: Final = {"member failed": "failure", "member left": "leave", "member join": "join", "user event": "event"}
#: Shares of the duration in which nodes are killed and leave, and events are sent; and in which they come back.
_GOING: Final = (0.02, 0.45)
_COMING: Final = (0.65, 0.85)
#: Virtual seconds between two looks at the progress.
_STEP_S: Final = 1.0


def kill_max(nodes: int, servers: int) -> int:
    """How many nodes can fail while as many others leave: all are clients, or all but one where none is a server."""
    return (nodes - max(servers, 1)) // 2


@dataclass(frozen=True, slots=True)
class Plan:
    """A study's parameters. `kill`: number of failures, of leaves, and of events. Times in seconds."""

    nodes: int
    servers: int = 0
    duration_s: float = 300.0
    seed: int = 1
    loss: float = 0.0
    kill: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Samples:
    """Times in seconds until each other node knew, of one kind. `ignorant`: nodes that do not know yet, by event."""

    times_s: list[float] = field(default_factory=list)
    ignorant: dict[str, set[str]] = field(default_factory=dict)

    def quantile(self, share: float) -> float | None:
        """The smallest time within which this share of all that know has known; None without any."""
        times = sorted(self.times_s)
        return times[min(int(share * len(times)), len(times) - 1)] if times else None

    def to_json(self) -> dict[str, Any]:
        """Median, 99th percentile and worst in seconds, how many knew, and how many did not until the end."""
        values = {"median": self.quantile(0.5), "p99": self.quantile(0.99), "worst": self.quantile(1.0)}
        shown = {name: None if value is None else round(value, 6) for name, value in values.items()}
        return {**shown, "count": len(self.times_s), "unknown": sum(map(len, self.ignorant.values()))}


class Study:
    """One simulation, measured. `progress(share)`: called now and then. Raises `ValueError` and `ConfigError`."""

    def __init__(self, plan: Plan, progress: Callable[[float], None] = lambda _share: None) -> None:
        self.plan = plan
        self.samples = {kind: Samples() for kind in KINDS}
        #: Accusations of nodes that ran, and nodes that were taken for failed though they ran.
        self.false_suspicions = 0
        self._false_failures: set[tuple[str, int]] = set()
        self._progress = progress
        self._since_s: dict[tuple[str, str], float] = {}
        self._down: set[str] = set()
        layers: Any = "agents" if plan.servers else "gossip"
        self.simulation = Simulation(
            plan.servers,
            plan.nodes - plan.servers,
            seed=plan.seed,
            loss=plan.loss,
            config=plan.config,
            layers=layers,
            traced=False,
        )
        self.simulation.listeners.append(self._happened)
        self._bytes = self.simulation.network.bytes
        self.simulation.schedule(*self._schedule())

    def run(self) -> None:
        """Simulate, as long as planned."""
        began_s = _cpu_s()
        steps = math.ceil(self.plan.duration_s / _STEP_S)
        for step in range(1, steps + 1):
            self.simulation.run(max(min(step * _STEP_S, self.plan.duration_s) - self.simulation.now, 0.0))
            self._progress(step / steps)
        self.cpu_s = _cpu_s() - began_s
        self._bytes = self.simulation.network.bytes - self._bytes

    @property
    def false_failures(self) -> int:
        """Number of nodes that ran and were taken for failed; of one incarnation each counts once."""
        return len(self._false_failures)

    def to_json(self) -> dict[str, Any]:
        """The report."""
        plan = self.plan
        settings = {
            "nodes": plan.nodes,
            "servers": plan.servers,
            "duration": plan.duration_s,
            "seed": plan.seed,
            "loss": plan.loss,
            "kill": plan.kill,
            "config": dict(plan.config),
        }
        return {
            "settings": settings,
            **{kind: self.samples[kind].to_json() for kind in KINDS},
            "false_suspicions": self.false_suspicions,
            "false_failures": self.false_failures,
            "bytes_per_node_per_second": round(self._bytes / plan.nodes / plan.duration_s, 1),
            "cpu_seconds_per_node": round(self.cpu_s / plan.nodes, 6),
        }

    # -- the plan

    def _schedule(self) -> list[Fault]:
        """Kills, leaves and events at random times, of different nodes; later all that are gone come back."""
        plan, rng = self.plan, Random(f"{self.plan.seed} study")
        others = list(self.simulation.nodes)[max(plan.servers, 1) :]
        kill = min(plan.kill, kill_max(plan.nodes, plan.servers))
        chosen = rng.sample(others, 2 * kill)

        def some_time(span: tuple[float, float]) -> float:
            return round(plan.duration_s * rng.uniform(*span), 3)

        faults: list[Fault] = []
        for name in chosen[:kill]:
            faults.append(self._at(some_time(_GOING), "failure", name))
            faults.append(at(faults[-1].at_s).crash(name))
        for name in chosen[kill:]:
            faults.append(self._at(some_time(_GOING), "leave", name))
            faults.append(at(faults[-1].at_s).leave(name))
        for name in chosen:
            faults.append(self._at(some_time(_COMING), "join", name))
            faults.append(at(faults[-1].at_s).restart(name))
        faults += [self._user_event(some_time(_GOING), f"event-{number}") for number in range(plan.kill)]
        return sorted(faults, key=lambda fault: fault.at_s)

    def _at(self, time_s: float, kind: str, name: str) -> Fault:
        return at(time_s).call(lambda: self._begins(kind, name))

    def _user_event(self, time_s: float, name: str) -> Fault:
        def send() -> None:
            running = [node for node in self.simulation.nodes.values() if node.name not in self._down]
            source = running[len(self._since_s) % len(running)]
            self._begins("event", name, source.name)
            source.serf.user_event(name, b"", coalesce=False)

        return at(time_s).call(send)

    def _begins(self, kind: str, name: str, source: str = "") -> None:
        self._since_s[kind, name] = self.simulation.now
        running = {node.name for node in self.simulation.nodes.values() if node.is_running}
        self.samples[kind].ignorant[name] = running - self._down - {name, source}
        if kind == "join":
            self._down.discard(name)
        elif kind != "event":
            self._down.add(name)
            for samples in self.samples.values():
                for ignorant in samples.ignorant.values():
                    ignorant.discard(name)

    # -- what happens

    def _happened(self, node: str, event: str, fields: Mapping[str, Any]) -> None:
        kind = _KNOWN_BY.get(event)
        if kind is not None:
            name = fields["name"] if kind == "event" else fields["member"]
            ignorant = self.samples[kind].ignorant.get(name, set())
            if node in ignorant:
                ignorant.discard(node)
                self.samples[kind].times_s.append(self.simulation.now - self._since_s[kind, name])
        elif fields.get("by") == node and fields["member"] not in self._down:
            if event in ("suspected", "suspicion confirmed"):
                self.false_suspicions += 1
            elif event == "dead":
                self._false_failures.add((fields["member"], fields["incarnation"]))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
