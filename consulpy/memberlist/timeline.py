"""Timeline of each member: suspicions with their origin and cause, confirmations, refutations, leaves.

A bounded history for diagnosis of failed members; no protocol logic depends on it.
"""

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass

#: Events stored per member.
EVENTS_PER_MEMBER: Final = 64
#: Members whose events are stored; above it the least recently changed one is dropped.
MEMBERS_MAX: Final = 8192
#: Detail of a "force-left" that another agent told of, who does not say whether the member's own leave was missed here.
LEFT_OR_REMOVED: Final = "or it left by itself, which was not heard here"


@dataclass(slots=True)
class TimelineEvent:
    """One event. `at_s`: the clock's seconds; `peer`: the sender; `detail`: how it was detected."""

    at_s: float
    what: str
    incarnation: int
    peer: str = ""
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """The JSON form in `/v1/agent/timeline`."""
        return {
            "At": self.at_s,
            "What": self.what,
            "Incarnation": self.incarnation,
            "Peer": self.peer,
            "Detail": self.detail,
        }


class Timeline:
    """Timelines of all members. `now_s()`: the time of new events, in seconds."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._by_name: dict[str, deque[TimelineEvent]] = {}
        #: Number of the newest event, and of the newest of each member: the index of blocking queries.
        self.index = 1
        self._indexes: dict[str, int] = {}
        #: Called with the member's name after each new event.
        self.listeners: list[Callable[[str], None]] = []

    def add(self, name: str, what: str, incarnation: int, peer: str = "", detail: str = "") -> None:
        """Append an event of member `name`."""
        history = self._by_name.pop(name, None)
        if history is None:
            history = deque(maxlen=EVENTS_PER_MEMBER)
            if len(self._by_name) >= MEMBERS_MAX:
                oldest = next(iter(self._by_name))
                del self._by_name[oldest], self._indexes[oldest]
        self._by_name[name] = history  # moved to the end: dropped last
        history.append(TimelineEvent(self._now_s(), what, incarnation, peer, detail))
        self.index += 1
        self._indexes[name] = self.index
        for listener in tuple(self.listeners):
            listener(name)

    def of(self, name: str) -> list[TimelineEvent]:
        """The stored events of `name`, oldest first."""
        return list(self._by_name.get(name, ()))

    def index_of(self, name: str) -> int:
        """Number of the newest event of `name`; 1 if there is none."""
        return self._indexes.get(name, 1)

    def latest(self, limit: int) -> list[tuple[str, TimelineEvent]]:
        """The newest event of each of the `limit` members that changed last, newest first."""
        names = itertools.islice(reversed(self._by_name), limit)
        return [(name, self._by_name[name][-1]) for name in names]
