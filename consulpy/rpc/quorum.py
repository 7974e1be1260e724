"""The quorum as a server of it sees it."""

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from consulpy.codec.record import Record
from consulpy.rpc.methods import Method
from consulpy.rpc.snapshot_messages import SnapshotRequest

if TYPE_CHECKING:
    from consulpy.structs.operator import ServerHealth
    from consulpy.structs.options import QueryMeta


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
        """Nanoseconds since the leader was heard; 0 on the leader."""

    @property
    def had_contact(self) -> bool:
        """Whether a leader was ever heard: only then is there something stale to read."""

    @property
    def has_lease(self) -> bool:
        """Whether nobody else can lead now."""

    @property
    def term(self) -> int:
        """The current term."""

    @property
    def last_index(self) -> int:
        """The last index of the log."""

    @property
    def last_term(self) -> int:
        """Its term."""

    def confirm(self) -> "Deferred[None]":
        """Have a majority confirm that we lead, and the state be as new as that. Fails with `NoLeader`."""

    def forward(self, method: Method, request: Record) -> "Deferred[Any]":
        """Have the leader answer. Fails with `RPCError`."""

    def snapshot(self, request: SnapshotRequest, data: bytes) -> "Deferred[tuple[QueryMeta, bytes]]":
        """Have the leader save or restore. Fails with `RPCError`."""

    def servers(self) -> list[Any]:
        """The servers of the configuration: id, address, suffrage."""

    def health(self) -> "list[ServerHealth]":
        """How the servers do, as autopilot saw them last. Raises `RPCError` before it has looked."""

    def remove(self, server_id: str) -> "Deferred[None]":
        """Take a server out. Fails with `RPCError`."""

    def transfer(self, server_id: str) -> "Deferred[None]":
        """Hand the office over, to this server or (with "") to the best one. Fails with `RPCError`."""
