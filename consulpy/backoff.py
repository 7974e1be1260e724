"""Pauses between attempts that fail."""

from typing import Final

#: Doublings after which a pause no longer grows: keeps the power small.
_DOUBLINGS_MAX: Final = 32


def backoff_s(failures: int, first_s: float, max_s: float) -> float:
    """The pause after `failures` failed attempts in a row (1 or more): `first_s`, doubled each time up to `max_s`."""
    return min(first_s * 2.0 ** min(max(failures - 1, 0), _DOUBLINGS_MAX), max_s)
