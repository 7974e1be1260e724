"""Lock delays: keys that may not be locked yet, because a session was taken from their holder.

Not part of the state: each server counts for itself when it applies the end of a session, so that a new leader knows
those from before its term.
"""

from heapq import heappop, heappush
from typing import Final

from consulpy.clock import Clock

#: Maximum lock delays; above it a delay is not applied.
LOCK_DELAYS_MAX: Final = 65536


class LockDelays:
    """Keys with a lock delay, and when it ends in seconds of the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_s: dict[str, float] = {}
        #: (End, key), the earliest first; those of a key that was locked and released again are in it several times.
        self._queue: list[tuple[float, str]] = []

    def start(self, keys: list[str], delay_ns: int) -> None:
        """Start a lock delay of each of `keys`."""
        now_s, queue, ends_s = self._clock.seconds(), self._queue, self._ends_s
        while queue and queue[0][0] <= now_s:
            end_s, key = heappop(queue)
            if ends_s.get(key) == end_s:
                del ends_s[key]
        end_s = now_s + delay_ns / 1e9
        for key in keys[: LOCK_DELAYS_MAX - len(queue)]:
            ends_s[key] = end_s
            heappush(queue, (end_s, key))

    def clear(self) -> None:
        """End all lock delays."""
        self._ends_s.clear()
        self._queue.clear()

    def has(self, key: str) -> bool:
        """Whether a lock delay of `key` is running."""
        return self._ends_s.get(key, 0.0) > self._clock.seconds()
