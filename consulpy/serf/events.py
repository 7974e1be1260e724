"""What a Serf tells whoever runs it: members come and go, user events, queries; and how copies are told apart.

Source: docs/wire/gossip.md 6.2, 6.4, 6.5.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, TypeVar

from consulpy.serf.lamport import HONEST_MAX, MAX_TIME, LamportClock
from consulpy.serf.members import Member

#: Queries whose name starts so are answered by Serf itself.
INTERNAL_PREFIX: Final = "_serf_"

#: What makes two messages of one Lamport time the same.
Identity = TypeVar("Identity")


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


class RecentBuffer(Generic[Identity]):
    """A ring by Lamport time that tells copies from news.

    Each slot holds one Lamport time and what was seen at it; a later time takes the slot over. What is older than
    `size` times, or than `min_time`, is refused, as it could not be told from a copy any more. Times above
    `HONEST_MAX` have slots of their own: a forged one and an honest one that took turns in a slot would be passed on
    for ever.
    """

    #: The most different messages of one Lamport time; more are refused.
    SLOT_LIMIT: Final = 1024

    __slots__ = ("_size", "_slots", "min_time", "refused")

    def __init__(self, size: int) -> None:
        self._size = size
        self._slots: dict[int, tuple[int, dict[Identity, None]]] = {}
        #: Refuse everything before this time (what was known before a join or a restart).
        self.min_time = 0
        #: How many messages were refused because their slot was full.
        self.refused = 0

    def is_copy(self, ltime: int, identity: Identity) -> bool:
        """Whether this was accepted before, and is still remembered."""
        slot = self._slots.get(self._place(ltime))
        return slot is not None and slot[0] == ltime and identity in slot[1]

    def accept_from(self, clock: LamportClock, ltime: int, identity: Identity) -> bool:
        """Whether this is news; if so `clock` witnesses it, and it is remembered. A copy moves no clock."""
        if self.is_copy(ltime, identity):
            return False
        if clock.witness(ltime):
            self.min_time = 0  # what follows has low times again
        return self.accept(ltime, identity, clock.time())

    def accept(self, ltime: int, identity: Identity, now: int) -> bool:
        """Whether this is news; if so it is remembered. `now`: the clock, after it witnessed `ltime`."""
        if ltime < self.min_time or (now > self._size and ltime < now - self._size):
            return False
        place = self._place(ltime)
        slot = self._slots.get(place)
        if slot is None or slot[0] != ltime:
            self._slots[place] = (ltime, {identity: None})
            return True
        seen = slot[1]
        if identity in seen:
            return False
        if len(seen) >= self.SLOT_LIMIT:
            self.refused += 1
            return False
        seen[identity] = None
        return True

    def past(self, now: int = MAX_TIME) -> Iterator[tuple[int, list[Identity]]]:
        """All that is remembered: Lamport times before `now`, in order, and what was seen at them.

        Later ones are from before the clock fell back: whose clock hears of them falls back once more.
        """
        for ltime, seen in sorted(self._slots.values(), key=lambda slot: slot[0]):
            if ltime < now:
                yield ltime, list(seen)

    def _place(self, ltime: int) -> int:
        return ltime % self._size + (self._size if ltime >= HONEST_MAX else 0)
