"""Values of loosely typed settings as Go's mapstructure decodes them, with its errors.

Texts stand for numbers and numbers for texts, one value for a list of it, a list of maps for one map.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from consulpy.gocompat.duration import DurationError, parse_duration_ns
from consulpy.gocompat.literals import floating32, integer
from consulpy.gocompat.weak_text import weak_text

_Value = TypeVar("_Value")
_INT64: Final = 1 << 63
#: Go's names of the types of a JSON value; others are numbers.
_KINDS: Final[Mapping[type, str]] = {str: "string", bool: "bool", dict: "map", list: "slice"}

#: `read(name, value)`: the value of a setting. Raises `ValueError` or `TypeError`.
Reader = Callable[[str, Any], Any]


def decoded(settings: Mapping[str, Any], readers: Mapping[str, Reader]) -> tuple[dict[str, Any], list[str]]:
    """The values of the known settings, by name without regard to case, and the errors. Null counts as not given."""
    by_name = {name.lower(): value for name, value in settings.items() if value is not None}
    found, faults = {}, []
    for name, read in readers.items():
        if name.lower() in by_name:
            try:
                found[name] = read(name, by_name[name.lower()])
            except (ValueError, TypeError, OverflowError) as error:
                faults.append(str(error))
    return found, faults


def faults_text(faults: list[str]) -> str:
    """All errors as one."""
    lines = "\n".join(f"* {each}" for each in sorted(faults))
    return f"error decoding config: {len(faults)} error(s) decoding:\n\n{lines}"


def text(name: str, value: Any) -> str:
    """A text."""
    found = weak_text(value) if value is not None else ""
    if found is None:
        raise _unconvertible(name, "string", value)
    return found


def duration(name: str, value: Any) -> int:
    """Nanoseconds of a text like `1h` or of a number of them."""
    if isinstance(value, str):
        try:
            return parse_duration_ns(value)
        except DurationError as error:
            raise ValueError(f"error decoding '{name}': {error}") from None
    return whole(name, value, "time.Duration")


def nanoseconds(name: str, value: Any) -> int:
    """A duration where mapstructure knows of numbers only: a text is a number of nanoseconds."""
    return whole(name, value, "time.Duration")


def whole(name: str, value: Any, kind: str = "int") -> int:
    """A whole number; one that does not fit into 64 bits is the smallest, as in Go."""
    if isinstance(value, str):
        try:
            return integer(value)
        except ValueError as error:
            raise ValueError(f"cannot parse '{name}' as int: {error}") from None
    if isinstance(value, bool | int | float):
        found = int(value)
        return found if -_INT64 <= found < _INT64 else -_INT64
    raise _unconvertible(name, kind, value)


def number(name: str, value: Any) -> float:
    """A number."""
    if isinstance(value, str):
        try:
            return floating32(value)
        except ValueError as error:
            raise ValueError(f"cannot parse '{name}' as float: {error}") from None
    if isinstance(value, bool | int | float):
        return float(value)
    raise _unconvertible(name, "float32", value)


def texts(name: str, value: Any) -> list[str]:
    """A list of texts."""
    values = value if isinstance(value, list) else [] if value == {} else [value]
    return [text(f"{name}[{at}]", each) for at, each in enumerate(values)]


def text_map(name: str, value: Any) -> dict[str, str]:
    """A map of texts."""
    if isinstance(value, list):
        merged: dict[str, str] = {}
        for at, each in enumerate(value):
            merged |= text_map(f"{name}[{at}]", each)
        return merged
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"'{name}' expected a map, got '{_KINDS.get(type(value), 'float64')}'")
    return {key: text(f"{name}[{key}]", each) for key, each in value.items()}


def _unconvertible(name: str, kind: str, value: Any) -> TypeError:
    given = "map[string]interface {}" if isinstance(value, Mapping) else "[]interface {}"
    return TypeError(f"'{name}' expected type '{kind}', got unconvertible type '{given}'")
