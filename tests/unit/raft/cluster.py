"""A whole quorum in one process, with the invariants of docs/wire/raft.md 24 checked at every step.

`simulate(seed)` makes a world, lets faults loose for a while, stops them, and sees that the quorum recovers. It raises
`Violation` with the seed in its text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from consulpy.raft.configuration import NONVOTER, Configuration, Server
from consulpy.testing.simulation.clock import HeapClock
from tests.unit.raft.go_model import GoServer
from tests.unit.raft.invariants import Checker
from tests.unit.raft.newer_model import NewerServer
from tests.unit.raft.own_server import SETTINGS, GoHooks, OwnServer, WatchedRaft
from tests.unit.raft.simulated import (
    Disk,
    NodeClock,
    SimulatedNetwork,
    Violation,
    Weather,
)


@dataclass
class Plan:
    """What one run is like."""

    servers: int = 3
    spare: int = 1
    real: int = 0
    #: How many of the real ones are of raft 1.7.
    newer: int = 0
    faults_s: float = 8.0
    writes_per_s: float = 60.0
    quiet_s: float = 25.0
    #: Whether operators restore snapshots (of real servers some diverge then).
    restores: bool = False
    #: Whether each new leader is told at once to change the configuration, and many that do are cut off then.
    hastens: bool = False


class World:
    """Servers, network, clients, faults."""

    def __init__(self, seed: int, plan: Plan, kind: type[WatchedRaft], lines: list[str] | None = None) -> None:
        self.rng = Random(seed)
        self.plan = plan
        self.kind = kind
        self.lines = lines
        #: Names of metrics of all servers.
        self.measured: set[str] = set()
        self.clock = HeapClock()
        self.checker = Checker()
        self.network = SimulatedNetwork(self.clock, self.rng)
        self.network.on_request = self.checker.requested
        self.network.on_reply = self.checker.replied
        self.disk_delay_s = self.rng.choice([0.0, 0.001, 0.005, 0.03])
        self.disk_failing = self.rng.choice([0.0, 0.0, 0.01])
        names = "abcdefgh"[: plan.servers + plan.spare]
        self.real = set(self.rng.sample(names[: plan.servers], plan.real))
        self.disks = {name: Disk() for name in names}
        self.rates = {name: self.rng.uniform(0.95, 1.05) for name in names}
        self.nodes: dict[str, Any] = {}
        self.handle_ack: list[tuple[float, float, int]] = []  # (asked at, handle_ack at, index)
        #: How many states operators were told to be restored.
        self.restored = 0
        self._count = 0
        self._hastened = 0
        for name in names:
            self.boot(name)
        first = Configuration([Server(_address(name), name) for name in names[: plan.servers]])
        beginner = self.nodes[self.rng.choice(names[: plan.servers])]
        (beginner if beginner.is_real else beginner.raft).bootstrap(first)

    def boot(self, name: str) -> None:
        """Start a server on its disk."""
        clock = NodeClock(self.clock, self.rates[name])
        rng = Random(self.rng.random())
        arguments = (name, _address(name), self.disks[name], clock, rng)
        if name in self.real:
            model = NewerServer if name in sorted(self.real)[: self.plan.newer] else GoServer
            node: Any = model(*arguments, self.network, GoHooks(self.checker))
        else:
            node = OwnServer(*arguments, self, self.kind)
        self.nodes[name] = self.network.nodes[_address(name)] = self.checker.nodes[_address(name)] = node
        if not node.is_real:
            node.start()
        self.note(f"{name} starts")

    def note(self, text: str) -> None:
        if self.lines is not None:
            self.lines.append(f"{self.clock.seconds():8.3f} * {text}")

    # -- faults

    def crash(self, name: str, down_s: float) -> None:
        node = self.nodes[name]
        if node.clock.is_dead:
            return
        self.note(f"{name} crashes for {down_s:.2f} s")
        node.clock.is_dead = True
        if not node.is_real:
            node.storage.crash()
        self.clock.callLater(down_s, self.boot, name)
        for other in self.nodes.values():  # connections are closed, and new ones are refused
            if not other.is_real and not self.network.is_cut(other.address, node.address):
                self.clock.callLater(0.01, other.clock.run, lambda other=other: other.raft.leader_died(node.address))

    def freeze(self, name: str, seconds: float) -> None:
        node = self.nodes[name]
        if node.clock.is_dead or node.clock.is_frozen:
            return
        self.note(f"{name} freezes for {seconds:.2f} s")
        node.clock.is_frozen = True
        self.clock.callLater(seconds, node.clock.thaw)

    def leader(self) -> Any:
        leaders = [node for node in self.nodes.values() if node.is_leader and not node.clock.is_dead]
        return max(leaders, key=lambda node: node.term, default=None)

    def fault(self) -> None:
        """One thing goes wrong, or is asked of the leader."""
        rng = self.rng
        names = list(self.nodes)
        what = rng.random()
        leader = self.leader()
        if self.plan.restores and leader is not None and not leader.clock.is_frozen and rng.random() < 0.25:
            self.restore(leader, rng.choice([0, 0, 40]))
            if rng.random() < 0.7:  # what follows hits it on its way
                self.clock.callLater(rng.random() * 0.1, self.crash, leader.server_id, rng.choice([0.5, 3.0]))
            return
        name = leader.server_id if leader is not None and rng.random() < 0.4 else rng.choice(names)
        if what < 0.2:
            self.crash(name, rng.choice([0.05, 0.5, 3.0]))
        elif what < 0.3:
            self.freeze(name, rng.choice([0.3, 1.5, 4.0]))
        elif what < 0.5 and len(names) > 1:
            side = {_address(each) for each in rng.sample(names, rng.randrange(1, len(names)))}
            self.note(f"partition {sorted(side)}")
            self.network.partition(side)
            self.clock.callLater(rng.choice([0.3, 1.5, 4.0]), self.network._cut.clear)
        elif what < 0.65:
            worst = rng.choice([0.0, 0.02, 0.2])
            self.network.weather = Weather(rng.choice([0.002, 0.02, 0.2]), worst, worst / 2, worst / 2, worst / 2)
        elif what < 0.75:
            if not self.nodes[name].clock.is_dead and not self.nodes[name].clock.is_frozen:
                self.nodes[name].snapshot()
        elif leader is not None and not leader.clock.is_frozen:
            if what < 0.93:
                self._change(leader)
            else:
                leader.transfer()
                for number in range(20):  # when may the old leader still answer?
                    self.clock.callLater(0.02 * number, self._ask, leader, self._consistent_read)

    def restore(self, leader: Any, gap: int = 0) -> None:
        """An operator restores a snapshot whose newest index is so far beyond the end of the leader's log."""
        self._count += 1
        number = self._count
        self.note(f"{leader.server_id} restores the state {number}")

        def finished(result: Any) -> None:
            self.note(f"{leader.server_id} restored {number}: {result}")
            if not isinstance(result, Exception):
                index, state = leader.raft.log.snapshot_index, hash(("restored", number))
                known = self.checker.hashes.setdefault(index, state)
                self.checker.demand(known == state, f"the state restored at {index} is another one")
                self.restored += 1

        leader.restore(number, gap, finished)

    def _change(self, leader: Any) -> None:
        name = self.rng.choice(list(self.nodes))
        server = leader.latest.server(name)
        self.note(f"{leader.server_id} changes {name}")
        if server is None:
            leader.change_configuration(lambda now: now.with_nonvoter(name, _address(name)), lambda _: None)
        elif server.suffrage == NONVOTER:
            leader.change_configuration(lambda now: now.with_voter(name, _address(name)), lambda _: None)
        elif len(leader.latest.voters) > 2:
            leader.change_configuration(lambda now: now.without(name), lambda _: None)
        if self.plan.hastens and self.rng.random() < 0.5:
            self.note(f"{leader.server_id} is cut off")
            self.network.partition({leader.address})
            self.clock.callLater(self.rng.choice([1.5, 4.0]), self.network._cut.clear)

    # -- clients (9: linearizability, by the index at which a write happened and a read was made)

    def client(self) -> None:
        rng = self.rng
        node = rng.choice(list(self.nodes.values()))
        leader = self.leader()
        if self.plan.hastens and leader is not None and leader.term > self._hastened:
            self._hastened = leader.term
            self._change(leader)
        if leader is not None and rng.random() < 0.7:
            node = leader
        asks = rng.choice([self._write, self._write, self._write, self._consistent_read, self._default_read])
        self._ask(node, asks)

    def _ask(self, node: Any, asks: Callable[[Any, float], None]) -> None:
        """A server that is frozen finds the question when it goes on."""
        asked_s = self.clock.seconds()
        if not node.clock.is_dead:
            node.clock.run(lambda: asks(node, asked_s) if node.is_leader else None)

    def _write(self, node: Any, asked_s: float) -> None:
        self._count += 1
        data = f"write {self._count}".encode()

        def finished(result: Any) -> None:
            if isinstance(result, Exception):
                return
            known = self.checker.commands.get(result)
            self.checker.demand(
                known == data, f"{node.server_id} acknowledged {data!r} at {result}, there is {known!r}"
            )
            for other_asked_s, other_acked_s, other in self.handle_ack[-50:]:
                if other_acked_s < asked_s:
                    self.checker.demand(other < result, f"{result} was acknowledged after {other} was")
                if other_asked_s > self.clock.seconds():
                    self.checker.demand(other > result, f"{other} happened before {result}")
            self.handle_ack.append((asked_s, self.clock.seconds(), result))

        node.propose(data, finished)

    def _newest_ack(self, before_s: float) -> int:
        return max((index for _, acked_s, index in self.handle_ack[-200:] if acked_s <= before_s), default=0)

    def _consistent_read(self, node: Any, asked_s: float) -> None:
        commit = node.commit_index
        if node.log_term(commit) != node.term:
            return  # a new leader does not know yet what is committed

        def verified(result: Any) -> None:
            if not isinstance(result, Exception):
                node.when_applied(commit, applied)

        def applied(result: Any) -> None:
            if not isinstance(result, Exception):
                newest = self._newest_ack(asked_s)
                self.checker.demand(
                    node.applied_index >= newest,
                    f"{node.server_id}: a consistent read at {node.applied_index} < {newest}",
                )

        node.verify(verified)

    def _default_read(self, node: Any, asked_s: float) -> None:
        if node.is_real or not node.raft.leadership.has_lease:
            return
        newest = self._newest_ack(asked_s - SETTINGS.lease_s * 1.2)
        self.checker.demand(
            node.applied_index >= newest, f"{node.server_id}: a default read at {node.applied_index} < {newest}"
        )

    # -- a run

    def run(self) -> None:
        plan, rng, clock = self.plan, self.rng, self.clock
        clock.advance(3.0)
        end_s = clock.seconds() + plan.faults_s
        fault_s = clock.seconds() + rng.random()
        while clock.seconds() < end_s:
            clock.advance(rng.expovariate(plan.writes_per_s))
            self.client()
            if clock.seconds() >= fault_s:
                self.fault()
                fault_s = clock.seconds() + rng.expovariate(2.5)
        self.recover()

    def recover(self) -> None:
        """11, 12: the faults stop; there is a leader, everybody catches up, nobody is disturbed."""
        clock = self.clock
        self.note("the faults stop")
        self.network.heal()
        clock.advance(4.5)  # until all are up and thawed
        deadline_s = clock.seconds() + self.plan.quiet_s
        written: list[Any] = []
        while not written:
            if clock.seconds() >= deadline_s and self._newer_ones_are_stuck():
                return
            self.checker.demand(clock.seconds() < deadline_s, "no write succeeds after the faults have stopped")
            leader = self.leader()
            if leader is not None:
                leader.propose(b"the end", lambda r: None if isinstance(r, Exception) else written.append(r))
            clock.advance(0.3)
        leader = self.leader()
        while not self._all_caught_up(written[0]):
            self.checker.demand(clock.seconds() < deadline_s, "not everybody catches up after the faults have stopped")
            clock.advance(0.3)
        leader = self.leader()
        term, calls = leader.term, self.network.calls
        clock.advance(2.0)
        leader = self.leader()
        if not self.real:
            self.checker.demand(leader.term == term, f"the term rises from {term} to {leader.term} without need")
        servers = len(self.nodes)
        self.checker.demand(
            self.network.calls - calls < 2 * servers * 120, f"{self.network.calls - calls} calls in 2 quiet seconds"
        )
        for _, _, index in self.handle_ack:
            self.checker.demand(index in self.checker.commands, f"the acknowledged write {index} is lost")

    def _newer_ones_are_stuck(self) -> bool:
        """Whether raft 1.7 keeps itself from electing: Go's limit, not ours.

        One whose vote is needed refuses the only one whose log is new enough, since a configuration that was never
        committed, and that the other one has not, leaves that one out.
        """
        newer = [node for node in self.nodes.values() if isinstance(node, NewerServer)]
        newest = max(self.nodes.values(), key=lambda node: (node.log_term(node.last_index) or 0, node.last_index))
        return newest in newer and any(
            node.clock.seconds() - node.refused_stranger_s < 3.0 and not node.latest.is_voter(newest.server_id)
            for node in newer
        )

    def _all_caught_up(self, index: int) -> bool:
        leader = self.leader()
        return leader is not None and all(
            self.nodes[server.id].applied_index >= index for server in leader.latest.servers
        )


def _address(name: str) -> str:
    return f"{name}:8300"


def plan_of(seed: int) -> Plan:
    """The kind of world that a seed stands for."""
    rng = Random(seed * 7919)
    servers = rng.choice([1, 3, 3, 3, 5])
    real = rng.choice([0, 0, 1, 2]) if servers > 1 else 0
    spare, real = rng.choice([0, 1, 2]), min(real, servers - 1)
    newer = rng.randint(0, real)
    if newer:  # a newer one whose log is ahead of an older one's never gets its pre-vote: Go's limit, not ours
        newer = real
    return Plan(servers=servers, spare=spare, real=real, newer=newer)


def simulate(
    seed: int, plan: Plan | None = None, kind: type[WatchedRaft] = WatchedRaft, lines: list[str] | None = None
) -> World:
    """One run. Raises `Violation`, which names the seed."""
    world = World(seed, plan or plan_of(seed), kind, lines)
    try:
        world.run()
    except AssertionError as error:
        raise Violation(f"seed {seed} at {world.clock.seconds():.3f} s: {error}") from error
    return world
