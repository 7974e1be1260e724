"""`Raft`: one server of a quorum. Clock, random generator, storage, sender and state machine are handed in; no I/O.

Read this first. It holds what all parts share (term, vote, role, log, configurations, commit index) and gives each
request of a peer to its part:

    appending.py    a follower takes entries          election.py     votes, surveys, candidacies
    leadership.py   one term of office                replication.py  the office's work for one other server
    applying.py     committed entries change the state    snapshots.py    taking, installing, restoring

The order of things: what must be durable is given to `persistence`, and what must not be said before goes through
`persistence.after`. Whatever belongs to a term of office is held by its `Leadership` and ends with it.
Source: hashicorp/raft 1.1.2 as seen on the wire; docs/wire/raft.md.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from consulpy.clock import Clock
from consulpy.errors import WireError
from consulpy.raft import appending, other_cluster, pre_vote
from consulpy.raft.applying import Applying
from consulpy.raft.complaints import Complaints
from consulpy.raft.configuration import Configuration, Configurations
from consulpy.raft.election import Elections
from consulpy.raft.interfaces import (
    Finished,
    LeadershipLost,
    NotLeader,
    Observer,
    Respond,
    Role,
    Sender,
    Settings,
    StateMachine,
)
from consulpy.raft.leadership import Leadership
from consulpy.raft.log import RaftLog
from consulpy.raft.messages import (
    COMMAND,
    CONFIGURATION,
    UNSUPPORTED,
    AppendEntries,
    InstallSnapshot,
    LogEntry,
    Request,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    TimeoutNowReply,
    is_version_supported,
    sender_of,
)
from consulpy.raft.persistence import Persistence
from consulpy.raft.snapshots import Snapshots
from consulpy.raft.storage import HardState, Storage
from consulpy.raft.term_guard import TermGuard
from consulpy.raft.unconfirmed import Unconfirmed


class Raft:
    """One server. `server_id`, `address`: its id and "ip:port"; `later(job)` runs a job at the end of this turn."""

    def __init__(
        self,
        server_id: str,
        address: str,
        settings: Settings,
        *,
        clock: Clock,
        rng: Random,
        storage: Storage,
        sender: Sender,
        state_machine: StateMachine,
        observer: Observer | None = None,
        later: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.server_id = server_id
        self.address = address
        self.settings = settings
        self.clock = clock
        self.rng = rng
        self.storage = storage
        self.sender = sender
        self.state_machine = state_machine
        self.observer = observer or Observer()
        self.role = Role.FOLLOWER
        self.term = 0
        self.voted_term = 0
        self.voted_for = ""
        #: The term that is stored.
        self.durable_term = 0
        self.log = RaftLog()
        self.configurations = Configurations()
        self.commit_index = 0
        #: When a leader or granted vote was last heard of, in seconds of the clock.
        self.contact_s: float | None = None
        #: Why this server takes no part in elections any more, "" if it does.
        self.halted = ""
        #: Who leads in this term, "" if that is not known: in one term there is one leader.
        self.term_leader = ""
        self.leadership: Leadership | None = None
        #: Who waits for the result of an own entry, by its index.
        self.waiting: dict[int, Finished] = {}
        self._leader = ""
        self._later = later or (lambda job: clock.callLater(0, job))
        self._turn_is_due = False
        self.persistence = Persistence(storage, self.log, clock, self._stored, self._store_failed)
        self.applying = Applying(self)
        self.elections = Elections(self)
        self.snapshots = Snapshots(self)
        self.complaints = Complaints(clock, lambda level, text: self.observer.say(level, text))
        self.terms = TermGuard(self)
        self.unconfirmed = Unconfirmed(self)
        #: Up to where the leader of `verified_term` has shown its log to equal ours.
        self.verified_index = 0
        self.verified_term = 0
        #: Index and term where the last request ended that succeeded: its leader goes on there, even inside our
        #: snapshot, where no entry is left to compare.
        self.accepted_end = (0, 0)
        #: The end of the log at the start, as far as it still stands: the state was up to there before, perhaps.
        self._start_index = 0

    # -- a life

    def start(self) -> None:
        """Load what is stored and take part."""
        stored = self.storage.load()
        hard = stored.hard_state
        self.term = self.durable_term = hard.term
        self.voted_term, self.voted_for = hard.voted_term, hard.voted_for
        if stored.snapshot is not None:
            meta = stored.snapshot
            self.log.reset(meta.index, meta.term)
            self.configurations.replace(meta.configuration, meta.configuration_index)
            self.state_machine.restore(stored.state, meta.index)
            self.applying.index = self.commit_index = meta.index
        self.unconfirmed.position = stored.unconfirmed[::-1]
        for entry in stored.entries:
            self._load(entry)
        if self.log.last_entry < self.log.snapshot_index:  # what is left of them ends before the snapshot
            self.log.reset(self.log.snapshot_index, self.log.snapshot_term)
        self.persistence.durable_index = self._start_index = self.log.last_index
        self.log.evict(self.log.last_index)
        self.observer.incr(f"raft.state.{self.role.value.lower()}")
        self.elections.start()
        self.snapshots.start()

    def _load(self, entry: LogEntry) -> None:
        """An entry that was stored; those below the snapshot are only there for followers that lag."""
        self.log.append_stored(entry)
        if entry.type == CONFIGURATION and entry.index > self.configurations.latest_index:
            self.configurations.appended(Configuration.unpack(entry.data or b""), entry.index)
        if self.log.last_entry % 1024 == 0:
            self.log.evict(self.log.last_entry)

    def bootstrap(self, configuration: Configuration) -> None:
        """Bootstrap a quorum: entry 1 of term 1. Only for a server without any state."""
        assert self.log.last_index == 0, "a quorum is begun once"
        assert self.term == 0, "a quorum is begun once"
        self.set_term(1)
        self.append([LogEntry(data=configuration.pack(), index=1, term=1, type=CONFIGURATION)])
        self.persistence.flush()
        self.elections.start()

    def stop(self) -> None:
        """Stop: no timers, elections or calls follow; pending proposals fail."""
        self._end_office(NotLeader("raft is already shutdown"))
        self.elections.stop()
        self.snapshots.stop()
        self.applying.stop()
        self.persistence.close()
        self.role = Role.SHUTDOWN
        for finished in self._forget_waiting(0):
            finished(LeadershipLost())

    # -- what peers send

    def handle(self, request: Request, respond: Respond, body: Any = None) -> None:
        """Answer a request of a peer. `body`: what came with an `InstallSnapshot`, for storage."""
        if self.role is Role.SHUTDOWN:
            respond(None, "raft is shutdown")
            return
        began_s = self.clock.seconds()
        version = getattr(request, "protocol_version", 0)
        is_heartbeat = isinstance(request, AppendEntries) and request.is_heartbeat
        if not is_heartbeat and not is_version_supported(version):
            respond(None, UNSUPPORTED)
        elif not self.terms.admits(getattr(request, "term", 0), sender_of(request)):
            respond(None, "this term cannot be")
        elif why := other_cluster.fault(self, request):
            self.complaints.about("another cluster", why)
            respond(None, why)
        elif isinstance(request, AppendEntries):
            appending.receive(self, request, respond)
            if is_heartbeat:
                self.observer.timed("raft.rpc.processHeartbeat", self.clock.seconds() - began_s)
        elif isinstance(request, RequestVote):
            self.elections.receive_vote_request(request, respond)
            self.observer.sample("raft.rpc.requestVote", 1000 * (self.clock.seconds() - began_s))
        elif isinstance(request, RequestPreVote):
            pre_vote_reply = pre_vote.answer(self, request)
            self.persistence.after(lambda: respond(pre_vote_reply, ""))
        elif isinstance(request, InstallSnapshot):
            self.snapshots.receive(request, body, respond)
        elif isinstance(request, TimeoutNow):
            respond(TimeoutNowReply(), "")
            self.elections.stand_now()
        self.persistence.flush()

    def leader_died(self, address: str) -> None:
        """The connections of a server were closed and it refuses new ones: its program has ended."""
        if self.leadership is None and address == self._leader:
            self.elections.stand_after_death(address)

    def peer_returned(self, server_id: str) -> None:
        """A server is there again, as gossip says: try it at once."""
        if self.leadership is not None:
            self.leadership.peer_returned(server_id)

    # -- what the application asks

    def propose(self, data: bytes, finished: Finished) -> None:
        """Replicate a command; `finished` gets its result, `NotLeader` (nothing happened) or `LeadershipLost`."""
        if self.leadership is None:
            finished(NotLeader())
        else:
            self.leadership.propose(COMMAND, data, finished)

    def propose_entry(self, kind: int, data: bytes | None, finished: Finished) -> None:
        """The same for an entry of any type."""
        if self.leadership is None:
            finished(NotLeader())
        else:
            self.leadership.propose(kind, data, finished)

    @property
    def known_leader(self) -> str:
        """The address of the leader: ours, or of one that was heard within the heartbeat timeout; else ""."""
        if self.leadership is not None:
            return self.address
        return self._leader if self.since_contact_s < self.settings.heartbeat_timeout_s else ""

    @property
    def since_contact_s(self) -> float:
        """Seconds since a leader was heard of; infinite if never."""
        return float("inf") if self.contact_s is None else self.clock.seconds() - self.contact_s

    @property
    def applied_index(self) -> int:
        """The last entry that the state contains."""
        return self.applying.index

    @property
    def has_caught_up(self) -> bool:
        """Whether a leader was heard, and the state is not older than before the restart of this server."""
        return self.contact_s is not None and self.applied_index >= self._start_index

    @property
    def is_voter(self) -> bool:
        """Whether this server's vote counts, by the newest configuration."""
        return self.configurations.latest.is_voter(self.server_id)

    @property
    def is_alone(self) -> bool:
        """Whether this server is the only one of its quorum."""
        return len(self.configurations.latest.servers) == 1

    # -- what the parts share

    def set_leader(self, address: str) -> None:
        """Know this leader, or none."""
        self.term_leader = address or self.term_leader
        if address != self._leader:
            self._leader = address
            self.observer.leader_changed(address)

    def set_term(self, term: int) -> None:
        """Enter a higher term; it is durable before anything that was changed later."""
        assert term > self.term, f"a term never falls: {self.term} to {term}"
        self.term = term
        self.term_leader = ""
        self.verified_index = 0
        self._store_hard_state()

        def stored() -> None:
            self.durable_term = max(self.durable_term, term)

        self.persistence.after(stored)

    def vote(self, candidate: str) -> None:
        """Give this term's vote."""
        assert self.voted_term < self.term or self.voted_for == candidate, "one vote in each term"
        if (self.voted_term, self.voted_for) != (self.term, candidate):
            self.voted_term, self.voted_for = self.term, candidate
            self._store_hard_state()

    def _store_hard_state(self) -> None:
        self.persistence.set_hard_state(HardState(self.term, self.voted_term, self.voted_for))

    def append(self, entries: list[LogEntry]) -> None:
        """Add entries to the log; a configuration among them is in force at once."""
        self.persistence.append(entries)
        for entry in entries:
            if entry.type == CONFIGURATION:
                self.configurations.appended(self._configuration_in(entry), entry.index)
                self.observer.configuration_changed()

    def truncate(self, index: int) -> None:
        """Cut the log from `index` on."""
        assert index > self.commit_index, f"entry {index} is committed"
        self.persistence.truncate(index)
        self.verified_index = min(self.verified_index, index - 1)
        self._start_index = min(self._start_index, index - 1)
        self.configurations.truncated(index)
        self.observer.configuration_changed()

    def begin_again(self, index: int) -> None:
        """The log was dropped: the state begins empty, and is whole again at `index`."""
        self.commit_index = self.verified_index = 0
        self.accepted_end = (0, 0)
        self._start_index = index
        self.state_machine.reset()
        self.applying.replaced(0)
        self.observer.configuration_changed()

    def discard_unstored(self) -> None:
        """Discard own entries that could not be stored and were sent to no other server."""
        self.persistence.discard()
        self.configurations.truncated(self.log.last_index + 1)

    def _configuration_in(self, entry: LogEntry) -> Configuration:
        try:
            return Configuration.unpack(entry.data or b"")
        except WireError as error:
            self.halt(f"the configuration in entry {entry.index} cannot be read: {error}")
            return self.configurations.latest

    def become(self, role: Role) -> None:
        """Change the role."""
        if role is not self.role:
            self.role = role
            self.observer.role_changed(role, self.term)

    def follow(self, term: int) -> None:
        """Be a follower in this term, without a known leader; an office or candidacy ends."""
        if term > self.term:
            self.set_term(term)
        self._end_office(LeadershipLost())
        self.elections.withdraw()
        self.set_leader("")
        self.become(Role.FOLLOWER)
        self.elections.restart()

    def lead(self) -> None:
        """Become the leader: this term's election was won."""
        self.elections.stop()
        self.leadership = Leadership(self)
        self.become(Role.LEADER)
        self.set_leader(self.address)
        self.leadership.start()

    def _end_office(self, why: Exception) -> None:
        office, self.leadership = self.leadership, None
        if office is not None:
            office.stop(why)
            self.contact_s = self.clock.seconds()
            for finished in self._forget_waiting(self.commit_index):
                finished(why)

    def _forget_waiting(self, after: int) -> list[Finished]:
        """Remove and return the callbacks of entries after this index: they may be committed later, or never."""
        return [self.waiting.pop(index) for index in sorted(self.waiting) if index > after]

    def commit(self, index: int) -> None:
        """Commit all entries up to `index`."""
        assert index <= self.log.last_index, f"{index} is not in the log"
        if index <= self.commit_index:
            return
        self.commit_index = index
        if self.unconfirmed.position[1]:
            self.unconfirmed.committed(index)
        if self.configurations.commit(index) and self.leadership is not None:
            self.leadership.configuration_committed()
        self.applying.run()

    def halt(self, why: str) -> None:
        """Stay out of elections from now on: this server cannot follow what the quorum does. Its data stay."""
        if not self.halted:
            self.halted = why
            self.observer.say("error", f"this server stops voting: {why}")
            if self.leadership is not None:
                self.leadership.abdicate()

    def schedule_turn(self) -> None:
        """At the end of this turn write and send everything that was proposed in it."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._later(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        if self.role is not Role.SHUTDOWN:
            if self.leadership is not None:
                self.leadership.append_proposed()
            self.persistence.flush()
            if self.leadership is not None:
                self.leadership.send_all()

    def _stored(self) -> None:
        if self.persistence.last_count:
            is_leader = self.leadership is not None
            name = "raft.leader.dispatchLog" if is_leader else "raft.rpc.appendEntries.storeLogs"
            self.observer.timed(name, self.persistence.last_write_s)
        if self.leadership is not None:
            self.leadership.advance_commit()

    def _store_failed(self, error: Exception) -> None:
        self.complaints.about("log not stored", f"the log could not be stored: {error}")
        if self.leadership is not None:
            self.leadership.disk_failed(error)
