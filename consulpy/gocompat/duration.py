"""Durations as Go writes them: "300ms", "10s", "1h30m".

Source: Go's time.ParseDuration and Duration.String, which all of Consul's files, flags and answers use.
"""

import re
from typing import Final

_UNIT_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
#: The longest duration that Go can express, in seconds (2^63 nanoseconds).
LONGEST_S: Final = 2**63 / 1e9


def parse_duration(text: str) -> float:
    """Seconds. Raises `ValueError` saying what was expected."""
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    position, total_s = 0, 0.0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            break
        total_s += float(part[1]) * _UNIT_S[part[2]]
        position = part.end()
    if not rest or position < len(rest):
        raise ValueError(f"expected a duration such as 10s or 1h30m, not {text!r}")
    if total_s >= LONGEST_S:
        raise ValueError(f"a duration is at most 2562047h, not {text!r}")
    return sign * total_s


def format_duration(seconds: float) -> str:
    """As Go prints it: 90 -> "1m30s", 0.25 -> "250ms"."""
    nanoseconds = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 and nanoseconds else ""
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1_000), ("µs", 1_000_000), ("ms", 1_000_000_000)):
        if nanoseconds < size:
            return f"{sign}{_decimal(nanoseconds, size // 1000)}{unit}"
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    shown = f"{_decimal(rest, 10**9)}s"
    if hours or minutes:
        shown = f"{minutes}m{shown}"
    return f"{sign}{hours}h{shown}" if hours else f"{sign}{shown}"


def _decimal(count: int, one: int) -> str:
    whole, part = divmod(count, one)
    digits = len(str(one)) - 1
    fraction = f"{part:0{digits}d}".rstrip("0") if part else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
