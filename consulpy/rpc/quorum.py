"""The interface of the Raft quorum for a server."""

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from consulpy.codec.record import Record
from consulpy.rpc.methods import Method
from consulpy.rpc.snapshot_messages import SnapshotRequest
from consulpy.rpc.spool_file import SnapshotResult, Spool

if TYPE_CHECKING:
    from consulpy.structs.operator import ServerHealth


class Quorum(Protocol):
    """The part of Raft that a `Server` uses (`consulpy.agent.build.quorum`)."""

    @property
    def leader_address(self) -> str:
        """The "ip:port" of the leader that is known, "" for none."""

    @property
    def peers(self) -> list[str]:
        """The "ip:port" of all servers of the quorum; empty before it has begun."""

    @property
    def last_contact_ns(self) -> int:
        """Time since the last contact with the leader, in nanoseconds; 0 on the leader."""

    @property
    def had_contact(self) -> bool:
        """Whether there ever was contact with a leader."""

    @property
    def has_caught_up(self) -> bool:
        """The same, and the state is not older than it was before this server's restart."""

    @property
    def has_lease(self) -> bool:
        """Whether this server leads with a lease: no other server can lead now."""

    @property
    def term(self) -> int:
        """The current term."""

    @property
    def last_index(self) -> int:
        """The last index of the log."""

    @property
    def last_term(self) -> int:
        """The term of the last index."""

    def confirm(self) -> "Deferred[None]":
        """Confirm the lead by a majority, and apply all entries until then. Fails with `NoLeader`."""

    def forward(self, method: Method, request: Record) -> "Deferred[Any]":
        """The reply of the leader. Fails with `RPCError`."""

    def snapshot(self, request: SnapshotRequest, data: Spool | None) -> "Deferred[SnapshotResult]":
        """Save or restore on the leader. Fails with `RPCError`."""

    def servers(self) -> list[Any]:
        """The servers of the configuration: id, address, suffrage."""

    def health(self) -> "list[ServerHealth]":
        """Health of the servers, from the last run of autopilot. Raises `RPCError` before the first."""

    def without_newer_kinds(self) -> "Deferred[list[str]]":
        """The addresses of the other servers that do not know newer kinds of config entries, or do not answer."""

    def remove(self, server_id: str) -> "Deferred[None]":
        """Remove a server. Fails with `RPCError`."""

    def transfer(self, server_id: str) -> "Deferred[None]":
        """Transfer the lead to this server, or (with "") to the most suitable one. Fails with `RPCError`."""
