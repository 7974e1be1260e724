"""What a Serf tells whoever runs it: members come and go, user events, queries; and how copies are told apart.

Source: docs/wire/gossip.md 6.2, 6.4, 6.5.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from consulpy.serf.members import Member

#: Queries whose name starts so are answered by Serf itself.
INTERNAL_PREFIX: Final = "_serf_"


class MemberEventKind(Enum):
    """What happened to members."""

    JOIN = "join"
    LEAVE = "leave"
    FAILED = "failed"
    UPDATE = "update"
    REAP = "reap"


@dataclass(slots=True)
class MemberEvent:
    """Members joined, left, failed, changed their tags, or were erased. They must not be changed."""

    kind: MemberEventKind
    members: list[Member]


@dataclass(slots=True)
class UserEvent:
    """Somebody's event for everybody."""

    ltime: int
    name: str
    payload: bytes
    #: Whether only the last event of this name matters.
    coalesce: bool = False


@dataclass(slots=True)
class QueryEvent:
    """Somebody asks; whoever wants answers once, with `respond`."""

    ltime: int
    id: int
    name: str
    payload: bytes
    #: The name of the member that asks.
    source: str
    #: Answers after this time, in the clock's seconds, are refused.
    deadline_s: float
    answer: Callable[["QueryEvent", bytes], None] = field(repr=False)

    def respond(self, payload: bytes) -> None:
        """Answer with `payload`. Raises `ValueError`: too late, already answered, or too large."""
        self.answer(self, payload)


Event = MemberEvent | UserEvent | QueryEvent
