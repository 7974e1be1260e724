"""A member and its status as Serf knows them.

A member outlives memberlist's entry: it stays, failed or left, until it is reaped. Source: docs/wire/gossip.md 6.2.
"""

from dataclasses import field
from enum import IntEnum
from typing import Any

from consulpy.codec.lazy_dataclass import dataclass


class Status(IntEnum):
    """Status of a member; the numbers are those on the wire and in Consul's HTTP API."""

    NONE = 0
    ALIVE = 1
    LEAVING = 2
    LEFT = 3
    FAILED = 4

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(slots=True)
class Member:
    """A member as Serf lists it."""

    name: str
    #: IP address as text.
    address: str = ""
    port: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    status: Status = Status.NONE
    #: memberlist's protocol versions.
    protocol_min: int = 0
    protocol_max: int = 0
    protocol_cur: int = 0
    #: Serf's protocol versions.
    delegate_min: int = 0
    delegate_max: int = 0
    delegate_cur: int = 0
    #: Lamport time of the last applied intent.
    status_ltime: int = 0
    #: Time of the last join, in the clock's seconds.
    since_s: float = 0.0
    #: Time of failure or leave, in the clock's seconds; 0 for a live member.
    leave_time_s: float = 0.0
    #: Erase the member as soon as it has left (force-leave -prune of a live member).
    prune_when_left: bool = False
    #: When its leave was last named at its own status time, in the clock's seconds (`Membership`).
    leave_named_s: float = float("-inf")
    #: Whether it told memberlist itself that it is gone.
    gone_by_itself: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether it has failed or left."""
        return self.status in (Status.FAILED, Status.LEFT)

    def to_json(self) -> dict[str, Any]:
        """The JSON form in `/v1/agent/members`."""
        return {
            "Name": self.name,
            "Addr": self.address,
            "Port": self.port,
            "Tags": dict(sorted(self.tags.items())),
            "Status": int(self.status),
            "ProtocolMin": self.protocol_min,
            "ProtocolMax": self.protocol_max,
            "ProtocolCur": self.protocol_cur,
            "DelegateMin": self.delegate_min,
            "DelegateMax": self.delegate_max,
            "DelegateCur": self.delegate_cur,
        }
