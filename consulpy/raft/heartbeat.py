"""A leader's heartbeats to one other server (docs/wire/raft.md 8)."""

from typing import TYPE_CHECKING, Final, Protocol

from consulpy.backoff import backoff_s
from consulpy.clock import Timer, cancel_timer
from consulpy.codec.record import Record
from consulpy.raft.configuration import Server
from consulpy.raft.messages import AppendEntries, AppendEntriesReply

if TYPE_CHECKING:
    from consulpy.raft.server import Office, RaftServer

#: The first pause after failed calls, and the longest one of heartbeats, in seconds; they never wait longer than
#: between two that are answered. (Real servers wait up to 10.24 s, so that one which comes back may stand for election
#: before it hears its leader.)
BACKOFF_FIRST_S: Final = 0.01
HEARTBEAT_BACKOFF_MOST_S: Final = 0.64


def retry_pause_s(failures: int, max_s: float) -> float:
    """The pause after `failures` failed calls in a row; the second one is not longer than the first."""
    return backoff_s(failures - 1, BACKOFF_FIRST_S, max_s)


class Followed(Protocol):
    """What is known of the other server (`Replication`)."""

    server: Server
    #: When it was last heard, and when the last request was sent that it obeyed.
    contact_s: float
    confirmed_s: float

    def append_now(self) -> None:
        """Send entries now: the server can be reached."""


class Heartbeat:
    """Heartbeats to one server: one after the other, on a connection where nothing else waits."""

    def __init__(self, raft: "RaftServer", office: "Office", followed: Followed) -> None:
        self._raft = raft
        self._office = office
        self._followed = followed
        self._timer: Timer | None = None
        self._is_open = False
        self._is_wanted = False
        self._failures = 0
        self._is_stopped = False

    def stop(self) -> None:
        """Send no more."""
        self._is_stopped = True
        self._cancel()

    def retry_now(self) -> None:
        """Wait no longer after a failure."""
        self._failures = 0
        self.send_now()

    def send_now(self) -> None:
        """Send one, now or as soon as the last one is answered."""
        if self._is_stopped:
            return
        if self._is_open:
            self._is_wanted = True
            return
        self._cancel()
        self._is_open = True
        raft = self._raft
        sent_s, office_round = raft.clock.seconds(), self._office.round
        server = self._followed.server

        def answered(reply: Record | Exception) -> None:
            self._is_open = False
            if not (self._is_stopped or self._office.is_over):
                self._answered(reply, sent_s, office_round)

        raft.sender.call(server, AppendEntries(leader=raft.address, term=self._office.term), answered)

    def _answered(self, reply: Record | Exception, sent_s: float, office_round: int) -> None:
        raft, followed = self._raft, self._followed
        if not isinstance(reply, AppendEntriesReply):
            self._failures += 1
            if isinstance(reply, Exception):
                raft.observer.heartbeat_failed(followed.server, reply)
            pause_s = min(self._interval_s(), HEARTBEAT_BACKOFF_MOST_S)
            self._schedule(retry_pause_s(self._failures, pause_s))
            return
        if self._failures:
            self._failures = 0
            followed.append_now()
        followed.contact_s = raft.clock.seconds()
        took_ms = 1000 * (followed.contact_s - sent_s)
        raft.observer.sample(f"raft.replication.heartbeat.{followed.server.id}", took_ms)
        if reply.success:
            followed.confirmed_s = max(followed.confirmed_s, sent_s)
            self._office.confirmed(followed.server.id, office_round)
        # A higher term is ignored here, as real leaders do: the answer to an append ends the office.
        if self._is_wanted:
            self._is_wanted = False
            self.send_now()
        else:
            self._schedule(self._interval_s())

    def _interval_s(self) -> float:
        return self._raft.settings.heartbeat_timeout_s / 10 * (1 + self._raft.rng.random())

    def _schedule(self, pause_s: float) -> None:
        if not self._is_stopped:
            self._cancel()
            self._timer = self._raft.clock.callLater(pause_s, self.send_now)

    def _cancel(self) -> None:
        cancel_timer(self._timer)
        self._timer = None
