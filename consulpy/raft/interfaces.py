"""Interfaces and settings of the machine: the sender of its calls, the state machine of its log, the observer."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record
from consulpy.errors import RPCError
from consulpy.raft.configuration import Server
from consulpy.raft.messages import LogEntry, Request
from consulpy.raft.storage import SnapshotReader

#: Receives the answer to a call, or the error.
Answered = Callable[[Record | Exception], None]
#: `respond(reply, error)`: answers a call of a peer; with an error the reply may be None.
Respond = Callable[[Record | None, str], None]
#: Receives the result of a proposal or change, or the exception that stopped it.
Finished = Callable[[Any], None]


class Role(StrEnum):
    """Role of a server, in the words of `consul info`."""

    FOLLOWER = "Follower"
    CANDIDATE = "Candidate"
    LEADER = "Leader"
    SHUTDOWN = "Shutdown"


class NotLeader(RPCError):
    """Raised by a server that does not lead; nothing was done."""

    def __init__(self, text: str = "node is not the leader") -> None:
        super().__init__(text)


class LeadershipLost(RPCError):
    """The office ended while an entry was not committed yet: it may be committed later, or never."""

    def __init__(self, text: str = "leadership lost while committing log") -> None:
        super().__init__(text)


class Unreachable(Exception):
    """No connection to a server could be made: it cannot vote either."""


class UnknownCommand(Exception):
    """A committed command that this server cannot apply; raised by a state machine, which then changed nothing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Timings in seconds (Consul's at `raft_multiplier` 1), and limits."""

    heartbeat_timeout_s: float = 1.0
    election_timeout_s: float = 1.0
    lease_s: float = 0.5
    #: An append without entries is sent after a random time between these.
    commit_interval_s: tuple[float, float] = (0.05, 0.1)
    #: Time limit of the survey of other voters before an election.
    survey_timeout_s: float = 0.5
    #: Once the leader is known to be dead each voter waits this long for each one before it in the configuration.
    death_wait_s: float = 0.05
    #: How long a removed server is still sent the commit index.
    dismissal_s: float = 5.0
    #: Clocks may differ by this fraction.
    clock_drift: float = 0.1
    #: Entries since the last snapshot that make another one; interval of that check; entries kept beside it.
    snapshot_threshold: int = 16384
    #: Whether the threshold of entries grows with the state.
    snapshot_spares_large_states: bool = True
    snapshot_interval_s: float = 30.0
    trailing_logs: int = 10240
    #: Limits of one append, and of appends without an answer.
    append_entries: int = 1024
    append_bytes: int = 1 << 20
    in_flight: int = 64
    in_flight_bytes: int = 8 << 20
    #: Entries that are applied in one turn.
    apply_entries: int = 256
    #: Proposals that may wait to be committed.
    proposals: int = 16384

    @classmethod
    def scaled(cls, multiplier: float, **more: Any) -> "Settings":
        """The settings with timings multiplied by Consul's `raft_multiplier`."""
        return cls(heartbeat_timeout_s=multiplier, election_timeout_s=multiplier, lease_s=0.5 * multiplier, **more)


class Sender(Protocol):
    """Carries calls. Answers come later, in this thread, never from within the call."""

    def call(self, server: Server, request: Request, answered: Answered) -> None:
        """Send a request. Appends that are no heartbeats stay in order; heartbeats never wait behind them."""

    def install(self, server: Server, request: Request, snapshot: SnapshotReader, answered: Answered) -> None:
        """Send an `InstallSnapshot` with the state after it, over a connection of its own; then close `snapshot`."""

    def survey(self, server: Server, answered: Answered) -> None:
        """Request its `PeerState`. `Unreachable` if there is no connection."""

    def abort(self, server: Server) -> None:
        """Abandon the appends to this server that are in progress; their answers may or may not come."""


class StateMachine(Protocol):
    """The state machine that committed commands are applied to."""

    @property
    def rows(self) -> int:
        """About how many rows go into a snapshot."""

    def apply(self, entries: Sequence[LogEntry]) -> list[Any]:
        """Apply commands in order; their results. Raises `UnknownCommand` before any of them is applied."""

    def capture(self) -> Any:
        """The state as it is now, for `Storage.save_snapshot`; cheap."""

    def restore(self, state: Any, index: int) -> None:
        """Become the state that `Storage` gave, which is at `index`."""

    def reset(self) -> None:
        """Become empty, at index 0."""


class Observer:
    """Receives the events of the machine; all of them may be ignored."""

    def say(self, level: str, text: str) -> None:
        """One line for the operator; `level` is `debug`, `info`, `warn` or `error`."""

    def role_changed(self, role: Role, term: int) -> None:
        """The role has changed."""

    def leader_changed(self, address: str) -> None:
        """Another leader is known, or none ("")."""

    def ready(self) -> None:
        """This server leads, and has applied everything from before its office."""

    def configuration_changed(self) -> None:
        """There is a newer configuration."""

    def heartbeat_failed(self, server: Server, error: Exception) -> None:
        """A heartbeat to this server got no answer."""

    def incr(self, name: str, count: float = 1) -> None:
        """Increment a counter with Consul's name."""

    def sample(self, name: str, value: float) -> None:
        """A measured value under Consul's name, in milliseconds where it is a time."""

    def counted(self, name: str, count: float, times: int = 1) -> None:
        """Batched `incr` for frequent events: `times` times, `count` in all."""

    def timed(self, name: str, seconds: float, count: int = 1) -> None:
        """Batched `sample` for frequent events: `count` times that took `seconds` together."""
