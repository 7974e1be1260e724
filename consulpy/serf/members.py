"""What Serf knows of each member, and the words for it.

A member outlives memberlist's entry: it stays, failed or left, until it is reaped. Source: docs/wire/gossip.md 6.2.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """Serf's view of a member; the numbers are those on the wire and in Consul's HTTP API."""

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
    #: The IP address as text.
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
    #: The Lamport time of the last intent that was taken.
    status_ltime: int = 0
    #: When it came, or came back, in the clock's seconds.
    since_s: float = 0.0
    #: When it failed or left, in the clock's seconds; 0 while it is here.
    leave_time_s: float = 0.0
    #: Erase it as soon as it has left (an operator asked for that with -prune while it was still here).
    prune_when_left: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether it has failed or left."""
        return self.status in (Status.FAILED, Status.LEFT)

    def to_json(self) -> dict[str, Any]:
        """As `/v1/agent/members` shows it."""
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
