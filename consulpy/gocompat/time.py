"""Go's `time.Time`: 15 bytes on the wire, RFC 3339 in JSON (docs/wire/rpc.md 4).

u8 version 1, i64 seconds since the year 1, u32 nanoseconds, i16 minutes of the zone (-1: UTC); all big endian.

Only this form is written. Newer agents, by the version of their msgpack library, send others, which `from_wire` reads:
version 2 (16 bytes, with i8 seconds of the zone), msgpack's timestamps of 4, 8 and 12 bytes as raw or as extension,
and RFC 3339 texts.
"""

import re
import struct
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgpack

from consulpy.codec.coerce import as_bytes
from consulpy.codec.record import go

_WIRE: Final = struct.Struct(">BqIh")
#: Version 2: the same with seconds of the zone.
_WIRE_2: Final = struct.Struct(">BqIhb")
#: Sizes of msgpack's timestamps, in bytes.
_TIMESTAMP_SIZES: Final = (4, 8, 12)
_RFC_3339: Final = re.compile(rb"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)").fullmatch
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


def from_wire(value: Any) -> bytes:
    """A time as any version of Consul sends it, as `go_time` writes it; the zero time for bytes that are no time.

    `value`: unpacked. Raises `WrongType` for a value that is neither bytes nor a timestamp.
    """
    if type(value) is bytes and len(value) == _WIRE.size and value[0] == 1:
        return value
    try:
        if isinstance(value, msgpack.Timestamp):
            return _packed(value)
        raw = as_bytes(value.encode() if isinstance(value, str) else value)
        if len(raw) in _TIMESTAMP_SIZES:
            return _packed(msgpack.Timestamp.from_bytes(raw))
        if len(raw) == _WIRE_2.size and raw[0] == 2:
            _, seconds, nanoseconds, offset_min, _ = _WIRE_2.unpack(raw)
            return _WIRE.pack(1, seconds, nanoseconds, offset_min)
        return _from_text(raw)
    except (ValueError, struct.error):
        return ZERO_TIME


def _packed(stamp: msgpack.Timestamp) -> bytes:
    return _WIRE.pack(1, stamp.seconds + _YEAR_1_S, stamp.nanoseconds, -1)


def _from_text(raw: bytes) -> bytes:
    """An RFC 3339 text, exact to the nanosecond. Raises `ValueError`."""
    found = _RFC_3339(raw)
    if found is None:
        raise ValueError("this is no time")
    moment, fraction, zone = found.groups()
    is_utc = zone in b"Zz"
    shown = datetime.fromisoformat(moment.decode() + ("+00:00" if is_utc else zone.decode()))
    offset = shown.utcoffset()
    assert offset is not None, "the text has a zone"
    seconds = (shown.replace(tzinfo=UTC) - offset - _YEAR_1) // timedelta(seconds=1)
    offset_min = -1 if is_utc else offset // timedelta(minutes=1)
    return _WIRE.pack(1, seconds, int((fraction or b"").ljust(9, b"0")), offset_min)


def time_field(*, omit_empty: bool = False, json: str | None = None, default: bytes | None = ZERO_TIME) -> Any:
    """Declare a field of a record that is a time. `default` None: a pointer, nil if unset. See `codec.record.go`."""
    return go(json_as=go_time_json, decode=from_wire, omit_empty=omit_empty, json=json, default=default)


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
