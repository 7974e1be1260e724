"""AppendEntries on a follower (docs/wire/raft.md 5)."""

from typing import TYPE_CHECKING

from consulpy.raft.interfaces import Respond, Role
from consulpy.raft.messages import AppendEntries, AppendEntriesReply, LogEntry

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer


def receive(raft: "RaftServer", request: AppendEntries, respond: Respond) -> None:
    """Answer an append or heartbeat: immediately if it leaves the log as it is, else when the entries are durable."""
    began_s = raft.clock.seconds()
    # Taken before this request's entries: a leader steps back from here.
    reply = AppendEntriesReply(last_log=raft.log.last_index, term=raft.term)
    if request.term < raft.term:
        _respond_soon(raft, reply, respond)
        return
    if request.term > raft.term or raft.role is not Role.FOLLOWER:
        raft.follow(request.term)
        reply.term = raft.term
    raft.elections.leader_heard()
    raft.set_leader(request.leader)
    if request.is_heartbeat:
        reply.success = True
        raft.contact_s = raft.clock.seconds()
        _respond_to_heartbeat(raft, reply, respond)
        return
    if raft.snapshots.is_installing:  # nothing else may change the log now
        _respond_soon(raft, reply, respond)
        return
    previous = (request.prev_log_entry, request.prev_log_term)
    if raft.log.term(previous[0]) != previous[1] and previous != raft.accepted_end:
        if raft.unconfirmed.gives_way(*previous):
            reply.last_log = 0
        reply.no_retry_backoff = True
        _respond_soon(raft, reply, respond)
        return
    entries = request.entries or []
    if not _are_sound(raft, request, entries) or not _take(raft, entries):
        if reply.last_log and not raft.log.last_index:  # given up: the leader goes on at the beginning
            reply.last_log, reply.no_retry_backoff = 0, True
        _respond_soon(raft, reply, respond)
        return
    _commit(raft, request, len(entries))
    raft.contact_s = raft.clock.seconds()
    reply.success = True

    def stored() -> None:
        raft.observer.timed("raft.rpc.appendEntries", raft.clock.seconds() - began_s)
        respond(reply, "")

    raft.persistence.after(stored)


def _respond_soon(raft: "RaftServer", reply: AppendEntriesReply, respond: Respond) -> None:
    """Answer as soon as the term in the answer is durable."""
    if reply.term <= raft.durable_term:
        respond(reply, "")
    else:
        raft.persistence.after(lambda: respond(reply, ""))


def _respond_to_heartbeat(raft: "RaftServer", reply: AppendEntriesReply, respond: Respond) -> None:
    """The same. Where the term cannot be stored the leader hears that instead: it waits for each answer before the
    next heartbeat, and without any this server would know no leader while its disk is full.
    """
    if reply.term <= raft.durable_term:
        respond(reply, "")
    else:
        raft.persistence.after_or_failed(
            lambda: respond(reply, ""), lambda: respond(None, "the term cannot be stored at present")
        )


def _are_sound(raft: "RaftServer", request: AppendEntries, entries: list[LogEntry]) -> bool:
    """Whether entries follow each other without a gap, in terms that never fall. Real servers do not check that."""
    index, term = request.prev_log_entry, request.prev_log_term
    for entry in entries:
        index += 1
        if entry.index != index or not term <= entry.term <= request.term:
            raft.complaints.about(
                "unsound entries",
                f"{request.leader} sent entry {entry.index} of term {entry.term} where {index} was expected "
                f"after term {term}: refused",
            )
            return False
        term = entry.term
    return True


def _take(raft: "RaftServer", entries: list[LogEntry]) -> bool:
    """Append new entries, after truncating those that differ; False if committed entries would be lost."""
    for position, entry in enumerate(entries):
        if entry.index <= raft.log.last_index:
            known = raft.log.term(entry.index)
            if known == entry.term or (
                known is None and entry.index <= raft.log.snapshot_index and entry.term <= raft.log.snapshot_term
            ):
                continue
            if raft.unconfirmed.gives_way(entry.index, entry.term):
                return False
            if entry.index <= raft.commit_index:
                raft.complaints.about(
                    "other entries",
                    f"{raft.known_leader} sent entry {entry.index} of term {entry.term}, which is committed here with "
                    f"term {known}: it belongs to another cluster, or this server's data do",
                )
                return False
            raft.truncate(entry.index)
        raft.append(entries[position:])
        break
    return True


def _commit(raft: "RaftServer", request: AppendEntries, count: int) -> None:
    """Adopt the leader's commit index, as far as the log is known to equal the leader's."""
    if raft.verified_term != request.term:
        raft.verified_term, raft.verified_index = request.term, 0
    raft.verified_index = max(raft.verified_index, request.prev_log_entry + count)
    last = request.entries[-1] if request.entries else None
    raft.accepted_end = (request.prev_log_entry, request.prev_log_term) if last is None else (last.index, last.term)
    index = min(request.leader_commit_index, raft.verified_index, raft.log.last_index)
    if index > raft.commit_index:
        began_s = raft.clock.seconds()
        raft.commit(index)
        raft.observer.timed("raft.rpc.appendEntries.processLogs", raft.clock.seconds() - began_s)
