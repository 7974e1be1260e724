"""Shared state of the parts of `machine.Raft`, and its term of office."""

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from consulpy.clock import Clock
from consulpy.raft.complaints import Complaints
from consulpy.raft.configuration import Configurations
from consulpy.raft.interfaces import Finished, Observer, Role, Sender, Settings, StateMachine
from consulpy.raft.log import RaftLog
from consulpy.raft.messages import LogEntry
from consulpy.raft.persistence import Persistence
from consulpy.raft.storage import Storage


class ElectionTimer(Protocol):
    """`election.Elections` to the other parts."""

    def leader_heard(self) -> None:
        """A message of a leader has arrived: restart the election timeout."""


class SnapshotTaker(Protocol):
    """`snapshots.Snapshots` to the other parts."""

    @property
    def is_installing(self) -> bool:
        """Whether a leader's snapshot is being installed: nothing else may change the log meanwhile."""

    def take(self) -> None:
        """Start a snapshot, unless one is in progress."""

    def applied(self) -> None:
        """Entries were applied: a snapshot may be due."""


class Applier(Protocol):
    """`applying.Applying` to the other parts."""

    def when_applied(self, index: int, call: Callable[[Any], None]) -> None:
        """Call when everything up to `index` is applied."""

    def replaced(self, index: int) -> None:
        """The state is that of a snapshot at `index` now."""


class TermOfOffice(Protocol):
    """`leadership.Leadership` to the server's other parts."""

    @property
    def term(self) -> int:
        """The term that it was elected in."""

    @property
    def first_index(self) -> int:
        """Its first own entry."""

    def verify(self, finished: Finished) -> None:
        """Confirm with a majority that there is no other leader; `finished(None)`, or an exception."""


class TermChecker(Protocol):
    """`term_guard.TermGuard` to the server's other parts."""

    def admits(self, term: int, sender: str) -> bool:
        """Whether a term of this server can be true."""


class UnconfirmedSnapshot(Protocol):
    """`unconfirmed.Unconfirmed` to the server's other parts."""

    position: tuple[int, int]

    @property
    def is_in_force(self) -> bool:
        """Whether the state is a snapshot that may have to be given up."""

    @property
    def is_missing(self) -> bool:
        """Whether one was given up, and the log is still older."""

    @property
    def vote_position(self) -> tuple[int, int]:
        """Term and index that a candidate's log must reach."""

    def gives_way(self, index: int, term: int) -> bool:
        """Whether the leader's entry shows that it was never committed; it is given up then."""


class RaftServer(Protocol):
    """The state that the parts share, and what changes it; see `machine.Raft`."""

    server_id: str
    address: str
    settings: Settings
    clock: Clock
    rng: Random
    storage: Storage
    sender: Sender
    state_machine: StateMachine
    observer: Observer
    role: Role
    term: int
    voted_term: int
    voted_for: str
    durable_term: int
    log: RaftLog
    configurations: Configurations
    commit_index: int
    contact_s: float | None
    halted: str
    waiting: dict[int, Finished]
    persistence: Persistence
    verified_index: int
    verified_term: int
    accepted_end: tuple[int, int]
    term_leader: str
    complaints: Complaints

    @property
    def leadership(self) -> "TermOfOffice | None":
        """This server's term of office, None while it does not lead."""

    @property
    def elections(self) -> ElectionTimer:
        """The timer of a follower."""

    @property
    def terms(self) -> TermChecker:
        """Checks the terms of others."""

    @property
    def unconfirmed(self) -> UnconfirmedSnapshot:
        """A snapshot in the place of entries that is not known to be committed."""

    @property
    def snapshots(self) -> SnapshotTaker:
        """Snapshots taken and installed here."""

    @property
    def applying(self) -> Applier:
        """The part that applies committed entries to the state."""

    @property
    def known_leader(self) -> str:
        """The leader's address, "" if none is known."""

    @property
    def since_contact_s(self) -> float:
        """Seconds since a leader or a granted vote was last heard of."""

    @property
    def applied_index(self) -> int:
        """The last entry that is in the state."""

    @property
    def is_voter(self) -> bool:
        """Whether this server's vote counts, by the newest configuration."""

    def propose_entry(self, kind: int, data: bytes | None, finished: Finished) -> None:
        """Append an entry of this server's term of office."""

    def set_leader(self, address: str) -> None:
        """Set the known leader's address; "" for none."""

    def set_term(self, term: int) -> None:
        """Adopt a higher term; it is durable before any later change."""

    def vote(self, candidate: str) -> None:
        """Give this term's vote."""

    def append(self, entries: list[LogEntry]) -> None:
        """Append entries to the log; a configuration among them is in force immediately."""

    def truncate(self, index: int) -> None:
        """Truncate the log from `index` on."""

    def begin_again(self, index: int) -> None:
        """The log was dropped: the state begins empty, and is whole again at `index`."""

    def discard_unstored(self) -> None:
        """Drop own entries that could not be stored and that no other server was sent."""

    def become(self, role: Role) -> None:
        """Change the role."""

    def follow(self, term: int) -> None:
        """Be a follower in this term, without a known leader; an office or candidacy ends."""

    def lead(self) -> None:
        """Become the leader: this term's election was won."""

    def commit(self, index: int) -> None:
        """Commit all entries up to `index`."""

    def halt(self, why: str) -> None:
        """Stay out of elections from now on; the data stay."""

    def schedule_turn(self) -> None:
        """Write and send what was proposed at the end of this turn."""


class Office(Protocol):
    """`leadership.Leadership` to the replication of one server's log."""

    term: int
    round: int

    @property
    def is_over(self) -> bool:
        """Whether the office has ended."""

    def forget(self, replication: Any) -> None:
        """Stop the replication to a removed server."""

    def step_down(self, term: int, why: str) -> None:
        """End the office because of a higher term."""

    def confirmed(self, server_id: str, number: int) -> None:
        """A server has answered a call of this round of the lease."""

    def matched(self, replication: Any) -> None:
        """A server's log equals ours up to a higher index."""
