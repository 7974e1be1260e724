"""Incarnations: unsigned 32-bit counters, compared as serial numbers (RFC 1982), so that none is the last.

One forged message at 2^32-1 makes a member of real memberlist wrap to 0, which is below all that others know: it stays
dead until they forget it. Here an incarnation more than 2^31 ahead is an old one, and after 2^32-1 comes 1.
Source: docs/wire/gossip.md 5.4 and 11.
"""

from typing import Final

#: Incarnations are unsigned 32-bit integers on the wire.
MAX: Final = 0xFFFFFFFF
_HALF: Final = 1 << 31


def is_newer(incarnation: int, known: int) -> bool:
    """Whether `incarnation` comes after `known`."""
    return 0 < (incarnation - known) & MAX < _HALF


def following(incarnation: int) -> int:
    """The next incarnation; 0 is left out, as new members at 0 stay dead for their peers."""
    return (incarnation + 1) & MAX or 1
