"""A model of a real server: hashicorp/raft 1.1.2 by the rules of docs/wire/raft.md 5 to 10, with its weaknesses.

Its disk is synchronous. It commits up to its own last entry, takes entries after a gap, goes back with an old snapshot,
stands without asking, and ignores terms in heartbeat answers. Written without the machine's code, to be its peer.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from consulpy.raft.configuration import Configuration, ConfigurationError, Server
from consulpy.raft.messages import (
    CONFIGURATION,
    NOOP,
    UNSUPPORTED,
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    LogEntry,
    PeerState,
    Request,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
    TimeoutNowReply,
)
from consulpy.raft.storage import HardState, SnapshotMeta
from tests.unit.raft.go_replication import GoReplication
from tests.unit.raft.simulated import Disk, NodeClock, SimulatedNetwork

H = E = 1.0
LEASE = 0.5
BATCH = 64
TRAILING = 40


class GoServer:
    """One real server. `machine`: applies commands (`apply`, `capture`, `restore`)."""

    is_real = True

    def __init__(
        self,
        server_id: str,
        address: str,
        disk: Disk,
        clock: NodeClock,
        rng: Random,
        network: SimulatedNetwork,
        hooks: Any,
    ) -> None:
        self.server_id, self.address = server_id, address
        self.disk, self.clock, self.rng, self.network, self.hooks = disk, clock, rng, network, hooks
        self.machine = hooks.state_machine(self)
        self.state = "follower"
        self.leader = ""
        self.contact = -1e9
        self.commit_index = self.applied_index = 0
        self.latest = self.committed = Configuration()
        self.latest_index = self.committed_index = 0
        self.waiting: dict[int, Callable[[Any], None]] = {}
        self.epoch = 0  # raised with each change of role or term: what was begun before is void
        if disk.snapshot is not None:
            self.latest = self.committed = disk.snapshot.configuration
            self.latest_index = self.committed_index = disk.snapshot.configuration_index
            self.commit_index = self.applied_index = disk.snapshot.index
            self.machine.restore(disk.state, disk.snapshot.index)
        for index in sorted(disk.entries):
            entry = disk.entries[index]
            if entry.type == CONFIGURATION and index > self.latest_index:
                self._configure(entry)
        self._transfer_next = False
        clock.callLater(H * (1 + rng.random()), self._check_leader)

    # -- the log

    @property
    def term(self) -> int:
        return self.disk.hard_state.term

    @property
    def last_index(self) -> int:
        return self.disk.last_index

    def log_term(self, index: int) -> int | None:
        if index == 0:
            return 0
        entry = self.disk.entries.get(index)
        if entry is not None:
            return entry.term
        snapshot = self.disk.snapshot
        return snapshot.term if snapshot is not None and index == snapshot.index else None

    @property
    def last_term(self) -> int:
        return self.log_term(self.last_index) or 0

    def _set_term(self, term: int) -> None:
        hard = self.disk.hard_state
        self.disk.hard_state = HardState(term, hard.voted_term, hard.voted_for)

    def _configure(self, entry: LogEntry) -> None:
        self.committed, self.committed_index = self.latest, self.latest_index
        self.latest, self.latest_index = Configuration.unpack(entry.data or b""), entry.index

    def _store(self, entries: list[LogEntry]) -> None:
        for entry in entries:
            self.hooks.appended(self, entry, self.log_term(entry.index - 1))
            self.disk.entries[entry.index] = entry
            if entry.type == CONFIGURATION:
                self._configure(entry)

    def bootstrap(self, configuration: Configuration) -> None:
        self._set_term(1)
        self._store([LogEntry(data=configuration.pack(), index=1, term=1, type=CONFIGURATION)])

    # -- roles

    @property
    def is_leader(self) -> bool:
        return self.state == "leader"

    def _follow(self, term: int) -> None:
        was_leader = self.is_leader
        self.state, self.leader = "follower", ""
        self.epoch += 1
        if term > self.term:
            self._set_term(term)
        if was_leader:
            self.contact = self.clock.seconds()
            for index in sorted(self.waiting):
                self.waiting.pop(index)(ConnectionError("leadership lost while committing log"))

    def _check_leader(self) -> None:
        self.clock.callLater(H * (1 + self.rng.random()), self._check_leader)
        if self.state != "follower" or self.clock.seconds() - self.contact < H:
            return
        self.leader = ""
        if not self.latest.servers:
            return
        if self.latest_index == self.committed_index and not self.latest.is_voter(self.server_id):
            return
        self._stand(transfer=False)

    def _stand(self, *, transfer: bool) -> None:
        self.state, self.leader = "candidate", ""
        self.epoch += 1
        epoch = self.epoch
        self._set_term(self.term + 1)
        term = self.term
        votes: set[str] = set()

        def count(server_id: str) -> None:
            votes.add(server_id)
            if self.epoch == epoch and len(votes) >= self.latest.majority:
                self._lead()

        def answered(server: Server, reply: Any) -> None:
            if self.epoch != epoch or not isinstance(reply, RequestVoteReply):
                return
            if reply.term > term:
                self._follow(reply.term)
            elif reply.granted:
                count(server.id)

        request = RequestVote(
            candidate=self.address,
            last_log_index=self.last_index,
            last_log_term=self.last_term,
            leadership_transfer=transfer,
            term=term,
        )
        for server in self.latest.voters:
            if server.id != self.server_id:
                self.network.call(self, server, request, lambda reply, server=server: answered(server, reply))
        if self.latest.is_voter(self.server_id):
            self.disk.hard_state = HardState(term, term, self.address)
            count(self.server_id)

        def again() -> None:
            if self.epoch == epoch:
                self._stand(transfer=False)

        self.clock.callLater(E * (1 + self.rng.random()), again)

    # -- what peers send

    def receive(self, request: Request, body: Any, respond: Callable[[Any, str], None]) -> None:
        beat = isinstance(request, AppendEntries) and request.is_heartbeat
        if not beat and getattr(request, "protocol_version", 3) not in (2, 3):
            respond(None, UNSUPPORTED)
        elif isinstance(request, AppendEntries):
            respond(self._append(request), "")
        elif isinstance(request, RequestVote):
            respond(self._vote(request), "")
        elif isinstance(request, InstallSnapshot):
            respond(self._install(request, body), "")
        elif isinstance(request, TimeoutNow):
            respond(TimeoutNowReply(), "")
            self.leader = ""
            self._stand(transfer=True)

    def _append(self, request: AppendEntries) -> AppendEntriesReply:
        reply = AppendEntriesReply(last_log=self.last_index, term=self.term)
        if request.term < self.term:
            return reply
        if request.term > self.term or self.state != "follower":
            self._follow(request.term)
            reply.term = request.term
        self.leader = request.leader
        if request.prev_log_entry > 0 and self.log_term(request.prev_log_entry) != request.prev_log_term:
            reply.no_retry_backoff = True
            return reply
        entries = request.entries or []
        for position, entry in enumerate(entries):
            if entry.index > self.last_index:
                self._store(entries[position:])
                break
            known = self.log_term(entry.index)
            if known is None:
                return reply  # it is below what the log still has: "failed to get log entry"
            if known != entry.term:
                self._cut(entry.index)
                self._store(entries[position:])
                break
        index = min(request.leader_commit_index, self.last_index)
        if index > self.commit_index:
            self._commit(index)
        reply.success = True
        self.contact = self.clock.seconds()
        return reply

    def _cut(self, index: int) -> None:
        self.hooks.truncated(self, index)
        self.disk.entries = {each: entry for each, entry in self.disk.entries.items() if each < index}
        if self.latest_index >= index:
            self.latest, self.latest_index = self.committed, self.committed_index

    def _vote(self, request: RequestVote) -> RequestVoteReply:
        if self.leader and self.leader != request.candidate and not request.leadership_transfer:
            return RequestVoteReply(term=self.term)
        if request.term < self.term:
            return RequestVoteReply(term=self.term)
        if request.term > self.term:
            self._follow(request.term)
        reply = RequestVoteReply(term=self.term)
        hard = self.disk.hard_state
        if hard.voted_term == request.term:
            reply.granted = hard.voted_for == request.candidate
        elif (request.last_log_term, request.last_log_index) >= (self.last_term, self.last_index):
            self.disk.hard_state = HardState(self.term, self.term, request.candidate)
            self.contact = self.clock.seconds()
            reply.granted = True
        return reply

    def _install(self, request: InstallSnapshot, body: Any) -> InstallSnapshotReply:
        reply = InstallSnapshotReply(term=self.term)
        if request.term < self.term:
            return reply
        if request.term > self.term or self.state != "follower":
            self._follow(request.term)
            reply.term = request.term
        self.leader = request.leader
        configuration = Configuration.unpack(request.configuration or b"")
        is_ours = self.log_term(request.last_log_index) == request.last_log_term
        self.disk.snapshot = SnapshotMeta(
            request.last_log_index, request.last_log_term, configuration, request.configuration_index
        )
        self.disk.state = body
        self.latest = self.committed = configuration
        self.latest_index = self.committed_index = request.configuration_index
        # A real server keeps what conflicts with the snapshot, and may then never be brought up to date; but it takes
        # 10,240 entries that were never committed to get there.
        self.disk.keep_from(min(request.last_log_index, self.last_index - TRAILING) + 1 if is_ours else 1 << 60)
        self.applied_index = request.last_log_index
        self.machine.restore(body, request.last_log_index)
        reply.success = True
        self.contact = self.clock.seconds()
        return reply

    def peer_state(self) -> PeerState:
        return PeerState(leader=self.leader, last_log_index=self.last_index, last_log_term=self.last_term)

    # -- committing

    def _commit(self, index: int) -> None:
        self.commit_index = index
        if self.committed_index < self.latest_index <= index:
            self.committed, self.committed_index = self.latest, self.latest_index
        self.hooks.committed(self, index)
        while self.applied_index < self.commit_index:
            entry = self.disk.entries.get(self.applied_index + 1)
            if entry is None:
                raise AssertionError(f"{self.server_id} panics: log {self.applied_index + 1} not found")
            self.applied_index += 1
            result = self.machine.apply([entry])[0] if entry.type == 0 else None
            self.hooks.applied(self, entry)
            waiting = self.waiting.pop(entry.index, None)
            if waiting is not None:
                waiting(result)

    def snapshot(self) -> None:
        if self.committed_index > self.applied_index or self.applied_index <= (
            self.disk.snapshot.index if self.disk.snapshot else 0
        ):
            return
        term = self.log_term(self.applied_index)
        assert term is not None
        self.disk.snapshot = SnapshotMeta(self.applied_index, term, self.committed, self.committed_index)
        self.disk.state = self.machine.capture()
        self.disk.keep_from(min(self.applied_index, self.last_index - TRAILING) + 1)

    # -- leading

    def _lead(self) -> None:
        self.state, self.leader = "leader", self.address
        self.epoch += 1
        self.first_index = self.last_index + 1
        self.match: dict[str, int] = {}
        self.heard: dict[str, float] = {}
        self.loops: dict[str, GoReplication] = {}
        self.verify_round = 0
        self.verifying: list[tuple[int, set[str], Callable[[Any], None]]] = []
        self.changes: list[tuple[Callable[[Configuration], Configuration], Callable[[Any], None]]] = []
        self.hooks.elected(self)
        self._sync()
        self._propose(NOOP, None, lambda _: None)
        self._check_lease(self.epoch)

    def _sync(self) -> None:
        wanted = {server.id: server for server in self.latest.servers if server.id != self.server_id}
        for server_id in list(self.loops):
            if server_id not in wanted or wanted[server_id].address != self.loops[server_id].server.address:
                self.loops.pop(server_id).is_stopped = True
        for server_id, server in wanted.items():
            if server_id not in self.loops:
                self.heard[server_id] = self.clock.seconds()
                self.loops[server_id] = GoReplication(self, server)

    def propose(self, data: bytes, finished: Callable[[Any], None]) -> None:
        self._propose(0, data, finished)

    def _propose(self, kind: int, data: bytes | None, finished: Callable[[Any], None]) -> None:
        if not self.is_leader:
            finished(ConnectionError("node is not the leader"))
            return
        entry = LogEntry(data=data, index=self.last_index + 1, term=self.term, type=kind)
        self.waiting[entry.index] = finished
        self._store([entry])
        self._advance()
        if self.is_leader:
            for loop in list(self.loops.values()):
                loop.kick()

    def _advance(self) -> None:
        if not self.is_leader:
            return
        own = {self.server_id: self.last_index}
        matches = sorted((own | self.match).get(server.id, 0) for server in self.latest.voters)
        index = matches[(len(matches) - 1) // 2]
        if index > self.commit_index and index >= self.first_index:
            self._commit(index)
            if not self.committed.is_voter(self.server_id) and self.is_leader:
                self._follow(self.term)
            elif self.is_leader:
                self._next_change()

    def change_configuration(
        self, change: Callable[[Configuration], Configuration], finished: Callable[[Any], None]
    ) -> None:
        self.changes.append((change, finished))
        self._next_change()

    def _next_change(self) -> None:
        while self.is_leader and self.changes and self.latest_index == self.committed_index:
            if self.commit_index < self.first_index:
                return
            change, finished = self.changes.pop(0)
            try:
                changed = change(self.latest)
            except ConfigurationError as error:
                finished(error)
                continue
            if changed != self.latest:
                self._propose(CONFIGURATION, changed.pack(), finished)
                if self.is_leader:
                    self._sync()

    def _check_lease(self, epoch: int) -> None:
        if self.epoch != epoch:
            return
        now = self.clock.seconds()
        fresh = sum(
            server.id == self.server_id or now - self.heard.get(server.id, -1e9) < LEASE
            for server in self.latest.voters
        )
        if fresh < self.latest.majority:
            self._follow(self.term)
        else:
            self.clock.callLater(0.1, self._check_lease, epoch)

    def verify(self, finished: Callable[[Any], None]) -> None:
        if not self.is_leader:
            finished(ConnectionError("node is not the leader"))
            return
        self.verify_round += 1
        self.verifying.append((self.verify_round, {self.server_id}, finished))
        for loop in list(self.loops.values()):
            loop.heartbeat(once=True)
        self.obeyed(self.server_id, self.verify_round)

    def obeyed(self, server_id: str, up_to: int) -> None:
        voters = {server.id for server in self.latest.voters}
        for each in list(self.verifying):
            number, servers, finished = each
            if number <= up_to:
                servers.add(server_id)
            if len(servers & voters) >= self.latest.majority:
                self.verifying.remove(each)
                finished(None)

    def when_applied(self, index: int, finished: Callable[[Any], None]) -> None:
        finished(None if self.applied_index >= index else ConnectionError("not applied"))

    def transfer(self) -> None:
        targets = [s for s in self.latest.voters if s.id in self.loops and self.match.get(s.id) == self.last_index]
        if targets:
            self.network.call(self, targets[0], TimeoutNow(), lambda _: None)
