"""A candidacy: the vote requests of one term, and the votes that are counted (docs/wire/raft.md 7)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from consulpy.clock import Timer, cancel_timer
from consulpy.codec.record import Record
from consulpy.raft.configuration import Server
from consulpy.raft.interfaces import Role
from consulpy.raft.messages import RequestVote, RequestVoteReply

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer

#: The pause between the next rounds of candidates whose vote was split then, in durations of a round.
ROUNDS_APART: Final = 2.0


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
