"""A whole quorum in one process, with the invariants of docs/wire/raft.md 24 checked at every step.

`simulate(seed)` makes a world, lets faults loose for a while, stops them, and sees that the quorum recovers. It raises
`Violation` with the seed in its text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from consulpy.codec.record import Record
from consulpy.raft.configuration import NONVOTER, Configuration, Server
from consulpy.raft.interfaces import Observer, Settings
from consulpy.raft.machine import Raft
from consulpy.raft.messages import (
    CONFIGURATION,
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    LogEntry,
    PeerState,
    Request,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from consulpy.testing.simulation.clock import HeapClock
from tests.unit.raft.go_model import GoServer
from tests.unit.raft.newer_model import NewerServer
from tests.unit.raft.simulated import (
    Disk,
    NodeClock,
    NodeSender,
    SimulatedNetwork,
    SimulatedStorage,
    Violation,
    Weather,
)

#: All timings of Consul's at `raft_multiplier` 1; limits small, so that they are met.
SETTINGS = Settings(
    snapshot_threshold=60,
    snapshot_interval_s=1.0,
    trailing_logs=30,
    append_entries=16,
    append_bytes=2000,
    in_flight=8,
    apply_entries=10,
    farewell_s=3.0,
)


class Checker:
    """What all servers together did so far, and whether that was allowed."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[str, int], str] = {}
        self.entries: dict[tuple[int, int], tuple[int, bytes | None, int | None]] = {}
        self.committed: dict[int, int] = {}  # index: term of the entry
        self.committed_in: dict[int, int] = {}  # index: term of the first server that knew
        self.hashes: dict[int, int] = {0: 0}
        self.commands: dict[int, bytes | None] = {}
        self.nodes: dict[str, Any] = {}
        self.elections = 0
        #: States that operators put in the place of others, (index, hash): nobody may ever have got more than some.
        self.restores: set[tuple[int, int]] = set()

    def demand(self, holds: bool, text: str) -> None:
        if not holds:
            raise Violation(text)

    # 1: election safety

    def requested(self, source: str, destination: str, request: Request) -> None:
        if isinstance(request, AppendEntries | InstallSnapshot):
            known = self.leaders.setdefault(request.term, source)
            self.demand(known == source, f"{source} and {known} both lead in term {request.term}")
        if isinstance(request, RequestVote) and self.nodes[source].latest.is_voter(self.nodes[source].server_id):
            self._voted(source, request.term, source)

    def _voted(self, voter: str, term: int, candidate: str) -> None:
        known = self.votes.setdefault((voter, term), candidate)
        self.demand(known == candidate, f"{voter} voted for {known} and {candidate} in term {term}")

    # 8: durability of what is said

    def replied(self, address: str, request: Request, reply: Record) -> None:
        node = self.nodes[address]
        disk: Disk = node.disk
        term = 0 if isinstance(reply, RequestPreVoteReply) else getattr(reply, "term", 0)  # it may be the candidate's
        self.demand(disk.hard_state.term >= term, f"{address} says term {term}, stored is {disk.hard_state.term}")
        if isinstance(request, RequestVote) and isinstance(reply, RequestVoteReply) and reply.granted:
            self._voted(address, request.term, request.candidate)
            hard = disk.hard_state
            stored = hard.voted_term > request.term or (hard.voted_term, hard.voted_for) == (
                request.term,
                request.candidate,
            )
            self.demand(stored, f"{address} granted a vote in term {request.term} that it has not stored")
        if isinstance(request, AppendEntries) and isinstance(reply, AppendEntriesReply) and reply.success:
            for entry in request.entries or []:
                if disk.hard_state.term == request.term:  # else a later leader may have cut it
                    self.demand(
                        disk.has(entry.index, entry.term), f"{address} has not stored entry {entry.index} that it took"
                    )
        if isinstance(request, InstallSnapshot) and isinstance(reply, InstallSnapshotReply) and reply.success:
            self.demand(
                disk.last_index >= request.last_log_index, f"{address} has not stored the snapshot that it took"
            )

    # 2: log matching, leader append-only; 6: configurations

    def appended(self, node: Any, entry: LogEntry, previous_term: int | None) -> None:
        key = (entry.index, entry.term)
        value = (entry.type, entry.data, previous_term)
        known = self.entries.setdefault(key, value)
        self.demand(known[:2] == value[:2], f"{node.server_id}: two entries {key}")
        if known[2] is not None and previous_term is not None:
            self.demand(known[2] == previous_term, f"{node.server_id}: two logs before {key}")
        if entry.type == CONFIGURATION and node.is_leader:
            new, old = Configuration.unpack(entry.data or b""), node.latest
            self.demand(
                node.latest_index == node.committed_index and node.latest_index <= node.commit_index,
                f"{node.server_id}: a configuration while the last one is not committed",
            )
            before = {server.id for server in old.voters}
            after = {server.id for server in new.voters}
            self.demand(len(before ^ after) <= 1, f"{node.server_id}: more than one voter changed")
            self.demand(bool(after), f"{node.server_id}: no voter is left")

    def truncated(self, node: Any, index: int) -> None:
        self.demand(not node.is_leader, f"{node.server_id} cuts its log as a leader")
        self.demand(index > node.commit_index, f"{node.server_id} cuts the committed entry {index}")

    def discarded(self, node: Any, first: int, last: int) -> None:
        """A server that is alone gives up what it could not store: nobody may ever have seen it."""
        self.demand(first > node.commit_index, f"{node.server_id} gives up the committed entry {first}")
        for index in range(first, last + 1):
            for other in self.nodes.values():
                self.demand(
                    other is node or other.log_term(index) != node.term,
                    f"{node.server_id} gives up {index}, which {other.server_id} has",
                )
            self.entries.pop((index, node.term), None)

    # 3: leader completeness

    def elected(self, node: Any) -> None:
        self.elections += 1
        first = node.disk.snapshot.index if node.disk.snapshot is not None else 0
        first_term = node.disk.snapshot.term if node.disk.snapshot is not None else 0
        for index, term in self.committed.items():
            if index <= first and self.committed_in[index] < node.term:
                self.demand(
                    term <= first_term,
                    f"{node.server_id} leads in term {node.term}, its snapshot of term {first_term} is no successor of "
                    f"the committed entry {index} of term {term}",
                )
            if index > first and self.committed_in[index] < node.term:  # else this one won long ago, and hears it late
                self.demand(
                    node.log_term(index) == term,
                    f"{node.server_id} leads in term {node.term} without the committed entry {index} of term {term}",
                )

    # 4, 5: state machine safety, commit index

    def committed_up_to(self, node: Any, before: int, index: int) -> None:
        self.demand(index >= before, f"{node.server_id}: the commit index falls from {before} to {index}")
        if node.is_real and node.disk.snapshot is not None:  # it may have older entries of another leader
            before = max(before, node.disk.snapshot.index)
        for each in range(before + 1, index + 1):
            term = node.log_term(each)
            if term is None:
                continue
            known = self.committed.setdefault(each, term)
            self.committed_in.setdefault(each, node.term)
            self.demand(known == term, f"{node.server_id} commits {each} of term {term}; it was of term {known}")
        if node.is_leader:
            term = node.log_term(index)
            self.demand(term == node.term, f"{node.server_id} commits {index} of term {term} in term {node.term}")
            voters = node.latest.voters
            stored = sum(
                self.nodes[server.address].disk.has(index, term) for server in voters if server.address in self.nodes
            )
            self.demand(
                stored >= len(voters) // 2 + 1,
                f"{node.server_id} commits {index}, which {stored} of {len(voters)} have",
            )

    def applied(self, node: Any, entry: LogEntry) -> None:
        known = self.commands.setdefault(entry.index, entry.data)
        self.demand(known == entry.data, f"{node.server_id} applies another command at {entry.index}")
        self.demand(
            self.committed.get(entry.index) == entry.term, f"{node.server_id} applies {entry.index}, not committed"
        )


class Machine:
    """A state machine whose state is a hash of all commands. 10: equal after the same commands."""

    def __init__(self, checker: Checker, node: Any) -> None:
        self.checker = checker
        self.node = node
        self.index = 0
        self.hash = 0

    def apply(self, entries: Sequence[LogEntry]) -> list[Any]:
        for entry in entries:
            self.checker.applied(self.node, entry)
            self.checker.demand(entry.index > self.index, f"{self.node.server_id} applies {entry.index} twice")
            if (self.index, self.hash) in self.checker.restores:  # what follows it is committed, so it was
                self._same_for_all()
            self.hash = hash((self.hash, entry.index, entry.data))
            self.index = entry.index
            self._same_for_all()
        return [entry.index for entry in entries]

    def _same_for_all(self) -> None:
        known = self.checker.hashes.setdefault(self.index, self.hash)
        self.checker.demand(known == self.hash, f"{self.node.server_id} has another state at {self.index}")

    @property
    def rows(self) -> int:
        return 1

    def capture(self) -> Any:
        return (self.index, self.hash)

    def restore(self, state: Any, index: int) -> None:
        if state[0] == "restored":
            state = (index, hash(state))
            self.checker.restores.add(state)
        self.checker.demand(
            self.node.is_real or state[0] >= self.index, f"{self.node.server_id}: the state goes back to {state[0]}"
        )
        self.index, self.hash = state
        if state in self.checker.restores:
            return
        known = self.checker.hashes.get(self.index)
        self.checker.demand(known == self.hash, f"{self.node.server_id} restores another state at {self.index}")

    def reset(self) -> None:
        self.checker.demand(
            (self.index, self.hash) in self.checker.restores,
            f"{self.node.server_id} gives up its state at {self.index}, which is no restored one",
        )
        self.index = self.hash = 0


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


class _GoHooks:
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
            node: Any = model(*arguments, self.network, _GoHooks(self.checker))
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

    # -- clients (9: linearizability, by the index at which a write happened and a read was made)

    def client(self) -> None:
        rng = self.rng
        node = rng.choice(list(self.nodes.values()))
        leader = self.leader()
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
