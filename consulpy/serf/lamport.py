"""Lamport clocks: a logical order of intents, events and queries.

Source: docs/wire/gossip.md 6.1. Each Serf has three of them; every message carries the sender's time, and the
receiver's clock moves beyond it, unless it is absurdly far: such a time was forged, and to pass it on would poison real
members. Only a partner that this member itself asked may show one, as real members do that were poisoned themselves.
After the maximum time a clock wraps, so that no forged time can stop it. Real Serf's clocks wrap to 0, so that members
which joined before ignore all messages for long; ours wrap to the last plausible time.
"""

from typing import Final

#: Lamport times are unsigned 64-bit integers on the wire.
MAX_TIME: Final = 2**64 - 1
#: Maximum distance of a plausible message ahead of the clock; also how far the clock moves when it wraps.
JUMP_MAX: Final = 2**24
#: No cluster counts that far; a higher time was forged, or follows a forged one.
PLAUSIBLE_MAX: Final = 2**63
#: Highest time of a partner that is followed: above it the clock would soon wrap.
FOLLOWED_MAX: Final = MAX_TIME - 2**33


class LamportClock:
    """A counter that starts at 1, the time of the next message sent."""

    __slots__ = ("_plausible", "_time")

    def __init__(self) -> None:
        self._time = 1
        #: The last time below `PLAUSIBLE_MAX`.
        self._plausible = 1

    def time(self) -> int:
        """The current time."""
        return self._time

    def increment(self) -> int:
        """Advance by one; the new time."""
        self._advance(self._time)
        return self._time

    def witness(self, seen: int) -> bool:
        """Move the clock beyond `seen`, the time of a received message.

        True if there is no later time, so that the clock wrapped.
        """
        if seen >= self._time:
            self._advance(seen)
        return self._time <= seen

    def is_far_ahead(self, seen: int) -> bool:
        """Whether the time is implausibly far ahead of the clock."""
        return seen - self._time > JUMP_MAX

    def follow(self, seen: int, asked: bool) -> None:
        """Move the clock beyond the time that a push/pull shows; `asked`: whether this member began it."""
        if not self.is_far_ahead(seen) or (asked and seen <= FOLLOWED_MAX):
            self.witness(seen)

    def _advance(self, time: int) -> None:
        self._time = time + 1 if time < MAX_TIME else self._plausible
        if self._time < PLAUSIBLE_MAX:
            self._plausible = self._time


def is_newer(time: int, known: int) -> bool:
    """Whether `time` is later than `known`, or from a clock that wrapped since."""
    return time > known or known - time > JUMP_MAX
