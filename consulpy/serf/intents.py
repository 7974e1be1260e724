"""Intents about members that nobody has introduced to us yet: kept for a while, in case the member appears.

Intents and memberlist's alive messages travel separately, so a leave may overtake the join that it ends.
Source: docs/wire/gossip.md 6.2 and 6.3.
"""

from dataclasses import dataclass
from typing import Final

#: The most unknown members whose intents are kept; the oldest give way.
LIMIT: Final = 10_000


@dataclass(slots=True)
class RecentIntent:
    """The newest intent about an unknown member."""

    is_leave: bool
    ltime: int
    seen_s: float


class IntentBuffer:
    """The newest intent about each unknown member, for `timeout_s` seconds."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._intents: dict[str, RecentIntent] = {}

    def __len__(self) -> int:
        return len(self._intents)

    def put(self, name: str, is_leave: bool, ltime: int, now_s: float) -> bool:
        """Keep an intent if it is newer than the one that is kept; whether it is."""
        known = self._intents.get(name)
        if known is not None and ltime <= known.ltime:
            return False
        self._intents.pop(name, None)
        if len(self._intents) >= LIMIT:
            del self._intents[next(iter(self._intents))]
        self._intents[name] = RecentIntent(is_leave, ltime, now_s)
        return True

    def take(self, name: str) -> RecentIntent | None:
        """The intent about a member that has just appeared."""
        return self._intents.pop(name, None)

    def clear(self) -> None:
        """Forget all."""
        self._intents.clear()

    def expire(self, now_s: float) -> None:
        """Forget what is too old."""
        for name, intent in list(self._intents.items()):
            if now_s - intent.seen_s > self._timeout_s:
                del self._intents[name]
