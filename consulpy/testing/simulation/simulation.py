"""`Simulation`: a cluster on one virtual clock, with a schedule of faults and a trace; all chance comes from a seed."""

import json
import math
import os
import shutil
import tempfile
import weakref
from bisect import insort
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from consulpy.errors import ConfigError
from consulpy.testing.simulation.actions import NodeHandle, begin, play
from consulpy.testing.simulation.clock import HeapClock
from consulpy.testing.simulation.config import configs
from consulpy.testing.simulation.faults import Fault
from consulpy.testing.simulation.garbage import fewer_collections
from consulpy.testing.simulation.interface import SimulationFailed, failure_of, with_simulation
from consulpy.testing.simulation.network import Conditions, Network
from consulpy.testing.simulation.node import Node, Record, members_of
from consulpy.testing.simulation.settle import make_nodes, settle
from consulpy.testing.simulation.shrink import shortest_prefix
from consulpy.testing.simulation.trace import Recorder, Trace, TraceError, text_of

#: Virtual seconds after which an answer that does not come is given up.
ANSWER_LIMIT_S: Final = 900.0
#: Actions begin at whole units of this, so that a trace has their times exactly.
_TICK_S: Final = 1e-6

Layers = Literal["agents", "gossip"]
Condition = Callable[..., object]


class Simulation:
    """Nodes n0, n1 ..., servers first, on one virtual clock and one network.

    `seed`: all random values come from it. `loss`: share of datagrams lost. `delay`: of each packet one way, in
    seconds: the least and the most, or one number. `config`: Consul's keys for all nodes. `joined`: the cluster is
    settled at 0; otherwise each node is alone and joins. `layers`: `agents` for whole agents, `gossip` for the LAN pool
    alone. `traced`: whether the events of a trace are kept.

    Raises `ConfigError` and `ValueError`.
    """

    def __init__(
        self,
        servers: int = 1,
        clients: int = 0,
        *,
        seed: int | str,
        loss: float = 0.0,
        delay: float | tuple[float, float] = (0.0005, 0.002),
        config: Mapping[str, Any] | None = None,
        joined: bool = True,
        layers: Layers = "agents",
        traced: bool = True,
    ) -> None:
        if config is not None and not isinstance(config, Mapping):
            raise ConfigError(f"config: expected a mapping of Consul's keys to values, not {config!r}")
        least_s, most_s = delay if isinstance(delay, tuple | list) else (delay, delay)
        _check(servers, clients, seed, loss, least_s, most_s, layers)
        #: As they are written in a trace.
        self.settings: dict[str, Any] = {
            "servers": servers,
            "clients": clients,
            "seed": seed,
            "loss": loss,
            "delay": [least_s, most_s],
            "config": json.loads(json.dumps(dict(config or {}))),
            "joined": joined,
            "layers": layers,
        }
        self.seed = seed
        self.clock = HeapClock()
        self.network = Network(self.clock, f"{seed} network", Conditions(least_s, most_s, loss))
        #: Called with node, event and its fields, for each event that a trace has, also if none is kept.
        self.listeners: list[Record] = []
        self._zero_s = 0.0
        self._recorder = Recorder(keeps=traced)
        self._faults: list[Fault] = []
        self._done: list[Fault] = []
        self._call: int | None = None
        self._played: list[dict[str, Any]] | None = None
        self._checks: list[Condition] = []
        self._is_checking = False
        self._trace_path: Path | None = None
        self._folder = _temporary_folder() if layers == "agents" and servers else None
        if self._folder is not None:
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.nodes: dict[str, Node] = make_nodes(
            layers, configs(config or {}, seed, servers, clients), self.network, seed, self._record, self._folder
        )
        with fewer_collections():
            self._zero_s = settle(self.nodes, self.clock, joined=joined)
        self._recorder.is_open = True

    # -- time

    @property
    def now(self) -> float:
        """The virtual time, in seconds from the start."""
        return self.clock.seconds() - self._zero_s

    def run(self, seconds: float) -> None:
        """Let virtual time go on. Raises `SimulationFailed` when a condition of `check` fails."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"time goes on by seconds, not by {seconds!r}")
        try:
            with fewer_collections():
                self._advance_to(round(self.now + seconds, 9))
                self._look()
        finally:
            self._write()

    def _advance_to(self, until_s: float) -> None:
        while self._faults and self._faults[0].at_s <= until_s:
            fault = self._faults.pop(0)
            self._advance_clock(fault.at_s)
            self._apply(fault)
        self._advance_clock(until_s)

    def _advance_clock(self, until_s: float) -> None:
        clock, recorder, end_s = self.clock, self._recorder, self._zero_s + until_s
        if not self._checks or self._is_checking:
            clock.advance_to(end_s)
            return
        seen = recorder.count
        while clock.step(end_s):
            if recorder.count != seen:
                self._look()
                seen = recorder.count

    def _wait(self, answer: "Deferred[Any]", what: str) -> Any:
        """Let time go on until it is answered. Raises what it fails with, or `TimeoutError`."""
        found: list[Any] = []
        answer.addBoth(found.append)
        end_s = self.now + ANSWER_LIMIT_S
        while not found:
            next_s = min(self._faults[0].at_s if self._faults else end_s, end_s)
            seen = self._recorder.count
            if not self.clock.step(self._zero_s + next_s):
                if next_s >= end_s:
                    raise TimeoutError(f"{what}: no answer in {ANSWER_LIMIT_S:g} s")
                self._advance_to(next_s)
            if self._checks and self._recorder.count != seen:
                self._look()
        if isinstance(found[0], Failure):
            found[0].raiseException()
        return found[0]

    # -- faults

    def schedule(self, *faults: Fault) -> None:
        """Add faults; those of one time happen in this order. Raises `ValueError` for an unknown node or a time that is
        over.
        """
        for fault in faults:
            if not isinstance(fault, Fault):
                raise ValueError(f"at(seconds) makes faults, not {fault!r}")
            for name in fault.names:
                self.node(name)
            if fault.at_s < self.now:
                raise ValueError(f"{fault} is over: it is {self.now:g} s already")
        for fault in faults:
            insort(self._faults, fault, key=lambda each: each.at_s)

    def _apply(self, fault: Fault) -> None:
        self._done.append(fault)
        self._event({**fault.to_json(), "event": "fault"}, without="at")
        nodes = [self.nodes[name] for name in fault.nodes]
        network = self.network
        match fault.kind:
            case "partition":
                network.cut([node.address for node in nodes])
            case "heal":
                self._heal()
            case "drop":
                for udp in (True, False) if fault.udp is None else (fault.udp,):
                    network.drop(nodes[0].address, self.nodes[fault.to].address, udp=udp)
            case "slow":
                nodes[0].clock.slow(fault.by_s)
                network.late_s[nodes[0].address] = fault.by_s
            case "skew":
                nodes[0].clock.jump(fault.by_s)
            case "crash":
                nodes[0].crash()
            case "restart":
                nodes[0].crash()
                nodes[0].start()
                nodes[0].join()
            case "leave":
                if nodes[0].is_running:
                    nodes[0].leave()
            case "call":
                self._run_call(fault)
        self._look()

    def _heal(self) -> None:
        self.network.heal()
        self.network.late_s.clear()
        for node in self.nodes.values():
            if node.clock.late_s:
                node.clock.slow(0.0)

    def _run_call(self, fault: Fault) -> None:
        before, self._call = self._call, sum(each.kind == "call" for each in self._done) - 1
        try:
            if fault.run is not None:
                with_simulation(fault.run, self)
            else:
                play(self, self._played or (), self._call)
        finally:
            self._call = before

    # -- looking

    def node(self, name: str) -> Node:
        """A node. Raises `ValueError` for a name that is none."""
        found = self.nodes.get(name)
        if found is None:
            raise ValueError(f"there is no node {name!r}: they are n0 to n{len(self.nodes) - 1}")
        return found

    def __getitem__(self, name: str) -> NodeHandle:
        """A node, to be asked. Raises `ValueError`."""
        self.node(name)
        return NodeHandle(self, name)

    def members(self, asked: str) -> dict[str, str]:
        """A node's view of all members: `{name: state}`, states as `consul members` has them. Raises `ValueError`
        for a node that does not run.
        """
        node = self.node(asked)
        if not node.is_running:
            raise ValueError(f"{asked} does not run")
        return members_of(node.serf)

    def why(self, node: str, asked: str = "n0") -> dict[str, Any]:
        """The JSON of `consulpy why NODE`, asked at a node; time goes on meanwhile. Raises `ValueError`."""
        found = self.act({"action": "why", "node": asked, "name": node})
        assert isinstance(found, dict)
        return found

    def act(self, action: dict[str, Any]) -> Any:
        """Send a request to a node, and record it in the trace; see `consulpy.testing.simulation.actions`."""
        node = self.node(action["node"])
        if not node.is_running:
            raise ValueError(f"{node.name} does not run")
        ticks = math.ceil(round(self.now / _TICK_S, 3))
        self._advance_to(ticks * _TICK_S)
        call = {} if self._call is None else {"call": self._call}
        self._event({**action, **call})
        found = self._wait(begin(node, action), f"{action['action']} at {node.name}")
        self._look()
        self._write()
        return found

    def check(self, condition: Condition) -> None:
        """Evaluate a condition after every event: `condition(simulation)` fails if it returns False or raises
        AssertionError. Then the run raises `SimulationFailed`. Raises `ValueError` for what can't be called.
        """
        if not callable(condition):
            raise ValueError(f"a condition is called with the simulation, which {condition!r} cannot be")
        self._checks.append(condition)

    def _look(self) -> None:
        if self._is_checking:
            return
        self._is_checking = True
        try:
            for condition in self._checks:
                text = failure_of(condition, self)
                if text is not None:
                    raise SimulationFailed(self.seed, self.now, text, list(self._done), condition)
        except SimulationFailed as failed:
            if failed.is_shrunk or self._played is not None:
                raise
            raise shortest_prefix(self, failed) from None
        finally:
            self._is_checking = False

    # -- trace

    def _record(self, node: str, event: str, fields: dict[str, Any]) -> None:
        self._recorder.add(self.now, {"node": node, "event": event, **fields})
        for listener in self.listeners:
            listener(node, event, fields)

    def _event(self, value: dict[str, Any], without: str = "") -> None:
        self._recorder.add(self.now, {name: each for name, each in value.items() if name != without})

    @property
    def lines(self) -> list[str]:
        """The lines of the trace so far, without the first and the last one."""
        return self._recorder.lines

    def trace(self, path: str | Path) -> None:
        """Write the trace to a file, and again whenever more has happened at the end of `run`. Raises `ValueError` if
        none is kept.
        """
        if not self._recorder.keeps:
            raise ValueError("this simulation keeps no trace (traced=False)")
        self._trace_path = Path(path)
        self._write()

    def _write(self) -> None:
        if self._trace_path is not None:
            faults = sorted([*self._done, *self._faults], key=lambda fault: fault.at_s)
            header = {**self.settings, "schedule": [fault.to_json() for fault in faults]}
            self._trace_path.write_text(text_of(header, self.lines, self.now), encoding="ascii")

    @classmethod
    def replay(cls, path: str | Path) -> "Simulation":
        """Play a trace; the simulation at its end. Raises `TraceError` for a file that is no whole trace of this
        version, and where the simulation does something else than the trace.
        """
        trace = Trace.read(path)
        simulation = cls._of(trace.header, path)
        simulation.repeat(trace)
        for number, (theirs, ours) in enumerate(zip(trace.lines, simulation.lines, strict=False), 2):
            if theirs != ours:
                raise TraceError(f"{path}: line {number} happens otherwise now: {ours}")
        if len(trace.lines) != len(simulation.lines):
            raise TraceError(f"{path}: {len(trace.lines)} events, and {len(simulation.lines)} happen now")
        return simulation

    @classmethod
    def _of(cls, header: Mapping[str, Any], path: str | Path) -> "Simulation":
        try:
            schedule = [Fault.from_json(each) for each in header["schedule"]]
            simulation = cls._with(header)
            simulation.schedule(*schedule)
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise TraceError(f"{path}: the first line is no description of a simulation: {error!r}") from None
        return simulation

    @classmethod
    def _with(cls, settings: Mapping[str, Any]) -> "Simulation":
        names = ("seed", "loss", "config", "joined", "layers")
        known = {name: settings[name] for name in names}
        return cls(settings["servers"], settings["clients"], delay=tuple(settings["delay"]), **known)

    def again(self, settings: Mapping[str, Any]) -> "Simulation":
        """Another simulation with these settings, at its beginning."""
        return self._with(settings)

    def repeat(self, trace: Trace) -> None:
        """Do what was done from outside in a trace, until its end."""
        self._played = [each for each in map(json.loads, trace.lines) if "action" in each]
        play(self, self._played, None)
        self._advance_to(trace.end_s)


def _temporary_folder() -> Path:
    """Where servers keep their logs; in memory if the system has such a place, as their disks are to be fast."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="consulpy-simulation-", dir=memory if os.access(memory, os.W_OK) else None))


def _check(
    servers: int, clients: int, seed: int | str, loss: float, least_s: float, most_s: float, layers: str
) -> None:
    if min(servers, clients) < 0 or servers + clients < 1:
        raise ValueError(f"a simulation has nodes, not {servers} servers and {clients} clients")
    if not isinstance(seed, int | str):
        raise TypeError(f"a seed is a number or a text, not {seed!r}")
    if not isinstance(loss, int | float) or not 0 <= loss <= 1:
        raise ValueError(f"a share between 0 and 1 is lost, not {loss!r}")
    if not all(isinstance(each, int | float) for each in (least_s, most_s)) or not 0 <= least_s <= most_s < math.inf:
        raise ValueError(f"a delay is from the least to the most seconds, not from {least_s!r} to {most_s!r}")
    if layers not in ("agents", "gossip"):
        raise ValueError(f"layers are agents or gossip, not {layers!r}")
