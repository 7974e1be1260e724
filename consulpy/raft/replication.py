"""A leader's work for one other server: its log and snapshots (docs/wire/raft.md 8).

    call and wait --first success--> pipelined --any failure--> call and wait

`next`: the first entry that was not sent. `match`: up to where the server is known to have stored our log.
"""

from typing import TYPE_CHECKING, Final

from consulpy.clock import Timer, cancel_timer
from consulpy.codec.record import Record
from consulpy.raft.configuration import Server
from consulpy.raft.heartbeat import Heartbeat, retry_pause_s
from consulpy.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    LogEntry,
)
from consulpy.raft.storage import SnapshotReader

if TYPE_CHECKING:
    from consulpy.raft.server import Office, RaftServer

#: The longest pause after failed calls, in seconds.
BACKOFF_MOST_S: Final = 2.56
#: The least time between two appends that only carry the commit index, in seconds.
COMMIT_PAUSE_S: Final = 0.001


class Replication:
    """Brings one server's log up to ours, for one term of office."""

    def __init__(self, raft: "RaftServer", office: "Office", server: Server) -> None:
        self._raft = raft
        self._office = office
        self.server = server
        self.next = raft.log.last_index + 1
        self.match = 0
        #: When it was last heard, and when the last request was sent that it obeyed.
        self.contact_s = self.confirmed_s = raft.clock.seconds()
        self.confirmed_s -= raft.settings.lease_s
        self.is_dismissed = False
        self._metrics = [f"raft.replication.appendEntries.{what}.{server.id}" for what in ("rpc", "logs")]
        self.heartbeat = Heartbeat(raft, office, self)
        self._confirmed_next = self.next
        self._is_pipelined = False
        #: Raised with every failure: answers to what was sent before mean nothing any more.
        self._generation = 0
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._failures = 0
        self._is_busy = False  # reading from storage, or sending a snapshot
        self._is_stopped = False
        self._sent_commit = -1
        self._pause: Timer | None = None
        self._commit_timer: Timer | None = None
        self._idle_timer: Timer | None = None
        self._dismissal_index = 0
        self._dismissal_timer: Timer | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether it answers."""
        return self._failures == 0 and self._is_pipelined

    def start(self) -> None:
        """Start: find the index at which its log differs from ours, and send heartbeats."""
        self._rearm()
        self.heartbeat.send_now()
        self.send(even_empty=True)

    def stop(self) -> None:
        """Send nothing more; answers have no effect."""
        self._is_stopped = True
        self._generation += 1
        self.heartbeat.stop()
        for timer in (self._pause, self._commit_timer, self._idle_timer, self._dismissal_timer):
            cancel_timer(timer)

    def dismiss(self) -> None:
        """The server was removed: go on until it knows that, for some seconds; else it would stand for ever."""
        if not self.is_dismissed:
            self.is_dismissed = True
            self._dismissal_index = self._raft.configurations.latest_index
            self._dismissal_timer = self._raft.clock.callLater(self._raft.settings.dismissal_s, self._leave)

    def readmit(self) -> None:
        """The server was added again."""
        if self.is_dismissed:
            self.is_dismissed = False
            cancel_timer(self._dismissal_timer)

    def _leave(self) -> None:
        self.stop()
        self._office.forget(self)

    def retry_now(self) -> None:
        """Skip the pause after failures: the server is reported alive."""
        self.heartbeat.retry_now()
        self.append_now()

    def append_now(self) -> None:
        """Send entries now: the server can be reached."""
        self._failures = min(self._failures, 1)
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
            self._pause_over()

    # -- sending

    def send(self, *, even_empty: bool = False) -> None:
        """Send entries that it does not have, as many requests as may be open; or one without entries."""
        raft = self._raft
        settings = raft.settings
        while not (self._is_stopped or self._is_busy or (self._pause is not None and self._pause.active())):
            limit = settings.in_flight if self._is_pipelined else 1
            if self._in_flight >= limit or self._in_flight_bytes >= settings.in_flight_bytes:
                return
            has_entries = self.next <= raft.log.last_index
            if not (has_entries or even_empty):
                return
            even_empty = False
            if self.next < raft.log.first_index or raft.log.term(self.next - 1) is None:
                self._send_snapshot()
                return
            entries = raft.log.cached(self.next, settings.append_entries, settings.append_bytes)
            if entries is None:
                self._read()
                return
            self._send_entries(entries)

    def _send_entries(self, entries: list[LogEntry]) -> None:
        raft = self._raft
        previous = self.next - 1
        last = previous + len(entries)
        request = AppendEntries(
            entries=entries,
            leader=raft.address,
            # Real followers commit up to their own last entry: nothing is named that this request does not prove.
            leader_commit_index=min(raft.commit_index, last),
            prev_log_entry=previous,
            prev_log_term=raft.log.term(previous) or 0,
            term=self._office.term,
        )
        size = sum(len(entry.data or b"") for entry in entries)
        self._in_flight += 1
        self._in_flight_bytes += size
        self._sent_commit = max(self._sent_commit, request.leader_commit_index)
        if self._is_pipelined:
            self.next = last + 1
        generation, office_round, sent_s = self._generation, self._office.round, raft.clock.seconds()

        def answered(reply: Record | Exception) -> None:
            if generation != self._generation or self._is_stopped or self._office.is_over:
                return
            self._in_flight -= 1
            self._in_flight_bytes -= size
            raft.observer.timed(self._metrics[0], raft.clock.seconds() - sent_s)
            raft.observer.counted(self._metrics[1], len(entries))
            self._answered(request, reply, last, office_round, sent_s)
            raft.persistence.flush()

        self._rearm()
        raft.sender.call(self.server, request, answered)

    def _answered(
        self, request: AppendEntries, reply: Record | Exception, last: int, office_round: int, sent_s: float
    ) -> None:
        raft = self._raft
        if not isinstance(reply, AppendEntriesReply):
            self._failed(str(reply))
            return
        if not raft.terms.admits(reply.term, self.server.address):
            self._failed(f"it is in term {reply.term}")
            return
        if reply.term > self._office.term:
            self._office.step_down(reply.term, f"{self.server.address} is in term {reply.term}")
            return
        self.contact_s = raft.clock.seconds()
        if reply.success:
            self._failures = 0
            self.confirmed_s = max(self.confirmed_s, sent_s)
            self._confirmed_next = max(self._confirmed_next, last + 1) if self._is_pipelined else last + 1
            if not self._is_pipelined:
                self._is_pipelined = True
                self.next = last + 1
            self._office.confirmed(self.server.id, office_round)
            self._stored(last if request.entries else 0, request.leader_commit_index)
            return
        self._generation += 1
        self._in_flight = self._in_flight_bytes = 0
        self._is_pipelined = False
        before = request.prev_log_entry + 1
        self.next = self._confirmed_next = max(min(before - 1, reply.last_log + 1), 1)
        if reply.no_retry_backoff and self.next < before:
            self._failures = 0
            self.send(even_empty=True)
        else:
            self._back_off()

    def _stored(self, last: int, commit_index: int) -> None:
        """The server has stored our log up to `last`, and knows this commit index."""
        if self.is_dismissed and commit_index >= self._dismissal_index:
            self._leave()
            return
        if last > self.match:
            self.match = last
            self._office.matched(self)
        self.send()

    def _failed(self, why: str) -> None:
        if not self._failures:
            self._raft.observer.say("warn", f"failed to append entries to {self.server.address}: {why}")
        self._generation += 1
        self._in_flight = self._in_flight_bytes = 0
        self._is_pipelined = False
        self.next = self._confirmed_next
        self._raft.sender.abort(self.server)
        self._back_off()

    def _back_off(self) -> None:
        self._failures += 1
        self._pause = self._raft.clock.callLater(retry_pause_s(self._failures, BACKOFF_MOST_S), self._pause_over)

    def _pause_over(self) -> None:
        self._pause = None
        self.send(even_empty=True)

    def _read(self) -> None:
        """Entries that are not in memory any more."""
        self._is_busy = True
        generation = self._generation
        settings = self._raft.settings
        count = min(settings.append_entries, self._raft.log.stored_count(self.next))

        def found(entries: list[LogEntry] | Exception) -> None:
            self._is_busy = False
            if self._is_stopped:
                return
            if generation != self._generation:
                self.send(even_empty=True)
            elif isinstance(entries, Exception):
                self._failed(str(entries))
            else:
                self._send_entries(entries)
                self.send()

        self._raft.storage.read(self.next, count, settings.append_bytes, found)

    def _rearm(self) -> None:
        """Send an append without entries, if nothing else is sent for a while."""
        cancel_timer(self._idle_timer)
        least_s, most_s = self._raft.settings.commit_interval_s
        pause_s = least_s + self._raft.rng.random() * (most_s - least_s)
        self._idle_timer = self._raft.clock.callLater(pause_s, self._idle)

    def _idle(self) -> None:
        self._rearm()
        if not self._in_flight:
            self.send(even_empty=True)

    # -- the commit index

    def commit_moved(self) -> None:
        """Send the commit index soon, unless entries do so."""
        if self._is_pipelined and (self._commit_timer is None or not self._commit_timer.active()):
            self._commit_timer = self._raft.clock.callLater(COMMIT_PAUSE_S, self.send_commit)

    def send_commit(self) -> None:
        """Send the commit index now, if it is news."""
        known = min(self._raft.commit_index, self.next - 1)
        if known > self._sent_commit and not self._is_stopped:
            self.send(even_empty=True)

    # -- snapshots

    def _send_snapshot(self) -> None:
        self._is_busy = True
        self._raft.storage.open_snapshot(self._snapshot_opened)

    def _snapshot_opened(self, reader: SnapshotReader | Exception) -> None:
        if isinstance(reader, Exception):
            if self._is_stopped:
                return
            self._is_busy = False
            self._raft.snapshots.take()  # another one, as soon as there is something new
            self._failed(f"the snapshot cannot be read: {reader}")
            return
        raft, meta = self._raft, reader.meta
        if self._is_stopped:
            reader.close()
            return
        if meta.index <= self.match:  # never back, and a newer one is needed
            self._is_busy = False
            reader.close()
            raft.snapshots.take()
            self._failed("it has more than the snapshot")
            return
        request = InstallSnapshot(
            configuration=meta.configuration.pack(),
            configuration_index=meta.configuration_index,
            last_log_index=meta.index,
            last_log_term=meta.term,
            leader=raft.address,
            peers=meta.configuration.pack_peers(),
            size=reader.size,
            term=self._office.term,
        )
        raft.observer.say("info", f"sending a snapshot to {self.server.address}: index={meta.index} size={reader.size}")
        sent_s = raft.clock.seconds()

        def answered(reply: Record | Exception) -> None:
            self._is_busy = False
            took_ms = 1000 * (raft.clock.seconds() - sent_s)
            raft.observer.sample(f"raft.replication.installSnapshot.{self.server.id}", took_ms)
            if not (self._is_stopped or self._office.is_over):
                self._installed(meta.index, reply, sent_s)
                raft.persistence.flush()

        raft.sender.install(self.server, request, reader, answered)

    def _installed(self, index: int, reply: Record | Exception, sent_s: float) -> None:
        if not isinstance(reply, InstallSnapshotReply):
            self._failed(f"the snapshot was not installed: {reply}")
        elif not self._raft.terms.admits(reply.term, self.server.address):
            self._failed(f"it is in term {reply.term}")
        elif reply.term > self._office.term:
            self._office.step_down(reply.term, f"{self.server.address} is in term {reply.term}")
        elif not reply.success:
            self.contact_s = self._raft.clock.seconds()
            self._failed("the snapshot was refused")
        else:
            self.contact_s = self._raft.clock.seconds()
            self.confirmed_s = max(self.confirmed_s, sent_s)
            self._failures = 0
            self.next = self._confirmed_next = index + 1
            if index > self.match:
                self.match = index
                self._office.matched(self)
            self.send(even_empty=True)
