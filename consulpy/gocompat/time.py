"""Go's `time.Time`: 15 bytes on the wire, RFC 3339 in JSON (docs/wire/rpc.md 4).

u8 version 1, i64 seconds since the year 1, u32 nanoseconds, i16 minutes of the zone (-1: UTC); all big endian.
"""

import struct
from datetime import UTC, datetime, timedelta
from typing import Final

_WIRE: Final = struct.Struct(">BqIh")
#: Seconds between the year 1 and 1970.
_YEAR_1_S: Final = 62_135_596_800
_YEAR_1: Final = datetime(1, 1, 1, tzinfo=UTC)
#: The last second of the year 9999.
_LAST_S: Final = 315_537_897_599

#: Go's zero time.
ZERO_TIME: Final = _WIRE.pack(1, 0, 0, -1)


def go_time(unix_s: float) -> bytes:
    """Encode a time in seconds since 1970, in UTC, exact to the microsecond."""
    micros = round(unix_s * 1_000_000)
    seconds, rest = divmod(micros, 1_000_000)
    return _WIRE.pack(1, seconds + _YEAR_1_S, rest * 1000, -1)


def go_time_json(raw: bytes) -> str:
    """Format an encoded time as Go's JSON does; invalid bytes give the zero time."""
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
    """Decode a time: seconds since 1970; 0 for invalid bytes."""
    try:
        _, seconds, nanoseconds, _ = _WIRE.unpack(raw)
    except struct.error:
        return 0.0
    return float(seconds - _YEAR_1_S + nanoseconds / 1e9)
