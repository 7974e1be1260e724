"""Elections: when a server stands, its survey before, the votes that it gets and gives (docs/wire/raft.md 6, 7).

    leader silent -> survey: does a majority know no leader, and is our log no older? -> candidacy -> office
    TimeoutNow, or the leader's program has ended -> candidacy with LeadershipTransfer

The survey is not part of Raft: it keeps a server that comes back from raising its term and so unseating a leader that
all others hear. It uses calls that real servers answer too (`Status.Leader`, `Status.RaftStats`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from consulpy.clock import Timer, cancel_timer
from consulpy.codec.record import Record
from consulpy.raft.configuration import Server
from consulpy.raft.interfaces import Respond, Role, Unreachable
from consulpy.raft.messages import PeerState, RequestVote, RequestVoteReply, TimeoutNow

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer

#: Minimum of a timer, in seconds: a smaller one may not advance a clock.
TIMER_LEAST_S: Final = 0.001
#: The term of the first configuration: until it is passed there was no leader, and an election is no fault.
BOOTSTRAP_TERM: Final = 1
#: Surveys without an answer of servers that can be reached, after which an election is tried nevertheless.
SURVEYS_BEFORE_STANDING: Final = 3
#: The longest pause after a survey in vain, once the leader has died; in `Settings.death_wait_s`.
SURVEY_PAUSES: Final = 5
#: The pause between the next rounds of candidates whose vote was split then, in durations of a round.
ROUNDS_APART: Final = 2.0


class Elections:
    """The timer of a follower, and what it leads to."""

    def __init__(self, raft: "RaftServer") -> None:
        self._raft = raft
        self._timer: Timer | None = None
        self._timeout_s = 0.0
        self._survey: Survey | None = None
        self._candidacy: Candidacy | None = None
        self._unanswered = 0
        self._has_complained = False
        #: The leader whose program has ended, until there is another one, and when that was noticed.
        self._dead = ""
        self._death_s = 0.0

    def start(self) -> None:
        """Wait for a leader, unless there can be no other than this server."""
        self.restart()
        configurations, alone = self._raft.configurations, {self._raft.server_id}
        latest, before = (
            {server.id for server in each.voters} for each in (configurations.latest, configurations.committed)
        )
        if latest == alone and before <= alone:  # no other server can lead, whether the newest one is committed or not
            self._cancel_timer()
            self._timer = self._raft.clock.callLater(0, self._stand_alone)

    def _stand_alone(self) -> None:
        self._timer = None
        self._stand(transfer=False)

    def restart(self) -> None:
        """Wait for a whole new timeout, a random one."""
        self._cancel_timer()
        timeout_s = self._raft.settings.heartbeat_timeout_s
        self._timeout_s = timeout_s * (1 + self._raft.rng.random())
        self._timer = self._raft.clock.callLater(self._timeout_s, self._timed_out)

    def stop(self) -> None:
        """Stop: no candidacy, no election timeout."""
        self.withdraw()
        self._cancel_timer()

    def withdraw(self) -> None:
        """End a candidacy or survey."""
        if self._candidacy is not None:
            self._candidacy.stop()
            self._candidacy = None
        self.leader_heard()

    def leader_heard(self) -> None:
        """A leader sent something: end a survey."""
        self._unanswered = 0
        self._dead = ""
        if self._survey is not None:
            self._survey.stop()
            self._survey = None
            if self._timer is None:
                self.restart()

    def stand_now(self) -> None:
        """TimeoutNow: the leader wants this server in its place."""
        if self._may_stand(counting_own_vote=True) and self._raft.leadership is None:
            self._stand(transfer=True)

    def stand_after_death(self, leader: str) -> None:
        """The leader's program has ended: stand soon, unless another one does.

        All voters learn of it in the same millisecond: if two of them stood at once, an election timeout would be lost.
        """
        raft = self._raft
        rank = self._rank(leader)
        self._death_s = raft.clock.seconds()
        raft.observer.say("warn", f"the program of the leader {leader} has ended: term={raft.term}")
        self._survey_after_death(leader, (rank + raft.rng.random() / 4) * raft.settings.death_wait_s)

    def _rank(self, dead: str) -> int:
        """The place of this server among the voters that are left."""
        voters = [server.id for server in self._raft.configurations.latest.voters if server.address != dead]
        return voters.index(self._raft.server_id) if self._raft.server_id in voters else len(voters)

    def _survey_after_death(self, leader: str, wait_s: float, *, repeats: bool = False) -> None:
        raft = self._raft
        term = raft.term

        def begin() -> None:
            is_as_before = raft.term == term and raft.role is Role.FOLLOWER and self._survey is None
            is_silent = not repeats or raft.contact_s is None or raft.contact_s <= self._death_s
            if is_as_before and is_silent and self._may_stand():
                self._cancel_timer()
                self._begin_survey(dead=leader)

        raft.clock.callLater(wait_s, begin)

    # -- votes for others

    def receive_vote_request(self, request: RequestVote, respond: Respond) -> None:
        """Answer a candidate; membership is not looked at, for it may be newer than our configuration."""
        raft = self._raft
        leader = raft.known_leader
        if raft.halted or (leader and leader != request.candidate and not request.leadership_transfer):
            self._refuse(respond)
            return
        if request.term < raft.term:
            self._refuse(respond)
            return
        if request.term > raft.term:
            raft.follow(request.term)
        reply = RequestVoteReply(term=raft.term)
        has_voted = raft.voted_term == raft.term
        own = raft.unconfirmed.vote_position
        if has_voted:
            reply.granted = raft.voted_for == request.candidate
        elif (request.last_log_term, request.last_log_index) >= own:
            raft.vote(request.candidate)
            raft.contact_s = raft.clock.seconds()
            reply.granted = True
        raft.persistence.after(lambda: respond(reply, ""))

    def _refuse(self, respond: Respond) -> None:
        reply = RequestVoteReply(term=self._raft.term)
        if reply.term <= self._raft.durable_term:
            respond(reply, "")
        else:
            self._raft.persistence.after(lambda: respond(reply, ""))

    # -- standing

    def _timed_out(self) -> None:
        self._timer = None
        raft = self._raft
        remaining_s = self._timeout_s - raft.since_contact_s
        if remaining_s > 0:
            self._timer = raft.clock.callLater(max(remaining_s, TIMER_LEAST_S), self._timed_out)
            return
        raft.set_leader("")  # first of all: with a known leader this server would refuse all other candidates
        if not self._may_stand():
            self.restart()
            return
        raft.observer.incr("raft.transition.heartbeat_timeout")
        level = "info" if raft.term <= BOOTSTRAP_TERM else "warn"
        raft.observer.say(level, f"heartbeat timeout reached, asking the others before an election: term={raft.term}")
        self._begin_survey()

    def _may_stand(self, *, counting_own_vote: bool = False) -> bool:
        raft = self._raft
        configurations = raft.configurations
        if raft.halted or raft.snapshots.is_installing or raft.unconfirmed.is_missing:
            return False
        why = ""
        if not configurations.latest.servers:
            why = "no known peers, aborting election"
        elif not raft.is_voter and (
            # One that an uncommitted configuration leaves out may be needed to commit it.
            counting_own_vote or configurations.is_stable or not configurations.committed.is_voter(raft.server_id)
        ):
            why = "not part of stable configuration, aborting election"
        if why and not self._has_complained:
            raft.observer.say("warn" if configurations.latest.servers else "info", why)
        self._has_complained = bool(why)
        return not why

    def _begin_survey(self, dead: str = "") -> None:
        self._survey = Survey(self._raft, dead, self._survey_over)
        self._survey.start()

    def _survey_over(self, survey: "Survey") -> None:
        if self._survey is not survey:
            return
        self._survey = None
        if survey.has_majority:
            self._stand(transfer=bool(survey.dead), dead=survey.dead)
            return
        if survey.dead:  # the others may be busy, or not know of the death yet: the timers would take much longer
            self.restart()
            if survey.better is not None:  # a real server would wait for its timer
                self._raft.sender.call(survey.better, TimeoutNow(), lambda _: None)
            if self._raft.clock.seconds() - self._death_s < self._raft.settings.heartbeat_timeout_s:
                self._survey_after_death(survey.dead, self._random_pause_s(), repeats=True)
            return
        self._unanswered = self._unanswered + 1 if survey.may_have_majority else 0
        if self._unanswered >= SURVEYS_BEFORE_STANDING:
            self._stand(transfer=False)
        else:
            self.restart()

    def _random_pause_s(self) -> float:
        return self._raft.settings.death_wait_s * self._raft.rng.random() * SURVEY_PAUSES

    def _stand(self, *, transfer: bool, dead: str = "") -> None:
        self.withdraw()
        self._cancel_timer()
        self._unanswered = 0
        self._dead = dead
        self._candidacy = Candidacy(self._raft, transfer, self._not_elected, self._rank(dead) if dead else None)
        self._candidacy.start()
        self._raft.persistence.flush()

    def _not_elected(self) -> None:
        """The election ended without a winner: survey again, and stand in another term."""
        self._candidacy = None
        self._raft.become(Role.FOLLOWER)
        if self._may_stand():
            self._begin_survey(self._dead)
        else:
            self.restart()

    def _cancel_timer(self) -> None:
        cancel_timer(self._timer)
        self._timer = None


class Survey:
    """Surveys the other voters: would an election have a chance? `dead`: a leader that is known to be dead."""

    def __init__(self, raft: "RaftServer", dead: str, over: Callable[["Survey"], None]) -> None:
        self._raft = raft
        self.dead = dead
        self._over: Callable[[Survey], None] | None = over
        self._own = (raft.log.last_term, raft.log.last_index)
        self._voters = raft.configurations.latest.voters
        self._willing = int(raft.is_voter)
        self._unclear = 0
        self._open = 0
        self._timer: Timer | None = None
        #: The voter whose log is the newest, and newer than ours, and that knows no other leader.
        self.better: Server | None = None
        self._newest = self._own

    @property
    def has_majority(self) -> bool:
        """Whether a majority would vote for us."""
        return self._willing >= len(self._voters) // 2 + 1

    @property
    def may_have_majority(self) -> bool:
        """Whether a majority might vote for us, since some voters could be reached but did not answer."""
        return self._willing + self._unclear >= len(self._voters) // 2 + 1

    def start(self) -> None:
        """Send the requests."""
        raft = self._raft
        others = [server for server in self._voters if server.id != raft.server_id]
        self._open = len(others)
        self._timer = raft.clock.callLater(raft.settings.survey_timeout_s, self._time_is_up)
        if not others:
            self._finish()
        for server in others:
            if server.address != self.dead:
                raft.sender.survey(server, self._receiver(server))
            else:
                self._open -= 1

    def stop(self) -> None:
        """Ignore further answers."""
        self._over = None
        cancel_timer(self._timer)

    def _receiver(self, server: Server) -> Callable[[Record | Exception], None]:
        return lambda answer: self._answered(server, answer)

    def _answered(self, server: Server, answer: Record | Exception) -> None:
        if self._over is None:
            return
        self._open -= 1
        if isinstance(answer, PeerState):
            knows_none = answer.leader in ("", self._raft.address, self.dead)
            position = (answer.last_log_term, answer.last_log_index)
            self._willing += knows_none and position <= self._own
            if knows_none and position > self._newest:
                self.better, self._newest = server, position
        elif not isinstance(answer, Unreachable):
            self._unclear += 1
        if self.has_majority or not self._open:
            self._finish()

    def _time_is_up(self) -> None:
        self._unclear += self._open
        self._finish()

    def _finish(self) -> None:
        over = self._over
        self.stop()
        if over is not None:
            over(self)


class Candidacy:
    """One round of an election, in one term.

    `rank`: of this server among those that all stand at once; the round ends soon after all have answered, if nobody
    has won. None: it ends with the election timeout.
    """

    def __init__(
        self, raft: "RaftServer", transfer: bool, not_elected: Callable[[], None], rank: int | None = None
    ) -> None:
        self._raft = raft
        self._transfer = transfer
        self._not_elected = not_elected
        self._rank = rank
        self._open = 0
        self._votes: set[str] = set()
        self._voters = {server.id: server for server in raft.configurations.latest.voters}
        self._is_over = False
        self._timer: Timer | None = None
        self.term = raft.term + 1
        self._began_s = raft.clock.seconds()

    def start(self) -> None:
        """Enter the next term, vote for this server, and send vote requests once that is durable."""
        raft = self._raft
        raft.set_leader("")
        raft.set_term(self.term)
        raft.become(Role.CANDIDATE)
        if raft.server_id in self._voters:
            raft.vote(raft.address)
        timeout_s = raft.settings.election_timeout_s * (1 + raft.rng.random())
        self._timer = raft.clock.callLater(timeout_s, self._time_is_up)
        raft.persistence.after(self._ask)

    def stop(self) -> None:
        """Ignore further votes."""
        self._is_over = True
        cancel_timer(self._timer)

    def _ask(self) -> None:
        if self._is_over:
            return
        raft = self._raft
        request = RequestVote(
            candidate=raft.address,
            last_log_index=raft.log.last_index,
            last_log_term=raft.log.last_term,
            leadership_transfer=self._transfer,
            term=self.term,
        )
        for server in self._voters.values():
            if server.id == raft.server_id:
                self._count(server.id)
            else:
                self._open += 1
                raft.sender.call(server, request, self._receiver(server))

    def _receiver(self, server: Server) -> Callable[[Record | Exception], None]:
        def answered(reply: Record | Exception) -> None:
            self._open -= 1
            if self._is_over:
                return
            if (
                isinstance(reply, RequestVoteReply)
                and reply.term > self.term
                and self._raft.terms.admits(reply.term, server.address)
            ):
                self._raft.follow(reply.term)
                self._raft.persistence.flush()
                return
            if isinstance(reply, RequestVoteReply) and reply.granted and reply.term == self.term:
                self._count(server.id)
            if self._rank is not None and not self._open and not self._is_over:
                self._end_soon(self._rank)

        return answered

    def _count(self, server_id: str) -> None:
        if self._is_over:
            return
        self._votes.add(server_id)
        if len(self._votes) >= len(self._voters) // 2 + 1:
            self.stop()
            self._raft.observer.sample("raft.candidate.electSelf", 1000 * (self._raft.clock.seconds() - self._began_s))
            self._raft.observer.say(
                "info", f"election won: term={self.term} votes={len(self._votes)} of {len(self._voters)}"
            )
            self._raft.lead()

    def _end_soon(self, rank: int) -> None:
        """The vote was split: the candidates begin the next round in turn, each when the last one can be over."""
        cancel_timer(self._timer)
        raft = self._raft
        round_s = max(raft.clock.seconds() - self._began_s, raft.settings.death_wait_s)
        self._timer = raft.clock.callLater((ROUNDS_APART * rank + raft.rng.random() / 4) * round_s, self._time_is_up)

    def _time_is_up(self) -> None:
        if not self._is_over:
            self.stop()
            self._raft.observer.say(
                "warn", f"election timeout reached: term={self.term} votes={len(self._votes)} of {len(self._voters)}"
            )
            self._not_elected()
