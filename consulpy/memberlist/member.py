"""A member of a gossip pool and its state. Source: docs/wire/gossip.md 5.1."""

from dataclasses import dataclass
from enum import IntEnum

#: An IP address as text and a port.
Address = tuple[str, int]


class State(IntEnum):
    """What a member is; the numbers are those of push/pull."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


@dataclass(slots=True, eq=False)
class Member:
    """A member as memberlist knows it."""

    name: str
    address: str
    port: int
    meta: bytes
    vsn: tuple[int, ...]
    incarnation: int
    state: State
    #: When the state changed last, in the clock's seconds.
    changed_s: float

    @property
    def at(self) -> Address:
        """Where it listens."""
        return (self.address, self.port)

    @property
    def is_gone(self) -> bool:
        """Whether it is dead or left."""
        return self.state >= State.DEAD

    @property
    def protocol_max(self) -> int:
        """The newest protocol that it speaks; 0 if it did not say."""
        return self.vsn[1] if len(self.vsn) > 1 else 0
