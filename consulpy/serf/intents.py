"""Intents about unknown members, buffered until the member joins.

Intents and memberlist's alive messages travel separately, so a leave intent may arrive before the member is known.
Source: docs/wire/gossip.md 6.2 and 6.3.
"""

from typing import Final

from consulpy.codec.lazy_dataclass import dataclass

#: Maximum buffered intents; above it the oldest is dropped.
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
        """Buffer an intent if it is newer than the buffered one; whether it is."""
        known = self._intents.get(name)
        if known is not None and ltime <= known.ltime:
            return False
        self._intents.pop(name, None)
        if len(self._intents) >= LIMIT:
            del self._intents[next(iter(self._intents))]
        self._intents[name] = RecentIntent(is_leave, ltime, now_s)
        return True

    def pop(self, name: str) -> RecentIntent | None:
        """Remove and return the intent about a member that joined."""
        return self._intents.pop(name, None)

    def clear(self) -> None:
        """Drop all intents."""
        self._intents.clear()

    def expire(self, now_s: float) -> None:
        """Drop intents older than the timeout."""
        for name, intent in list(self._intents.items()):
            if now_s - intent.seen_s > self._timeout_s:
                del self._intents[name]
