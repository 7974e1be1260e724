"""Our machine as a server of the simulation, and the hooks by which real servers' models are checked."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from consulpy.raft.configuration import Configuration
from consulpy.raft.interfaces import Observer, Settings
from consulpy.raft.machine import Raft
from consulpy.raft.messages import (
    LogEntry,
    PeerState,
    Request,
)
from consulpy.testing.simulation.clock import HeapClock
from tests.unit.raft.invariants import Checker, Machine
from tests.unit.raft.simulated import (
    Disk,
    NodeClock,
    NodeSender,
    SimulatedStorage,
)

if TYPE_CHECKING:
    from tests.unit.raft.cluster import World


#: All timings of Consul's at `raft_multiplier` 1; limits small, so that they are met.
SETTINGS = Settings(
    snapshot_threshold=60,
    snapshot_interval_s=1.0,
    trailing_logs=30,
    append_entries=16,
    append_bytes=2000,
    in_flight=8,
    apply_entries=10,
    dismissal_s=3.0,
)


class WatchedRaft(Raft):
    """The machine, with the checker at its elbow."""

    node: "OwnServer"

    def append(self, entries: list[LogEntry]) -> None:
        for entry in entries:
            self.node.checker.appended(self.node, entry, self.log.term(entry.index - 1))
            super().append([entry])

    def truncate(self, index: int) -> None:
        self.node.checker.truncated(self.node, index)
        super().truncate(index)

    def discard_unstored(self) -> None:
        self.node.checker.discarded(self.node, self.persistence.durable_index + 1, self.log.last_index)
        super().discard_unstored()

    def commit(self, index: int) -> None:
        if index > self.commit_index:
            self.node.checker.committed_up_to(self.node, self.commit_index, index)
        super().commit(index)

    def lead(self) -> None:
        self.node.checker.elected(self.node)
        super().lead()


class Story(Observer):
    """The log lines of one server, for whoever replays a seed. `measured`: gets the names of its metrics."""

    def __init__(self, name: str, clock: HeapClock, lines: list[str] | None, measured: set[str]) -> None:
        self._name = name
        self._clock = clock
        self._lines = lines
        self._measured = measured

    def say(self, level: str, text: str) -> None:
        if self._lines is not None:
            self._lines.append(f"{self._clock.seconds():8.3f} {self._name} [{level}] {text}")

    def incr(self, name: str, count: float = 1) -> None:
        self._measured.add(name)

    def timed(self, name: str, seconds: float, count: int = 1) -> None:
        assert seconds >= 0, name
        self._measured.add(name)

    sample = incr

    def counted(self, name: str, count: float, times: int = 1) -> None:
        self.incr(name, count)


class OwnServer:
    """Our machine as a node of the simulation."""

    is_real = False

    def __init__(
        self,
        server_id: str,
        address: str,
        disk: Disk,
        clock: NodeClock,
        rng: Random,
        world: "World",
        kind: type[WatchedRaft],
    ) -> None:
        self.server_id, self.address, self.disk, self.clock = server_id, address, disk, clock
        self.checker = world.checker
        self.storage = SimulatedStorage(disk, clock, rng, world.disk_delay_s, world.disk_failing)
        self.machine = Machine(world.checker, self)
        self.raft = kind(
            server_id,
            address,
            SETTINGS,
            clock=clock,
            rng=rng,
            storage=self.storage,
            sender=NodeSender(world.network, self),
            state_machine=self.machine,
            observer=Story(server_id, world.clock, world.lines, world.measured),
        )
        self.raft.node = self
        self.raft.log._cache_bytes = 6000

    def start(self) -> None:
        self.raft.start()

    def receive(self, request: Request, body: Any, respond: Callable[[Any, str], None]) -> None:
        self.raft.handle(request, respond, body)

    def peer_state(self) -> PeerState:
        raft = self.raft
        return PeerState(raft.known_leader, raft.log.last_index, raft.log.last_term)

    @property
    def is_leader(self) -> bool:
        return self.raft.leadership is not None

    @property
    def term(self) -> int:
        return self.raft.term

    @property
    def commit_index(self) -> int:
        return self.raft.commit_index

    @property
    def applied_index(self) -> int:
        return self.raft.applied_index

    @property
    def last_index(self) -> int:
        return self.raft.log.last_index

    @property
    def latest(self) -> Configuration:
        return self.raft.configurations.latest

    @property
    def latest_index(self) -> int:
        return self.raft.configurations.latest_index

    @property
    def committed_index(self) -> int:
        return self.raft.configurations.committed_index

    def log_term(self, index: int) -> int | None:
        return self.raft.log.term(index)

    def propose(self, data: bytes, finished: Callable[[Any], None]) -> None:
        self.raft.propose(data, finished)

    def verify(self, finished: Callable[[Any], None]) -> None:
        if self.raft.leadership is None:
            finished(ConnectionError("not the leader"))
        else:
            self.raft.leadership.verify(finished)

    def when_applied(self, index: int, finished: Callable[[Any], None]) -> None:
        self.raft.applying.when_applied(index, finished)

    def change_configuration(self, change: Any, finished: Callable[[Any], None]) -> None:
        if self.raft.leadership is not None:
            self.raft.leadership.change_configuration(change, finished)

    def transfer(self) -> None:
        if self.raft.leadership is not None:
            self.raft.leadership.transfer(lambda _: None)

    def snapshot(self) -> None:
        self.raft.snapshots.take()

    def restore(self, number: int, gap: int, finished: Callable[[Any], None]) -> None:
        """Put another state in the place of the present one, at an index that is at least `gap` beyond the end."""
        self.raft.snapshots.restore(("restored", number), finished, self.raft.log.last_index + gap)


class GoHooks:
    """What a `GoServer` tells the checker."""

    def __init__(self, checker: Checker) -> None:
        self.checker = checker
        self._before: dict[int, int] = {}

    def state_machine(self, node: Any) -> Machine:
        return Machine(self.checker, node)

    def appended(self, node: Any, entry: LogEntry, previous: int | None) -> None:
        self.checker.appended(node, entry, previous)

    def truncated(self, node: Any, index: int) -> None:
        self.checker.truncated(node, index)

    def committed(self, node: Any, index: int) -> None:
        self.checker.committed_up_to(node, self._before.get(id(node), 0), index)
        self._before[id(node)] = index

    def applied(self, node: Any, entry: LogEntry) -> None:
        """The state machine checks it."""

    def elected(self, node: Any) -> None:
        self.checker.elected(node)
