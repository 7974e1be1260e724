"""Snapshots: taken when the log has grown, installed when a leader sends one, restored when an operator does so.

Source: docs/wire/raft.md 10. A snapshot at or below our commit index changes nothing here: the state never goes back.
"""

from typing import TYPE_CHECKING, Any, Final

from consulpy.clock import Timer, cancel_timer
from consulpy.errors import WireError
from consulpy.raft.configuration import Configuration
from consulpy.raft.interfaces import Finished, LeadershipLost, NotLeader, Respond, Role
from consulpy.raft.messages import NOOP, SNAPSHOT_VERSION, InstallSnapshot, InstallSnapshotReply
from consulpy.raft.storage import SnapshotMeta, SnapshotWriter

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer, TermOfOffice


#: Entries for each row of the state that a snapshot is worth.
ENTRIES_PER_ROW: Final = 8
#: A snapshot is taken without waiting for the next check at this multiple of the usual number of entries.
HURRY: Final = 2


class Snapshots:
    """Snapshots of one server: taking, sending, installing."""

    def __init__(self, raft: "RaftServer") -> None:
        self._raft = raft
        self._timer: Timer | None = None
        self._is_saving = False
        self._incoming: SnapshotWriter | None = None
        #: Whether the log is being replaced: nothing else may change it now.
        self.is_installing = False

    def start(self) -> None:
        """Start the periodic check whether the log has grown."""
        interval_s = self._raft.settings.snapshot_interval_s
        self._timer = self._raft.clock.callLater(interval_s * (1 + self._raft.rng.random()), self._look)

    def stop(self) -> None:
        """Stop the periodic check."""
        cancel_timer(self._timer)

    def _look(self) -> None:
        if self._growth >= self._threshold:
            self.take()
        self.start()

    @property
    def _growth(self) -> int:
        return self._raft.log.last_index - self._raft.log.snapshot_index

    @property
    def _threshold(self) -> int:
        """Entries that make a snapshot. It grows with the state, so that the cost of a write does not."""
        settings = self._raft.settings
        more = ENTRIES_PER_ROW * self._raft.state_machine.rows if settings.snapshot_spares_large_states else 0
        return max(settings.snapshot_threshold, more)

    def applied(self) -> None:
        """Entries were applied: take a snapshot now if they come fast, without waiting for the next check."""
        if self._growth >= HURRY * self._raft.settings.snapshot_threshold and self._growth >= HURRY * self._threshold:
            self.take()

    # -- taking

    def take(self, finished: Finished = lambda _: None) -> None:
        """Store the present state, and release older entries; `finished` gets None or an exception."""
        raft = self._raft
        index = raft.applied_index
        configurations = raft.configurations
        if self._is_saving or self.is_installing:
            finished(NotLeader("a snapshot is being stored already"))
            return
        if index <= raft.log.snapshot_index or configurations.committed_index > index:
            finished(None)  # nothing new, or only a configuration that the state does not contain yet
            return
        meta = SnapshotMeta(index, raft.log.term(index) or 0, configurations.committed, configurations.committed_index)
        keep_from = min(index, max(raft.log.last_index - raft.settings.trailing_logs, 0)) + 1
        self._is_saving = True
        observer = raft.observer
        began_s = raft.clock.seconds()

        def saved(error: Exception | None) -> None:
            self._is_saving = False
            if raft.role is Role.SHUTDOWN:
                return
            if error is not None:
                raft.observer.say("warn", f"no snapshot could be taken: {error}")
            elif index > raft.log.snapshot_index:
                stored_s = raft.clock.seconds()
                observer.timed("raft.snapshot.persist", stored_s - captured_s)
                observer.timed("fsm.persist", stored_s - captured_s)
                raft.log.compact(index, meta.term, keep_from)
                observer.timed("raft.compactLogs", raft.clock.seconds() - stored_s)
                observer.timed("raft.snapshot.takeSnapshot", raft.clock.seconds() - began_s)
                observer.say("info", f"snapshot taken: index={index} first_entry={raft.log.first_index}")
            finished(error)

        state = raft.state_machine.capture()
        captured_s = raft.clock.seconds()
        observer.timed("raft.fsm.snapshot", captured_s - began_s)
        raft.storage.save_snapshot(meta, state, keep_from, saved)
        observer.timed("raft.snapshot.create", raft.clock.seconds() - captured_s)

    # -- installing

    def refusal(self, request: InstallSnapshot) -> tuple[InstallSnapshotReply, str] | None:
        """The answer that needs no body: nothing is to be installed; None if the body is wanted."""
        raft = self._raft
        reply = InstallSnapshotReply(term=raft.term)
        if not 0 <= request.snapshot_version <= SNAPSHOT_VERSION:
            return reply, f"unsupported snapshot version {request.snapshot_version}"
        if request.term < raft.term or (request.term == raft.term and raft.leadership is not None):
            return reply, ""
        return None

    def begin_receiving(self, request: InstallSnapshot) -> SnapshotWriter | None:
        """Where the state after this request goes; None if it is not wanted. The last one that begins is received."""
        if self.refusal(request) is not None or self.is_installing or request.last_log_index <= self._raft.commit_index:
            return None
        if self._incoming is not None:
            self._incoming.close()
        self._incoming = self._raft.storage.receive_snapshot(request.last_log_index)
        return self._incoming

    def receive(self, request: InstallSnapshot, body: Any, respond: Respond) -> None:
        """Install what a leader sent. `body`: of `begin_receiving`, or an exception."""
        raft = self._raft
        if body is self._incoming:
            self._incoming = None

        def answer(reply: InstallSnapshotReply, error: str = "") -> None:
            """Without the state; the term in it is to be durable."""
            if isinstance(body, SnapshotWriter):
                body.close()
            raft.persistence.after(lambda: respond(reply, error))

        refusal = self.refusal(request)
        if refusal is not None:
            answer(*refusal)
            return
        if request.term > raft.term or raft.role is not Role.FOLLOWER:
            raft.follow(request.term)
        raft.elections.leader_heard()
        raft.set_leader(request.leader)
        reply = InstallSnapshotReply(term=raft.term)
        if raft.unconfirmed.gives_way(request.last_log_index, request.last_log_term):
            answer(reply)  # and is sent it again
            return
        if request.last_log_index <= raft.commit_index:
            raft.contact_s = raft.clock.seconds()
            raft.accepted_end = (request.last_log_index, request.last_log_term)
            reply.success = True
            answer(reply)
            return
        if self.is_installing:
            answer(reply, "another snapshot is being installed")
            return
        if isinstance(body, Exception):
            answer(reply, str(body))
            return
        try:
            configuration = Configuration.unpack(request.configuration or b"")
        except WireError as error:
            answer(reply, f"the configuration cannot be read: {error}")
            return
        meta = SnapshotMeta(request.last_log_index, request.last_log_term, configuration, request.configuration_index)
        self.is_installing = True
        raft.persistence.after(lambda: self._install(meta, body, reply, respond))

    def _install(self, meta: SnapshotMeta, body: Any, reply: InstallSnapshotReply, respond: Respond) -> None:
        raft = self._raft
        if raft.role is Role.SHUTDOWN:
            return
        keep = raft.log.term(meta.index) == meta.term
        began_s = raft.clock.seconds()

        def installed(state: Any) -> None:
            self.is_installing = False
            if raft.role is Role.SHUTDOWN:
                return
            if isinstance(state, Exception):
                raft.observer.say("error", f"the snapshot up to {meta.index} was not installed: {state}")
                respond(reply, f"failed to restore snapshot {meta.term}-{meta.index}: {state}")
                return
            self._replace(meta, state, keep=keep)
            raft.observer.sample("raft.rpc.installSnapshot", 1000 * (raft.clock.seconds() - began_s))
            raft.observer.say("info", f"installed a snapshot: index={meta.index} term={meta.term}")
            raft.contact_s = raft.clock.seconds()
            reply.success = True
            raft.persistence.after(lambda: respond(reply, ""))
            raft.persistence.flush()

        raft.storage.install_snapshot(meta, body, keep_entries=keep, done=installed)

    def _replace(self, meta: SnapshotMeta, state: Any, *, keep: bool) -> None:
        """Replace the state by that of a snapshot. `keep`: entries after it stay."""
        raft = self._raft
        if keep:
            raft.log.compact(meta.index, meta.term, meta.index + 1)
        else:
            raft.log.reset(meta.index, meta.term)
            raft.persistence.durable_index = meta.index
        if not keep or raft.configurations.latest_index <= meta.configuration_index:
            raft.configurations.replace(meta.configuration, meta.configuration_index)
            raft.observer.configuration_changed()
        raft.commit_index = max(raft.commit_index, meta.index)
        raft.unconfirmed.position = (meta.term, meta.index)
        began_s = raft.clock.seconds()
        raft.state_machine.restore(state, meta.index)
        raft.observer.timed("raft.fsm.restore", raft.clock.seconds() - began_s)
        raft.applying.replaced(meta.index)

    # -- restoring

    def restore(self, state: Any, finished: Finished, state_index: int = 0) -> None:
        """Put another state in the place of the present one, on the leader, at an index beyond both.

        `state_index`: the newest index in `state`; its rows may not be newer than what is answered from now on.
        `finished(None)` once a majority has it. The entry at that index exists nowhere: followers get a snapshot.

        A majority has to confirm the lead first. One that is cut off would take the state for itself, and then refuse
        what the others have committed in its place.
        """
        office = self._raft.leadership
        if office is None:
            finished(NotLeader())
            return

        def verified(why: Exception | None) -> None:
            if why is not None:
                finished(why)
            else:
                self._restore(office, state, finished, state_index)

        office.verify(verified)

    def _restore(self, office: "TermOfOffice", state: Any, finished: Finished, state_index: int) -> None:
        raft = self._raft
        if raft.leadership is not office or self.is_installing:
            finished(NotLeader())
            return
        if not raft.configurations.is_stable or raft.commit_index < office.first_index:
            finished(NotLeader("cannot restore a snapshot while the configuration changes"))
            return
        index = max(raft.log.last_index, state_index) + 1
        configurations = raft.configurations
        meta = SnapshotMeta(index, office.term, configurations.latest, configurations.latest_index)
        for waiting in sorted(raft.waiting):
            if waiting > raft.commit_index:
                raft.waiting.pop(waiting)(LeadershipLost("snapshot restored while committing log"))
        self.is_installing = True

        def save() -> None:
            if raft.leadership is not office:
                self.is_installing = False
                finished(NotLeader())
                return
            raft.storage.save_snapshot(meta, state, index + 1, saved)

        def saved(error: Exception | None) -> None:
            self.is_installing = False
            if raft.role is Role.SHUTDOWN:
                return
            if error is not None:
                finished(error)
                return
            self._replace(meta, state, keep=False)
            raft.propose_entry(NOOP, None, finished)

        raft.persistence.after(save)
