"""A member of a gossip pool and its state. Source: docs/wire/gossip.md 5.1."""

import math
from enum import IntEnum
from typing import Protocol

from consulpy.codec.lazy_dataclass import dataclass

#: An IP address as text and a port.
Address = tuple[str, int]


class State(IntEnum):
    """State of a member; the numbers are push/pull's."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Encodable(Protocol):
    """A `NodeState`."""

    def encode(self) -> bytes:
        """The bytes of a node in a push/pull."""


@dataclass(slots=True, eq=False)
class Member:
    """A member as memberlist knows it. `vsn`: its protocol versions as in `MemberlistConfig.vsn`."""

    name: str
    address: str
    port: int
    meta: bytes
    vsn: tuple[int, ...]
    incarnation: int
    state: State
    #: Time of the last state change, in the clock's seconds.
    changed_s: float
    #: Time of its last ping to us, in the clock's seconds, and the IP address it came from (None: the advertised one).
    heard_s: float = -math.inf
    heard_from: str | None = None
    #: The `NodeState` that says the same of it, once there is one; None after each change.
    node: Encodable | None = None

    @property
    def endpoint(self) -> Address:
        """Its IP address and port."""
        return (self.address, self.port)

    @property
    def is_gone(self) -> bool:
        """Whether it is dead or left."""
        return self.state >= State.DEAD

    @property
    def protocol_max(self) -> int:
        """The newest memberlist protocol version that it speaks; 0 if unknown."""
        return self.vsn[1] if len(self.vsn) > 1 else 0


@dataclass(frozen=True, slots=True)
class JoinTarget:
    """A member to join: its address, and its expected name (empty: any)."""

    address: Address
    name: str = ""
