"""Lock delays: keys that may not be locked yet, because a session was taken from their holder.

Not part of the state: each server counts for itself when it applies the end of a session, so that a new leader knows
those from before its term.
"""

from typing import Final

from consulpy.clock import Clock

#: Maximum keys with a lock delay; above it a delay is not applied.
LOCK_DELAYS_MAX: Final = 65536


class LockDelays:
    """Keys with a lock delay, and when it ends in seconds of the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_s: dict[str, float] = {}

    def start(self, key: str, delay_ns: int) -> None:
        """Start a lock delay of `key`."""
        now_s = self._clock.seconds()
        if len(self._ends_s) >= LOCK_DELAYS_MAX:
            self._ends_s = {key: end_s for key, end_s in self._ends_s.items() if end_s > now_s}
        if len(self._ends_s) < LOCK_DELAYS_MAX:
            self._ends_s[key] = now_s + delay_ns / 1e9

    def clear(self) -> None:
        """End all lock delays."""
        self._ends_s.clear()

    def has(self, key: str) -> bool:
        """Whether a lock delay of `key` is running."""
        end_s = self._ends_s.get(key)
        if end_s is None:
            return False
        if end_s > self._clock.seconds():
            return True
        del self._ends_s[key]
        return False
