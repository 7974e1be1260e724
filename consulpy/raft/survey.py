"""The survey before an election: does a majority know no leader, and is our log no older?

It is not part of Raft: it keeps a server that comes back from raising its term and so unseating a leader that all
others hear. It uses calls that real servers answer too (`Status.Leader`, `Status.RaftStats`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from consulpy.clock import Timer, cancel_timer
from consulpy.codec.record import Record
from consulpy.raft.configuration import Server
from consulpy.raft.interfaces import Unreachable
from consulpy.raft.messages import PeerState

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer


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
