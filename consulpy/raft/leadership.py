"""One term of office: proposals, commit index, lease, consistent reads, hand-over (docs/wire/raft.md 8, 9, 14).

Everything in here belongs to the term that was won. When the office ends, this object and all that it started are
stopped, and nothing that comes back later has an effect.
"""

from collections import deque
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, Final

from consulpy.clock import Timer, cancel_timer
from consulpy.codec.record import Record
from consulpy.errors import RPCError
from consulpy.raft.configuration import Configuration, ConfigurationError, Server
from consulpy.raft.interfaces import Finished, LeadershipLost, NotLeader
from consulpy.raft.messages import BARRIER, COMMAND, CONFIGURATION, NOOP, LogEntry, TimeoutNow, TimeoutNowReply
from consulpy.raft.replication import Replication

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer

#: Minimum interval between two checks of the lease, in seconds.
LEASE_CHECK_LEAST_S: Final = 0.01
#: Changes of the configuration that may wait for another one.
CHANGES_LIMIT: Final = 64

Change = Callable[[Configuration], Configuration]


class Leadership:
    """The office of a leader."""

    def __init__(self, raft: "RaftServer") -> None:
        self._raft = raft
        self.term = raft.term
        #: The first entry of this office: earlier entries are not committed by counting.
        self.first_index = raft.log.last_index + 1
        self.replications: dict[str, Replication] = {}
        self.is_over = False
        #: Which consistent reads a request that is sent now can confirm.
        self.round = 0
        self._verifications: list[tuple[int, set[str], Finished]] = []
        self._round_is_due = False
        self._changes: deque[tuple[Change, Finished]] = deque()
        self._transfer: _Transfer | None = None
        self._lease_timer: Timer | None = None
        self._is_ready = False
        #: The commands of this turn with their callbacks; they are appended together.
        self._proposed: list[tuple[bytes, Finished]] = []
        #: The last index of each turn's commands that are not committed, when they were appended, and how many.
        self._dispatched: deque[tuple[int, float, int]] = deque()

    def start(self) -> None:
        """Start the term: append a no-op entry and send it to every other server."""
        self._sync_replications()
        self._check_lease()
        self._append(NOOP, None, lambda _: None)
        self._raft.applying.when_applied(self.first_index, self._applied_own)
        self._raft.persistence.flush()
        self.send_all()

    def _applied_own(self, _: Any) -> None:
        if not self.is_over:
            self._is_ready = True
            self._raft.observer.ready()

    def stop(self, why: Exception) -> None:
        """End the office."""
        self.is_over = True
        cancel_timer(self._lease_timer)
        for replication in self.replications.values():
            replication.stop()
        if self._transfer is not None:
            self._transfer.office_over()
        verifications, self._verifications = self._verifications, []
        proposed, self._proposed = self._proposed, []
        for *_, finished in verifications + proposed:
            finished(NotLeader())
        for _, finished in self._changes:
            finished(why)

    def step_down(self, term: int, why: str) -> None:
        """End the office, with a higher term if one was seen."""
        if not self.is_over:
            self._raft.observer.say("warn", f"stepping down: term={self.term}: {why}")
            self._raft.follow(max(term, self._raft.term))
            self._raft.persistence.flush()

    # -- proposals

    def propose(self, kind: int, data: bytes | None, finished: Finished) -> None:
        """Append an entry, a command at the end of this turn; `finished` is called when it is applied."""
        raft = self._raft
        if self._transfer is not None:
            finished(NotLeader("leadership transfer in progress"))
        elif len(raft.waiting) + len(self._proposed) >= raft.settings.proposals:
            finished(RPCError(f"too many writes are waiting for the quorum: {raft.settings.proposals}"))
        elif (refusal := self._refusal(kind)) is not None:
            finished(refusal)
        else:
            if kind == COMMAND and data is not None:
                self._proposed.append((data, finished))
            else:
                self._append(kind, data, finished)
            raft.schedule_turn()

    def _refusal(self, kind: int) -> RPCError | None:
        raft = self._raft
        if raft.snapshots.is_installing:
            return NotLeader("a snapshot is being restored")
        if kind == COMMAND and raft.persistence.is_failing:
            return RPCError("the log cannot be written at present")
        return None

    def append_proposed(self) -> None:
        """Append the commands that were proposed in this turn: together they cost a third."""
        if not self._proposed:
            return
        proposed, self._proposed = self._proposed, []
        refusal = self._refusal(COMMAND)
        if refusal is not None:
            for _, finished in proposed:
                finished(refusal)
            return
        raft, term = self._raft, self.term
        before = raft.log.last_index
        entries = []
        for index, (data, finished) in enumerate(proposed, before + 1):
            entries.append(LogEntry(data, None, index, term, COMMAND))
            raft.waiting[index] = finished
        raft.append(entries)
        self._dispatched.append((before + len(entries), raft.clock.seconds(), len(entries)))
        raft.observer.counted("raft.apply", len(entries), len(entries))

    def _append(self, kind: int, data: bytes | None, finished: Finished) -> None:
        self.append_proposed()
        raft = self._raft
        if kind == BARRIER:
            raft.observer.incr("raft.barrier")
        index = raft.log.last_index + 1
        raft.waiting[index] = finished
        raft.append([LogEntry(data=data, index=index, term=self.term, type=kind)])

    def send_all(self) -> None:
        """Send new entries to all servers."""
        for replication in list(self.replications.values()):
            replication.send()

    def advance_commit(self) -> None:
        """Commit what a majority of voters has stored, if the entry is of this office."""
        if self.is_over:
            return
        raft = self._raft
        if self.replications:
            matches = sorted(self._match(server) for server in raft.configurations.latest.voters)
            index = matches[(len(matches) - 1) // 2]
        else:
            index = raft.persistence.durable_index
        if index > raft.commit_index and index >= self.first_index:
            while self._dispatched and self._dispatched[0][0] <= index:
                _, appended_s, count = self._dispatched.popleft()
                raft.observer.timed("raft.commitTime", count * (raft.clock.seconds() - appended_s), count)
            raft.commit(index)
            for replication in list(self.replications.values()):
                replication.commit_moved()

    def _match(self, server: Server) -> int:
        if server.id == self._raft.server_id:
            return self._raft.persistence.durable_index
        replication = self.replications.get(server.id)
        return replication.match if replication is not None else 0

    # -- configuration

    def change_configuration(self, change: Change, finished: Finished) -> None:
        """Append another configuration once the last one is committed; one at a time, in order."""
        if len(self._changes) >= CHANGES_LIMIT:
            finished(RPCError("too many changes of the configuration are waiting"))
        else:
            self._changes.append((change, finished))
            self._next_change()

    def _next_change(self) -> None:
        raft = self._raft
        while self._changes and not self.is_over and not raft.snapshots.is_installing:
            if not raft.configurations.is_stable or raft.commit_index < self.first_index:
                return
            change, finished = self._changes.popleft()
            try:
                changed = change(raft.configurations.latest)
            except ConfigurationError as error:
                finished(error)
                continue
            if changed == raft.configurations.latest:
                finished(None)
                continue
            self._append(CONFIGURATION, changed.pack(), finished)
            self._sync_replications()
            raft.schedule_turn()
            if len(changed.voters) == 1:
                self.advance_commit()

    def configuration_committed(self) -> None:
        """The newest configuration is committed."""
        raft = self._raft
        if not raft.is_voter:
            for replication in list(self.replications.values()):
                replication.send_commit()
            raft.clock.callLater(0, self.step_down, self.term, "no voter in the committed configuration")
        # Not from within the commit: whatever waits for it goes first.
        raft.clock.callLater(0, self._next_change)

    def _sync_replications(self) -> None:
        raft = self._raft
        servers = {server.id: server for server in raft.configurations.latest.servers if server.id != raft.server_id}
        for server_id, replication in list(self.replications.items()):
            server = servers.get(server_id)
            if server is None:
                replication.dismiss()
            elif server.address != replication.server.address:
                replication.stop()
                del self.replications[server_id]
            else:
                replication.readmit()
        for server_id, server in servers.items():
            if server_id not in self.replications:
                replication = self.replications[server_id] = Replication(raft, self, server)
                replication.start()

    def forget(self, replication: Replication) -> None:
        """A removed server has the commit index, or was given up."""
        if self.replications.get(replication.server.id) is replication:
            del self.replications[replication.server.id]

    # -- lease and consistent reads

    def verify(self, finished: Finished) -> None:
        """Confirm with a majority that there is no other leader; `finished(None)`, or `NotLeader`."""
        self._raft.observer.incr("raft.verify_leader")
        self._verifications.append((self.round + 1, {self._raft.server_id}, finished))
        if not self._round_is_due:
            self._round_is_due = True
            self._raft.clock.callLater(0, self._begin_round)

    def _begin_round(self) -> None:
        self._round_is_due = False
        if self.is_over:
            return
        self.round += 1
        for replication in list(self.replications.values()):
            replication.heartbeat.send_now()
        self.confirmed("", self.round)

    def confirmed(self, server_id: str, up_to: int) -> None:
        """A server answered a request of this round or an earlier one."""
        if not self._verifications:
            return
        voters = {server.id for server in self._raft.configurations.latest.voters}
        majority = self._raft.configurations.latest.majority
        done: list[Finished] = []
        remaining = []
        for number, servers, finished in self._verifications:
            if number <= up_to and server_id:
                servers.add(server_id)
            if number <= self.round and len(servers & voters) >= majority:
                done.append(finished)
            else:
                remaining.append((number, servers, finished))
        self._verifications = remaining
        for finished in done:
            finished(None)

    @property
    def has_lease(self) -> bool:
        """Whether no other leader can have been elected: a majority followed us lately. Stricter than real servers."""
        settings = self._raft.settings
        if not self.replications:
            return self._is_ready
        if self._raft.unconfirmed.is_in_force:
            return False
        age_s = self._majority_age_s(lambda replication: replication.confirmed_s)
        return self._is_ready and self._transfer is None and age_s < settings.lease_s * (1 - settings.clock_drift)

    def _majority_age_s(self, time_of: Callable[[Replication], float]) -> float:
        """Seconds since the last contact with a majority of the voters, this server included."""
        raft = self._raft
        now_s = raft.clock.seconds()
        ages = []
        for server in raft.configurations.latest.voters:
            replication = self.replications.get(server.id)
            if server.id == raft.server_id:
                ages.append(0.0)
            else:
                ages.append(now_s - time_of(replication) if replication is not None else float("inf"))
        return sorted(ages)[raft.configurations.latest.majority - 1]

    def _check_lease(self) -> None:
        if self.is_over:
            return
        raft = self._raft
        lease_s = raft.settings.lease_s
        for replication in self.replications.values():
            if not replication.is_dismissed:
                raft.observer.sample("raft.leader.lastContact", 1000 * (raft.clock.seconds() - replication.contact_s))
        age_s = self._majority_age_s(lambda replication: replication.contact_s)
        if age_s >= lease_s:
            raft.observer.incr("raft.transition.leader_lease_timeout")
            self.step_down(self.term, "failed to contact quorum of nodes")
        else:
            pause_s = max(lease_s - age_s, LEASE_CHECK_LEAST_S)
            self._lease_timer = raft.clock.callLater(pause_s, self._check_lease)

    def peer_returned(self, server_id: str) -> None:
        """A server can be reached again: wait no longer."""
        replication = self.replications.get(server_id)
        if replication is not None:
            replication.retry_now()

    # -- handing over

    def transfer(self, finished: Finished, target_id: str = "") -> None:
        """Make another voter leader: the one named, or `successor`."""
        self.append_proposed()
        if self._transfer is not None:
            finished(RPCError("leadership transfer in progress"))
            return
        target = self.successor(only=target_id)
        if target is None:
            finished(RPCError("cannot find peer"))
            return
        self._transfer = _Transfer(self._raft, self, target, finished, is_named=bool(target_id))
        self._transfer.start()

    def successor(self, *, only: str = "", without: Container[str] = ()) -> Replication | None:
        """The voter to lead next: in contact, with the longest log, heard last; None if there is none."""
        voters = {server.id for server in self._raft.configurations.latest.voters if server.id not in without}
        candidates = [each for each in self.replications.values() if each.server.id in voters and not each.is_dismissed]
        if only:
            candidates = [each for each in candidates if each.server.id == only]
        return max(candidates, key=lambda each: (each.is_healthy, each.match, each.contact_s), default=None)

    def transfer_over(self) -> None:
        """The transfer failed: accept writes again."""
        self._transfer = None

    def matched(self, replication: Replication) -> None:
        """A server has stored further entries."""
        self.advance_commit()
        if self._transfer is not None:
            self._transfer.advance(replication)

    def abdicate(self) -> None:
        """Transfer leadership, or else step down: this server can lead no more."""

        def finished(error: Any) -> None:
            if error is not None:
                self.step_down(self.term, str(error))

        self.transfer(finished)

    def disk_failed(self, error: Exception) -> None:
        """The disk failed: let another server lead, which is sent what waits; it succeeds if a majority stores it.

        Where there is none, what failed is given up: it must not happen later after all.
        """
        if self.replications:
            if self._transfer is None:
                self.abdicate()
            return
        raft = self._raft
        durable = raft.persistence.durable_index
        waiting = [raft.waiting.pop(index) for index in sorted(raft.waiting) if index > durable]
        raft.discard_unstored()
        if durable < self.first_index:
            self.step_down(self.term, f"the first entry of this office cannot be stored: {error}")
        for finished in waiting:
            finished(error)


class _Transfer:
    """Leadership transfer to one server: send it all entries, then TimeoutNow. If it can't be reached, the next one.

    `is_named`: it is to be this one and no other.
    """

    def __init__(
        self, raft: "RaftServer", office: Leadership, target: Replication, finished: Finished, *, is_named: bool
    ) -> None:
        self._raft = raft
        self._office = office
        self._target = target
        self._finished: Finished | None = finished
        self._is_named = is_named
        self._tried: set[str] = set()
        self._was_sent = self._is_told = False
        self._timer: Timer | None = None

    def start(self) -> None:
        """Start; give up after an election timeout."""
        self._timer = self._raft.clock.callLater(self._raft.settings.election_timeout_s, self._failed, "timed out")
        self._try()

    def _try(self) -> None:
        self._tried.add(self._target.server.id)
        self._is_told = False
        self._target.send()
        self.advance(self._target)

    def advance(self, replication: Replication) -> None:
        """The target has stored further entries: perhaps all."""
        raft = self._raft
        if replication is self._target and not self._is_told and replication.match >= raft.log.last_index:
            self._was_sent = self._is_told = True
            raft.observer.say("info", f"handing over to {replication.server.address}: term={self._office.term}")
            raft.sender.call(replication.server, TimeoutNow(), lambda answer: self._answered(replication, answer))

    def office_over(self) -> None:
        """The office has ended: another server leads, or will."""
        self._end(None if self._was_sent else LeadershipLost("leadership lost during leadership transfer"))

    def _answered(self, target: Replication, answer: Record | Exception) -> None:
        if isinstance(answer, TimeoutNowReply) or target is not self._target or self._finished is None:
            return
        following = None if self._is_named else self._office.successor(without=self._tried)
        if following is None:
            self._failed(f"it did not take the request to stand: {answer}")
        else:
            self._target = following
            self._try()

    def _failed(self, why: str) -> None:
        if self._finished is not None:
            self._office.transfer_over()
            self._end(RPCError(f"leadership transfer to {self._target.server.address}: {why}"))

    def _end(self, result: Exception | None) -> None:
        finished, self._finished = self._finished, None
        cancel_timer(self._timer)
        if finished is not None:
            finished(result)
