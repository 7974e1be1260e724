"""Replication of a model of a real server: its two loops for each other server, as in hashicorp/raft 1.1.2."""

from typing import TYPE_CHECKING, Any

from consulpy.raft.configuration import Server
from consulpy.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
)

if TYPE_CHECKING:
    from tests.unit.raft.go_model import GoServer


H = E = 1.0
LEASE = 0.5
BATCH = 64
TRAILING = 40


class GoReplication:
    """The two loops of a leader for one server."""

    def __init__(self, raft: "GoServer", server: Server) -> None:
        self.raft, self.server = raft, server
        self.term, self.epoch = raft.term, raft.epoch
        self.next = raft.last_index + 1
        self.is_stopped = False
        self.is_open = False
        self.failures = 0
        self.heartbeat_failures = 0
        self.heartbeat()
        self._tick()
        self.kick(empty=True)

    @property
    def is_over(self) -> bool:
        return self.is_stopped or self.raft.epoch != self.epoch

    def _tick(self) -> None:
        if not self.is_over:
            self.raft.clock.callLater(0.05 * (1 + self.raft.rng.random()), self._tick)
            if not self.failures:
                self.kick(empty=True)

    def kick(self, *, empty: bool = False) -> None:
        raft = self.raft
        if self.is_over or self.is_open or not (empty or self.next <= raft.last_index):
            return
        previous = self.next - 1
        term = raft.log_term(previous)
        if term is None:
            self._send_snapshot()
            return
        entries = []
        for index in range(self.next, min(raft.last_index, previous + BATCH) + 1):
            if index not in raft.disk.entries:
                self._send_snapshot()
                return
            entries.append(raft.disk.entries[index])
        request = AppendEntries(
            entries=entries,
            leader=raft.address,
            leader_commit_index=raft.commit_index,
            prev_log_entry=previous,
            prev_log_term=term,
            term=self.term,
        )
        self.is_open = True
        raft.network.call(raft, self.server, request, lambda reply: self._answered(request, reply))

    def _answered(self, request: AppendEntries, reply: Any) -> None:
        raft = self.raft
        self.is_open = False
        if self.is_over:
            return
        if not isinstance(reply, AppendEntriesReply):
            self._pause()
            return
        if reply.term > self.term:
            raft._follow(reply.term)
            return
        raft.heard[self.server.id] = raft.clock.seconds()
        if reply.success:
            self.failures = 0
            if request.entries:
                self.next = request.entries[-1].index + 1
                raft.match[self.server.id] = request.entries[-1].index
                raft._advance()
            self.kick()
            return
        self.next = max(min(self.next - 1, reply.last_log + 1), 1)
        if reply.no_retry_backoff:
            self.failures = 0
            self.kick(empty=True)
        else:
            self._pause()

    def _pause(self) -> None:
        self.failures += 1
        pause = 0.01 * 2 ** max(min(self.failures, 12) - 2, 0)

        def over() -> None:
            self.kick(empty=True)

        self.raft.clock.callLater(pause, over)

    def _send_snapshot(self) -> None:
        raft, snapshot = self.raft, self.raft.disk.snapshot
        if snapshot is None:
            self._pause()
            return
        self.is_open = True
        request = InstallSnapshot(
            configuration=snapshot.configuration.pack(),
            configuration_index=snapshot.configuration_index,
            last_log_index=snapshot.index,
            last_log_term=snapshot.term,
            leader=raft.address,
            size=1,
            term=self.term,
        )

        def answered(reply: Any) -> None:
            self.is_open = False
            if self.is_over:
                return
            if not isinstance(reply, InstallSnapshotReply) or not reply.success:
                if isinstance(reply, InstallSnapshotReply) and reply.term > self.term:
                    raft._follow(reply.term)
                    return
                self._pause()
                return
            raft.heard[self.server.id] = raft.clock.seconds()
            self.failures = 0
            self.next = request.last_log_index + 1
            raft.match[self.server.id] = request.last_log_index
            raft._advance()
            self.kick(empty=True)

        raft.network.call(raft, self.server, request, answered, raft.disk.state)

    def heartbeat(self, *, once: bool = False) -> None:
        raft = self.raft
        if self.is_over:
            return
        number = raft.verify_round

        def answered(reply: Any) -> None:
            if self.is_over:
                return
            if isinstance(reply, AppendEntriesReply):
                raft.heard[self.server.id] = raft.clock.seconds()
                self.heartbeat_failures = 0
                if reply.success:
                    raft.obeyed(self.server.id, number)
                pause = H / 10 * (1 + raft.rng.random())
            else:
                self.heartbeat_failures += 1
                pause = 0.01 * 2 ** max(min(self.heartbeat_failures, 12) - 2, 0)
            if not once:
                raft.clock.callLater(pause, self.heartbeat)

        raft.network.call(raft, self.server, AppendEntries(leader=raft.address, term=self.term), answered)
