"""Elections: when a server stands, and the votes that it gives (docs/wire/raft.md 6, 7).

    leader silent -> survey: does a majority know no leader, and is our log no older? -> candidacy -> office
    TimeoutNow, or the leader's program has ended -> candidacy with LeadershipTransfer

The survey (`survey.py`) is not part of Raft.
"""

from typing import TYPE_CHECKING, Final

from consulpy.clock import Timer, cancel_timer
from consulpy.raft.candidacy import Candidacy
from consulpy.raft.interfaces import Respond, Role
from consulpy.raft.messages import RequestVote, RequestVoteReply, TimeoutNow
from consulpy.raft.survey import Survey

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
