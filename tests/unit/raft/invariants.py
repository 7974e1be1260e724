"""The invariants of docs/wire/raft.md 24, checked at every step of all servers together."""

from collections.abc import Sequence
from typing import Any

from consulpy.codec.record import Record
from consulpy.raft.configuration import Configuration
from consulpy.raft.messages import (
    CONFIGURATION,
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    LogEntry,
    Request,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from tests.unit.raft.simulated import (
    Disk,
    Violation,
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
        self._has_the_configuration_of_its_log(node)
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

    def _has_the_configuration_of_its_log(self, node: Any) -> None:
        """6: it was elected by the newest one that it has, and by none that was cut."""
        start = node.disk.snapshot.index if node.disk.snapshot is not None else 0
        for index in range(node.last_index, start, -1):
            entry = self.entries.get((index, node.log_term(index)))
            if entry is not None and entry[0] == CONFIGURATION:
                break
        else:
            index = start
        has_it = node.latest_index == index if index > start else node.latest_index <= start
        self.demand(
            has_it, f"{node.server_id} leads by the configuration at {node.latest_index}, its log has one at {index}"
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
