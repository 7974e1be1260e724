"""Status.*: the leader and the servers of the quorum; any server replies (docs/wire/rpc.md 10)."""

from typing import TYPE_CHECKING

from consulpy.gocompat.duration import format_duration_ns
from consulpy.rpc.methods import local
from consulpy.structs.newer_config_entry import NEWER_KINDS
from consulpy.structs.requests import Empty, RaftStats, SpecificRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: The constant term of a log without elections.
_TERM = 1


@local("Status.Ping", Empty, Empty)
def ping(server: "Server", request: Empty) -> Empty:  # noqa: ARG001
    """An empty reply."""
    return Empty()


@local("Status.Leader", SpecificRequest, str)
def leader(server: "Server", request: SpecificRequest) -> str:  # noqa: ARG001
    """The leader's "ip:8300"; empty without a leader."""
    return server.leader_address


@local("Status.Peers", SpecificRequest, list)
def peers(server: "Server", request: SpecificRequest) -> list[str]:  # noqa: ARG001
    """The "ip:8300" of all servers that vote or replicate."""
    return list(server.peers)


@local("Status.ConfigEntryKinds", Empty, list)
def config_entry_kinds(server: "Server", request: Empty) -> list[str]:  # noqa: ARG001
    """The newer kinds of config entries that this program can store. Only this program has the method."""
    return list(NEWER_KINDS)


@local("Status.RaftStats", Empty, RaftStats)
def raft_stats(server: "Server", request: Empty) -> RaftStats:  # noqa: ARG001
    """The last index and term of this server's log."""
    quorum = server.quorum
    if quorum is not None:
        contact = format_duration_ns(quorum.last_contact_ns) if quorum.had_contact or server.is_leader else "never"
        return RaftStats(last_contact=contact, last_index=quorum.last_index, last_term=quorum.last_term)
    return RaftStats(last_contact="0", last_index=server.store.index, last_term=_TERM)
