"""Go's float32: numbers of 32 bits, and their shortest text."""

import math
import struct
from typing import Final

#: Decimal digits that tell any two numbers of 32 bits apart.
_DIGITS_MAX: Final = 9
_INT64_END: Final = 1 << 63


def float32(value: float) -> float:
    """The number of 32 bits that is nearest to `value`; an infinity beyond its range."""
    try:
        nearest: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return nearest


def shortest(value: float) -> float:
    """The decimal number with the fewest digits that is `value` as float32, for JSON; whole ones as an integer."""
    wanted = float32(value)
    if not math.isfinite(wanted):
        return wanted
    if wanted.is_integer():
        return int(wanted)
    for digits in range(1, _DIGITS_MAX + 1):
        near = float(f"{wanted:.{digits}g}")
        if float32(near) == wanted:
            return near
    return wanted


def round_half_away(value: float) -> int:
    """Round as Go's `math.Round`, halves away from zero, to an int64: the least one for what does not fit."""
    if not abs(value) < _INT64_END:  # also not a number
        return -_INT64_END
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
