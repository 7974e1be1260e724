"""Recognizes what servers of another cluster send, after two clusters were joined by mistake (docs/quorum.md).

Both have the same terms and indexes, so their entries look alike. A real server obeys whoever sends first, and mixes
both logs without a word. The answer is an error and not a refusal: a refused heartbeat deposes a real leader.
"""

from typing import TYPE_CHECKING

from consulpy.raft.messages import AppendEntries, InstallSnapshot, Request, TimeoutNow, sender_of

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer


def fault(raft: "RaftServer", request: Request) -> str:
    """Why a request cannot be of this cluster; "" if it may be."""
    sender = sender_of(request)
    servers = raft.configurations.latest.servers
    # A log of one entry was begun, and says nothing yet: such a server may be taken in by others.
    is_alone = raft.is_voter and len(raft.configurations.latest.voters) == 1 and raft.log.last_index > 1
    if is_alone and sender != raft.address and not isinstance(request, TimeoutNow):
        return f"{sender} is in another cluster: this server is the only voter of its own"
    leader = raft.term_leader
    if not isinstance(request, AppendEntries | InstallSnapshot) or request.term != raft.term or leader in ("", sender):
        return ""
    if sender in {server.address for server in servers}:
        return ""  # the other one was not of this cluster
    return f"{sender} leads in term {raft.term}, as {leader} does: two clusters were joined"
