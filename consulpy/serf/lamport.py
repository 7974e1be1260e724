"""Lamport clocks: the order of intents, events and queries without clocks that agree.

Source: docs/wire/gossip.md 6.1. Each Serf has three of them; every message carries the sender's time, and whoever reads
it moves on beyond it. After the highest time a clock falls back, so that no time that anybody sends can stop it. Real
Serf's clocks fall back to 0, and members that joined later than that hear nothing for long; ours to the last time that
was not forged.
"""

from typing import Final

#: Lamport times are unsigned 64-bit numbers on the wire.
MAX_TIME: Final = 2**64 - 1
#: How far ahead of a clock an honest message may be, and how far a clock only moves when it falls back.
JUMP_MAX: Final = 2**32
#: No cluster counts that far; a time from here on was forged, or follows one that was.
HONEST_MAX: Final = 2**63


class LamportClock:
    """A counter that starts at 1, the time at which the next message is sent."""

    __slots__ = ("_honest", "_time")

    def __init__(self) -> None:
        self._time = 1
        #: The last time below `HONEST_MAX`.
        self._honest = 1

    def time(self) -> int:
        """The time now."""
        return self._time

    def increment(self) -> int:
        """Move on by one; the new time."""
        self._pass(self._time)
        return self._time

    def witness(self, seen: int) -> bool:
        """Somebody sent a message at `seen`: whatever is sent here from now on is later.

        True if there is no later time, so that the clock fell back.
        """
        if seen >= self._time:
            self._pass(seen)
        return self._time <= seen

    def is_far_ahead(self, seen: int) -> bool:
        """Whether no honest message has this time."""
        return seen - self._time > JUMP_MAX

    def _pass(self, time: int) -> None:
        self._time = time + 1 if time < MAX_TIME else self._honest
        if self._time < HONEST_MAX:
            self._honest = self._time


def is_newer(time: int, known: int) -> bool:
    """Whether `time` is later than `known`, or of a clock that fell back since."""
    return time > known or known - time > JUMP_MAX
