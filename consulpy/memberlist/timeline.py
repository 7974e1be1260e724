"""What happened to each member, as far as we saw it: who suspected it and why, who confirmed, who refuted, who left.

A bounded history, so that a person may ask why a member is failed. No other part depends on it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

#: Events that are kept of one member.
EVENTS_PER_MEMBER: Final = 64
#: Members whose events are kept; then those that were quiet for longest are forgotten.
MEMBERS_MAX: Final = 8192


@dataclass(slots=True)
class TimelineEvent:
    """One fact. `at_s` is in the clock's seconds; `peer` is who said it; `detail` says how it was found out."""

    at_s: float
    what: str
    incarnation: int
    peer: str = ""
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """As `/v1/agent/timeline` shows it."""
        return {
            "At": self.at_s,
            "What": self.what,
            "Incarnation": self.incarnation,
            "Peer": self.peer,
            "Detail": self.detail,
        }


class Timeline:
    """The histories of all members. `now_s()` gives the time that events are stamped with."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._by_name: dict[str, deque[TimelineEvent]] = {}

    def add(self, name: str, what: str, incarnation: int, peer: str = "", detail: str = "") -> None:
        """Remember a fact about `name`."""
        history = self._by_name.pop(name, None)
        if history is None:
            history = deque(maxlen=EVENTS_PER_MEMBER)
            if len(self._by_name) >= MEMBERS_MAX:
                del self._by_name[next(iter(self._by_name))]
        self._by_name[name] = history  # the last one to be forgotten now
        history.append(TimelineEvent(self._now_s(), what, incarnation, peer, detail))

    def of(self, name: str) -> list[TimelineEvent]:
        """What is remembered of `name`, the oldest first."""
        return list(self._by_name.get(name, ()))
