"""Go's `time.Time`: 15 bytes on the wire, RFC 3339 in JSON (docs/wire/rpc.md 4); and its durations as text.

u8 version 1, i64 seconds since the year 1, u32 nanoseconds, i16 minutes of the zone (-1: UTC); all big endian.
"""

import re
import struct
from datetime import UTC, datetime, timedelta
from typing import Final

_WIRE: Final = struct.Struct(">BqIh")
#: Seconds between the year 1 and 1970.
_YEAR_1_S: Final = 62_135_596_800
_YEAR_1: Final = datetime(1, 1, 1, tzinfo=UTC)
#: The largest second that a calendar of four digits has.
_LAST_S: Final = 315_537_897_599

#: More digits are beyond an int64, or below a nanosecond.
_DIGITS_MAX: Final = 30
_PART: Final = re.compile(r"(\d*)(?:\.(\d*))?([a-zµμ]*)", re.IGNORECASE)
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


class GoDurationError(ValueError):
    """A text that is no duration; the words are Go's."""


#: The time that is no time.
ZERO_TIME: Final = _WIRE.pack(1, 0, 0, -1)


def go_time(unix_s: float) -> bytes:
    """The bytes of a time in seconds since 1970, in UTC, exact to the microsecond."""
    micros = round(unix_s * 1_000_000)
    seconds, rest = divmod(micros, 1_000_000)
    return _WIRE.pack(1, seconds + _YEAR_1_S, rest * 1000, -1)


def go_time_json(raw: bytes) -> str:
    """The time as Go's JSON shows it; what is no time is shown as the zero time."""
    try:
        version, seconds, nanoseconds, offset_min = _WIRE.unpack(raw)
    except struct.error:
        return "0001-01-01T00:00:00Z"
    if version != 1 or not 0 <= seconds <= _LAST_S:
        return "0001-01-01T00:00:00Z"
    is_utc = offset_min in (-1, 0)
    local = min(max(seconds + (0 if is_utc else offset_min * 60), 0), _LAST_S)
    shown = (_YEAR_1 + timedelta(seconds=local)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    if is_utc:
        return f"{shown}{fraction}Z"
    sign, minutes = ("-", -offset_min) if offset_min < 0 else ("+", offset_min)
    return f"{shown}{fraction}{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def unix_s(raw: bytes) -> float:
    """Seconds since 1970 in such bytes; 0 for what is no time."""
    try:
        _, seconds, nanoseconds, _ = _WIRE.unpack(raw)
    except struct.error:
        return 0.0
    return float(seconds - _YEAR_1_S + nanoseconds / 1e9)


def shown_duration(nanoseconds: int) -> str:
    """A duration as Go prints it: `1m30s`, `200ms`."""
    size = abs(nanoseconds)
    sign = "-" if nanoseconds < 0 else ""
    if not size:
        return "0s"
    for unit, one in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if size < one * 1000:
            return f"{sign}{_decimal(size, one)}{unit}"
    minutes, rest = divmod(size, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    shown = f"{_decimal(rest, 10**9)}s"
    if hours or minutes:
        shown = f"{minutes}m{shown}"
    return f"{sign}{hours}h{shown}" if hours else f"{sign}{shown}"


def _decimal(count: int, one: int) -> str:
    whole, part = divmod(count, one)
    fraction = f"{part:0{len(str(one)) - 1}d}".rstrip("0") if part else ""
    return f"{whole}.{fraction}" if fraction else str(whole)


def go_duration(text: str) -> int:
    """Nanoseconds in a duration such as `1h30m`. Raises `GoDurationError`."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        assert part is not None, "the pattern matches the empty text"
        whole, fraction, unit = part.groups()
        if not whole and not fraction:
            raise GoDurationError(f'time: invalid duration "{text}"')
        if not unit:
            raise GoDurationError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise GoDurationError(f'time: unknown unit "{unit}" in duration "{text}"')
        if len(whole) > _DIGITS_MAX:
            raise GoDurationError(f'time: invalid duration "{text}"')
        total += int(whole or "0") * _UNITS[unit]
        if fraction:
            fraction = fraction[:_DIGITS_MAX]
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        at = part.end()
    if at == 0 or total >= 1 << 63:
        raise GoDurationError(f'time: invalid duration "{text}"')
    return sign * total
