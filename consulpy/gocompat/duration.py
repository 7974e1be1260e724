"""Durations as text in Go's form: "300ms", "10s", "1h30m".

Consul's configuration files, flags, requests and answers use it. The unit of a value is in the function's name:
`*_ns` functions take and return nanoseconds (int), the others seconds (float).
Source: Go's time.ParseDuration and time.Duration.String.
"""

import re
from typing import Final

#: Nanoseconds per unit.
_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
#: A number, and what Go takes for its unit: all up to the next one.
_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_INT64_END: Final = 1 << 63
#: Digits before the point above which a number exceeds int64, and digits after it that are read.
_DIGITS_MAX: Final = 30


class DurationError(ValueError):
    """The text is not a duration. The error text is Go's."""


class _TooLong(DurationError):
    """The duration does not fit into int64 nanoseconds."""


def parse_duration_ns(text: str) -> int:
    """Parse a duration such as `1h30m`; nanoseconds. Raises `DurationError`."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        assert part is not None, "the pattern matches the empty text"
        whole, fraction, unit = part.groups()
        if not whole and not fraction:
            raise DurationError(f'time: invalid duration "{text}"')
        whole = whole.lstrip("0")
        if len(whole) > _DIGITS_MAX or int(whole or "0") >= _INT64_END:
            raise _TooLong(f'time: invalid duration "{text}"')
        if not unit:
            raise DurationError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS_NS:
            raise DurationError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += int(whole or "0") * _UNITS_NS[unit]
        if fraction:
            fraction = fraction[:_DIGITS_MAX]
            total += int(fraction) * _UNITS_NS[unit] // 10 ** len(fraction)
        at = part.end()
    if at == 0:
        raise DurationError(f'time: invalid duration "{text}"')
    if total >= _INT64_END:
        raise _TooLong(f'time: invalid duration "{text}"')
    return sign * total


def parse_duration(text: str) -> float:
    """Parse a duration that a user wrote; seconds. Raises `ValueError` whose text says what was expected."""
    try:
        return parse_duration_ns(text) / 1e9
    except _TooLong:
        raise ValueError(f"a duration is at most 2562047h, not {text!r}") from None
    except DurationError:
        raise ValueError(f"expected a duration such as 10s or 1h30m, not {text!r}") from None


def format_duration_ns(nanoseconds: int) -> str:
    """Format nanoseconds as Go does: `1m30s`, `200ms`."""
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


def format_duration(seconds: float) -> str:
    """Format seconds as Go does: 90 -> `1m30s`, 0.25 -> `250ms`."""
    return format_duration_ns(round(seconds * 1e9))


def _decimal(count: int, one: int) -> str:
    whole, part = divmod(count, one)
    fraction = f"{part:0{len(str(one)) - 1}d}".rstrip("0") if part else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
