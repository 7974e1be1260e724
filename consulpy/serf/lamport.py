"""Lamport clocks: the order of intents, events and queries without clocks that agree.

Source: docs/wire/gossip.md 6.1. Each Serf has three of them; every message carries the sender's time, and whoever reads
it moves on beyond it.
"""

from typing import Final

#: Lamport times are unsigned 64-bit numbers on the wire.
MAX_TIME: Final = 2**64 - 1


class LamportClock:
    """A counter that starts at 1, the time at which the next message is sent."""

    __slots__ = ("_time",)

    def __init__(self) -> None:
        self._time = 1

    def time(self) -> int:
        """The time now."""
        return self._time

    def increment(self) -> int:
        """Move on by one; the new time."""
        self._time = min(self._time + 1, MAX_TIME)
        return self._time

    def witness(self, seen: int) -> None:
        """Somebody sent a message at `seen`: whatever is sent here from now on is later."""
        if seen >= self._time:
            self._time = min(seen + 1, MAX_TIME)
