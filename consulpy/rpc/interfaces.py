"""Interfaces of the layers above `Server`: the leader, the disk and other datacenters."""

from typing import TYPE_CHECKING, Any, Protocol

from consulpy.codec.record import Record
from consulpy.rpc.methods import Method
from consulpy.structs.session import Session

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class SessionTimes(Protocol):
    """Session TTLs and lock delays on the leader (`consulpy.leader.session_ttl`)."""

    def renew(self, session: Session) -> None:
        """Restart the TTL of a session."""

    def cancel(self, session_id: str) -> None:
        """Remove a session that ended."""

    def __len__(self) -> int:
        """Number of running TTLs."""

    def has_lock_delay(self, key: str) -> bool:
        """Whether `key` is in its lock delay."""


class ResetFile(Protocol):
    """The ACL bootstrap reset file (`consulpy.agent.acl_reset_file`)."""

    def read(self) -> int:
        """The reset index in it; 0 without a file."""

    def remove(self) -> None:
        """Remove the file after its use."""


class NoResetFile:
    """The reset file of a server without a data directory."""

    def read(self) -> int:
        """No file."""
        return 0

    def remove(self) -> None:
        """No file."""


class RemoteDatacenters(Protocol):
    """Calls to other datacenters (`consulpy.rpc.wan_forward`)."""

    def call(self, datacenter: str, method: Method, request: Record) -> "Deferred[Any]":
        """The reply of a server of `datacenter`. Fails with `RPCError`."""
