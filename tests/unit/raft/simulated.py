"""The world of a simulation: clocks of unequal speed, disks that lose what was not synced, a network that misbehaves.

Everything random comes from one seed, all time from one clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from consulpy.codec.record import Record
from consulpy.raft.configuration import Server
from consulpy.raft.interfaces import Unreachable
from consulpy.raft.messages import AppendEntries, InstallSnapshot, LogEntry, PeerState, Request
from consulpy.raft.storage import HardState, SnapshotMeta, SnapshotReader, StoredState, Update
from consulpy.testing.simulation.clock import HeapClock

CALL_TIMEOUT_S = 3.0


class Violation(AssertionError):
    """A rule of Raft was broken."""


class NodeClock:
    """A server's own clock: runs at `rate`, stops while the server is frozen, and dies with its process."""

    def __init__(self, base: HeapClock, rate: float) -> None:
        self._base = base
        self._rate = rate
        self.is_dead = False
        self.is_frozen = False
        self._frozen_calls: list[Callable[[], None]] = []

    def seconds(self) -> float:
        return self._base.seconds() * self._rate

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> Any:  # noqa: A002
        timer = _NodeTimer()

        def run() -> None:
            if timer.is_due:
                timer.is_due = False
                callable(*args, **kw)

        def fire() -> None:
            if self.is_frozen:
                self._frozen_calls.append(run)
            elif not self.is_dead:
                run()

        timer.inner = self._base.callLater(delay / self._rate, fire)
        return timer

    def run(self, job: Callable[[], None]) -> None:
        """What reaches the process from outside."""
        if self.is_frozen:
            self._frozen_calls.append(job)
        elif not self.is_dead:
            job()

    def thaw(self) -> None:
        self.is_frozen = False
        calls, self._frozen_calls = self._frozen_calls, []
        for call in calls:
            if not self.is_dead:
                call()


class _NodeTimer:
    """A timer that can be cancelled until it really runs, however long its server was frozen."""

    inner: Any

    def __init__(self) -> None:
        self.is_due = True

    def active(self) -> bool:
        return self.is_due

    def cancel(self) -> None:
        self.is_due = False
        if self.inner.active():
            self.inner.cancel()


@dataclass
class Disk:
    """What is on the plate. Survives crashes."""

    hard_state: HardState = HardState()
    snapshot: SnapshotMeta | None = None
    state: Any = None
    entries: dict[int, LogEntry] = field(default_factory=dict)
    unconfirmed: tuple[int, int] = (0, 0)

    @property
    def last_index(self) -> int:
        return max(max(self.entries, default=0), self.snapshot.index if self.snapshot else 0)

    def has(self, index: int, term: int) -> bool:
        """Whether the entry is here, or in the snapshot."""
        entry = self.entries.get(index)
        if entry is not None:
            return entry.term == term
        return self.snapshot is not None and index <= self.snapshot.index and term <= self.snapshot.term

    def write(self, update: Update) -> None:
        if update.hard_state is not None:
            self.hard_state = update.hard_state
        if update.confirmed == self.unconfirmed:
            self.unconfirmed = (0, 0)
        if update.discards_all:
            self.snapshot, self.state, self.entries = None, None, {}
        if update.truncate_from is not None:
            self.entries = {index: entry for index, entry in self.entries.items() if index < update.truncate_from}
        for entry in update.entries:
            self.entries[entry.index] = entry

    def keep_from(self, index: int) -> None:
        self.entries = {each: entry for each, entry in self.entries.items() if each >= index}


@dataclass
class _Reader:
    meta: SnapshotMeta
    state: Any
    size: int = 1

    def read(self, done: Callable[[bytes], None]) -> None:
        done(b"x")

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class Received:
    """A `SnapshotWriter` that collects, and installs what came."""

    state: bytes = b""
    closed: bool = False

    def write(self, piece: bytes, taken: Callable[[], None]) -> None:
        self.state += piece
        taken()

    def close(self) -> None:
        self.closed = True


class SimulatedStorage:
    """A `Storage` on a `Disk`: operations take time, in order; a crash loses those that are under way, or not."""

    def __init__(self, disk: Disk, clock: NodeClock, rng: Random, delay_s: float, failing: float) -> None:
        self.disk = disk
        self._clock = clock
        self._rng = rng
        self._delay_s = delay_s
        self._failing = failing
        self._queue: list[tuple[Callable[[], None], Callable[[Any], None], Any]] = []
        self._is_busy = False

    def crash(self) -> None:
        """Some of what was under way reaches the disk nevertheless, in order."""
        for change, _, _ in self._queue[: self._rng.randrange(len(self._queue) + 1)]:
            change()
        self._queue.clear()

    def load(self) -> StoredState:
        disk = self.disk
        entries = [disk.entries[index] for index in sorted(disk.entries)]
        return StoredState(disk.hard_state, disk.snapshot, disk.state, entries, disk.unconfirmed)

    def write(self, update: Update, done: Callable[[Exception | None], None]) -> None:
        if self._failing and self._rng.random() < self._failing:
            self._clock.callLater(0.001, done, OSError("no space left on device"))
        elif self._delay_s == 0 and not self._queue:
            self.disk.write(update)
            done(None)
        else:
            self._do(lambda: self.disk.write(update), done, None)

    def read(self, first: int, most_entries: int, most_bytes: int, done: Callable[[Any], None]) -> None:
        def found() -> None:
            entries = []
            for index in range(first, first + most_entries):
                if index not in self.disk.entries:
                    break
                entries.append(self.disk.entries[index])
            done(entries or KeyError(f"entry {first}"))

        self._clock.callLater(0.002, found)

    def save_snapshot(self, meta: SnapshotMeta, state: Any, keep_from: int, done: Callable[[Any], None]) -> None:
        def change() -> None:
            if self.disk.snapshot is None or meta.index > self.disk.snapshot.index:
                self.disk.snapshot, self.disk.state = meta, state
                self.disk.keep_from(keep_from)
                self.disk.unconfirmed = (meta.index, meta.term) if keep_from > meta.index else (0, 0)

        self._do(change, done, None)

    def receive_snapshot(self, index: int) -> Received:
        return Received()

    def install_snapshot(
        self, meta: SnapshotMeta, body: Any, *, keep_entries: bool, done: Callable[[Any], None]
    ) -> None:
        def change() -> None:
            self.disk.snapshot, self.disk.state = meta, body
            self.disk.keep_from(meta.index + 1 if keep_entries else 1 << 60)
            self.disk.unconfirmed = (meta.index, meta.term)

        self._do(change, done, body)

    def open_snapshot(self, done: Callable[[Any], None]) -> None:
        snapshot = self.disk.snapshot
        found: Any = KeyError("no snapshot") if snapshot is None else _Reader(snapshot, self.disk.state)
        self._clock.callLater(0.001, done, found)

    def _do(self, change: Callable[[], None], done: Callable[[Any], None], result: Any) -> None:
        self._queue.append((change, done, result))
        self._next()

    def _next(self) -> None:
        if self._queue and not self._is_busy:
            self._is_busy = True
            self._clock.callLater(self._delay_s * (0.2 + 2 * self._rng.random()), self._finish)

    def _finish(self) -> None:
        self._is_busy = False
        if not self._queue:
            return
        change, done, result = self._queue.pop(0)
        change()
        done(result)
        self._next()


@dataclass
class Weather:
    """How bad the network is. Probabilities of each call."""

    delay_s: float = 0.002
    broken: float = 0.0
    half_open: float = 0.0
    late: float = 0.0
    doubled: float = 0.0


class SimulatedNetwork:
    """Carries calls between nodes. A node has `receive(request, body, respond)` and `peer_state()`."""

    def __init__(self, clock: HeapClock, rng: Random) -> None:
        self.clock = clock
        self.rng = rng
        self.weather = Weather()
        self.nodes: dict[str, Any] = {}
        self._cut: set[frozenset[str]] = set()
        self._ready: dict[tuple[str, str, str], float] = {}
        self.calls = 0
        #: Called with each request that is sent, and with each answer before it leaves.
        self.on_request: Callable[[str, str, Request], None] = lambda *_: None
        self.on_reply: Callable[[str, Request, Record], None] = lambda *_: None

    def partition(self, side: set[str]) -> None:
        """Cut the network between these addresses and all others."""
        for inside in side:
            for outside in self.nodes.keys() - side:
                self._cut.add(frozenset((inside, outside)))

    def heal(self) -> None:
        self._cut.clear()
        self.weather = Weather()

    def is_cut(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self._cut

    def call(
        self, source: Any, server: Server, request: Request, answered: Callable[[Any], None], body: Any = None
    ) -> None:
        """Send a request to an address; the answer, or an exception, comes to the process that asked."""
        self.calls += 1
        address, weather, rng = server.address, self.weather, self.rng
        self.on_request(source.address, address, request)
        finish = _once(source.clock, answered)
        self.clock.callLater(CALL_TIMEOUT_S, finish, TimeoutError("i/o timeout"))
        if self._is_lost(source.address, address, finish):
            return
        times = 2 if rng.random() < weather.doubled else 1
        is_late = False
        for number in range(times):
            delay_s = weather.delay_s * (0.1 + rng.random())
            if rng.random() < weather.late or number:
                delay_s += rng.random() * 2
                if number == 0:
                    is_late = True
                    self.clock.callLater(0, finish, ConnectionError("connection lost"))  # the bytes are under way
            arrival_s = self.clock.seconds() + delay_s
            if isinstance(request, AppendEntries) and not request.is_heartbeat and not (is_late or number):
                lane = (source.address, address, "log")
                arrival_s = max(arrival_s, self._ready.get(lane, 0.0))
                self._ready[lane] = arrival_s
            self.clock.callLater(
                arrival_s - self.clock.seconds(), self._arrive, source.address, address, request, body, finish
            )

    def _is_lost(self, source: str, address: str, finish: Callable[[Any], None]) -> bool:
        weather, rng = self.weather, self.rng
        if self.is_cut(source, address) or rng.random() < weather.half_open:
            if rng.random() < 0.5:
                self.clock.callLater(0.01, finish, ConnectionError("connection reset"))
            return True
        if rng.random() < weather.broken:
            self.clock.callLater(0.01, finish, ConnectionError("broken pipe"))
            return True
        return False

    def _arrive(self, source: str, address: str, request: Request, body: Any, finish: Callable[[Any], None]) -> None:
        node = self.nodes.get(address)
        if node is None or node.clock.is_dead:
            finish(ConnectionRefusedError("connection refused"))
            return

        clock = node.clock

        def respond(reply: Record | None, error: str) -> None:
            if clock.is_dead:
                return
            if reply is not None and not error:
                self.on_reply(address, request, reply)
            answer = RuntimeError(error) if error else reply
            if self.is_cut(address, source) or self.rng.random() < self.weather.half_open:
                return
            delay_s = self.weather.delay_s * (0.1 + self.rng.random())
            arrival_s = self.clock.seconds() + delay_s
            if isinstance(request, AppendEntries) and not request.is_heartbeat:
                lane = (address, source, "answers")
                arrival_s = max(arrival_s, self._ready.get(lane, 0.0))
                self._ready[lane] = arrival_s
            self.clock.callLater(arrival_s - self.clock.seconds(), finish, answer)

        clock.run(lambda: node.receive(request, body, respond))

    def survey(self, source: Any, server: Server, answered: Callable[[Any], None]) -> None:
        """Ask for the state of a peer, on a connection of its own."""
        self.calls += 1
        finish = _once(source.clock, answered)
        self.clock.callLater(CALL_TIMEOUT_S, finish, Unreachable("i/o timeout"))
        node = self.nodes.get(server.address)
        if self.is_cut(source.address, server.address) or node is None or node.clock.is_dead:
            self.clock.callLater(0.005, finish, Unreachable("connection refused"))
            return
        if self.rng.random() < self.weather.half_open:
            return

        def ask() -> None:
            state: PeerState = node.peer_state()
            self.clock.callLater(self.weather.delay_s, finish, state)

        self.clock.callLater(self.weather.delay_s, lambda: node.clock.run(ask))


class NodeSender:
    """The `Sender` of one process."""

    def __init__(self, network: SimulatedNetwork, node: Any) -> None:
        self._network = network
        self._node = node

    def call(self, server: Server, request: Request, answered: Callable[[Any], None]) -> None:
        self._network.call(self._node, server, request, answered)

    def install(
        self, server: Server, request: InstallSnapshot, snapshot: SnapshotReader, answered: Callable[[Any], None]
    ) -> None:
        self._network.call(self._node, server, request, answered, getattr(snapshot, "state", None))

    def survey(self, server: Server, answered: Callable[[Any], None]) -> None:
        self._network.survey(self._node, server, answered)

    def abort(self, server: Server) -> None:
        """What was sent is under way."""


def _once(clock: NodeClock, answered: Callable[[Any], None]) -> Callable[[Any], None]:
    """Gives the first answer to the process with this clock, and drops later ones."""
    done: list[bool] = []

    def finish(answer: Any) -> None:
        if not done:
            done.append(True)
            clock.run(lambda: answered(answer))

    return finish
