"""Events that Serf delivers (member events, user events, queries), and the detection of duplicates.

Source: docs/wire/gossip.md 6.2, 6.4, 6.5.
"""

from collections.abc import Callable, Iterator
from dataclasses import field
from enum import Enum
from typing import Final, Generic, TypeVar

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.serf.lamport import MAX_TIME, PLAUSIBLE_MAX, LamportClock
from consulpy.serf.members import Member

#: Prefix of queries that Serf itself answers.
INTERNAL_PREFIX: Final = "_serf_"

#: The key that tells messages of one Lamport time apart.
Identity = TypeVar("Identity")


class MemberEventKind(Enum):
    """Kind of a member event."""

    JOIN = "join"
    LEAVE = "leave"
    FAILED = "failed"
    UPDATE = "update"
    REAP = "reap"


@dataclass(slots=True)
class MemberEvent:
    """Members joined, left, failed, were updated or reaped. They must not be modified."""

    kind: MemberEventKind
    members: list[Member]


@dataclass(slots=True)
class UserEvent:
    """A user event."""

    ltime: int
    name: str
    payload: bytes
    #: Whether only the last event of this name matters.
    coalesce: bool = False


@dataclass(slots=True)
class QueryEvent:
    """A query for the local member; `respond` may be called once."""

    ltime: int
    id: int
    name: str
    payload: bytes
    #: Name of the querying member.
    source: str
    #: Time after which responses are refused, in the clock's seconds.
    deadline_s: float
    answer: Callable[["QueryEvent", bytes], None] = field(repr=False)

    def respond(self, payload: bytes) -> None:
        """Send the response. Raises `ValueError`: too late, already sent, or too large."""
        self.answer(self, payload)


Event = MemberEvent | UserEvent | QueryEvent


class RecentBuffer(Generic[Identity]):
    """A ring buffer by Lamport time that detects duplicate messages.

    Each slot has one Lamport time and the messages seen at it; a later time replaces it. Messages older than `size`
    times, or than `min_time`, are refused, as duplicates of them can't be detected. Times that are far ahead of the
    clock, and those above `PLAUSIBLE_MAX`, have slots of their own: a forged and a plausible time that alternate in one
    slot would be delivered again and again.
    """

    #: Maximum different messages of one Lamport time; further ones are refused.
    SLOT_LIMIT: Final = 1024

    __slots__ = ("_size", "_slots", "min_time", "refused")

    def __init__(self, size: int) -> None:
        self._size = size
        self._slots: dict[int, tuple[int, dict[Identity, None]]] = {}
        #: Lowest accepted Lamport time, set after a restart or a join that ignores old events.
        self.min_time = 0
        #: Number of messages refused because their slot was full.
        self.refused = 0

    def is_duplicate(self, ltime: int, identity: Identity) -> bool:
        """Whether this message was accepted before and is still stored."""
        for place in (ltime % self._size, ltime % self._size + self._size):
            slot = self._slots.get(place)
            if slot is not None and slot[0] == ltime and identity in slot[1]:
                return True
        return False

    def accept_from(self, clock: LamportClock, ltime: int, identity: Identity) -> bool:
        """Whether this message is new; then `clock` witnesses its time and it is stored.

        A duplicate moves no clock, nor does a time far ahead of it.
        """
        if self.is_duplicate(ltime, identity):
            return False
        if clock.is_far_ahead(ltime):
            return self._store(ltime % self._size + self._size, ltime, identity)
        if clock.witness(ltime):
            self.min_time = 0  # the next times are low again
        return self.accept(ltime, identity, clock.time())

    def accept(self, ltime: int, identity: Identity, now: int) -> bool:
        """Whether this message is new; then it is stored. `now`: the clock after it witnessed `ltime`."""
        if ltime < self.min_time or (now > self._size and ltime < now - self._size):
            return False
        return self._store(self._place(ltime), ltime, identity)

    def _store(self, place: int, ltime: int, identity: Identity) -> bool:
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
        """Stored Lamport times before `now`, in order, each with its messages.

        Later times are from before the clock wrapped; sending them would make the receiver's clock wrap again.
        """
        for ltime, seen in sorted(self._slots.values(), key=lambda slot: slot[0]):
            if ltime < now:
                yield ltime, list(seen)

    def _place(self, ltime: int) -> int:
        return ltime % self._size + (self._size if ltime >= PLAUSIBLE_MAX else 0)
