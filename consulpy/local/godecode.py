"""JSON into records as Go does it: names without regard to case, types strictly, errors in the words of encoding/json.

Consul's clients and users read these texts (`Request decode failed: json: unknown field "Colour"`); seen in the answers
of a real agent.
"""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from consulpy.structs.record import Record, camel

_R = TypeVar("_R", bound=Record)

#: Nanoseconds in each unit of a Go duration.
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
_PART: Final = re.compile(r"(\d*)(?:\.(\d*))?([a-zµμ]*)", re.IGNORECASE)
_INT64: Final = 1 << 63


class GoError(Exception):
    """What Go would have said."""


def loads(body: bytes) -> Any:
    """The first JSON value of `body`; what follows it is ignored. Raises `GoError` with the position of the fault."""
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise GoError("EOF")
    try:
        return _DECODER.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        if error.pos >= len(text) or error.msg.startswith("Unterminated string"):
            raise GoError("unexpected EOF") from None
        position = f"line {error.lineno}, column {error.colno}"
        raise GoError(f"invalid character {text[error.pos]!r} at {position}: {error.msg.lower()}") from None
    except RecursionError:
        raise GoError("exceeded max depth") from None


def _no_constant(name: str) -> Any:
    raise GoError(f"invalid character {name[0]!r} looking for beginning of value")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def duration(value: Any) -> int:
    """Nanoseconds in a duration: a number of them, or text such as `1h30m`. Other types count as 0, as in Consul."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return 0
    if not isinstance(value, str):
        return int(value)
    sign, rest = (-1, value[1:]) if value.startswith("-") else (1, value.removeprefix("+"))
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        assert part is not None, "the pattern matches the empty text"
        whole, fraction, unit = part.groups()
        if not whole and not fraction:
            raise GoError(f'time: invalid duration "{value}"')
        if not unit:
            raise GoError(f'time: missing unit in duration "{value}"')
        if unit not in _UNITS:
            raise GoError(f'time: unknown unit "{unit}" in duration "{value}"')
        total += int(whole or "0") * _UNITS[unit]
        if fraction:
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        at = part.end()
    if at == 0 or total >= _INT64:
        raise GoError(f'time: invalid duration "{value}"')
    return sign * total


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """How a record is read.

    `durations`: fields (by Go name) that are durations. `aliases`: other spellings (lower case) -> Go name, which lose
    against the proper spelling. `without`: fields that are not accepted. `extra`: members that are accepted besides,
    with how to read them; the values are returned beside the record. `strict`: whether an unknown member is an error.
    """

    durations: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    without: frozenset[str] = frozenset()
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    strict: bool = True
    #: Whether records inside are read in the same way; otherwise they accept anything.
    deep: bool = False


_LENIENT: Final = Shape(strict=False)


def decode(cls: type[_R], raw: Any, shape: Shape, path: str = "") -> tuple[_R, dict[str, Any]]:
    """(record, extra members) from parsed JSON; null gives an empty record. Raises `GoError`.

    `path`: the outermost member that this is part of, for the text of an error.
    """
    record = cls()
    extra: dict[str, Any] = {}
    if raw is None:
        return record, extra
    if not isinstance(raw, dict):
        raise _mismatch(raw, path, f"structs.{cls.__name__}")
    fields = _fields(cls)
    aliased: list[tuple[str, Any]] = []
    for key, value in raw.items():
        name = key.lower()
        if name in shape.aliases:
            aliased.append((shape.aliases[name], value))
        elif name in shape.extra:
            extra[name] = (
                value if shape.extra[name] is None else _value(value, shape.extra[name], path or key, _LENIENT)
            )
        elif name in fields and fields[name].go not in shape.without:
            _set(record, fields[name], value, shape, path)
        elif shape.strict:
            raise GoError(f'json: unknown field "{key}"')
    for go_name, value in aliased:
        field = fields[go_name.lower()]
        if not getattr(record, field.name):
            _set(record, field, value, shape, path)
    return record, extra


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    go: str
    kind: Any


def _fields(cls: type[Record]) -> dict[str, _Field]:
    """The fields of `cls` by their JSON names in lower case."""
    known = _KNOWN.get(cls)
    if known is None:
        hints = typing.get_type_hints(cls)
        known = {}
        for field in dataclasses.fields(typing.cast(Any, cls)):
            go_name = field.metadata.get("go") or camel(field.name)
            known[go_name.lower()] = _Field(field.name, go_name, _without_none(hints[field.name]))
        _KNOWN[cls] = known
    return known


_KNOWN: dict[type[Record], dict[str, _Field]] = {}


def _without_none(kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _set(record: Record, field: _Field, value: Any, shape: Shape, path: str) -> None:
    if field.go in shape.durations:
        setattr(record, field.name, duration(value))
    elif value is not None:
        setattr(record, field.name, _value(value, field.kind, path or field.go, shape if shape.deep else _LENIENT))


_SCALARS: Final[dict[Any, tuple[Callable[[Any], bool], str]]] = {
    str: (lambda value: isinstance(value, str), "string"),
    bool: (lambda value: isinstance(value, bool), "bool"),
    float: (lambda value: isinstance(value, int | float) and not isinstance(value, bool), "float64"),
}


def _value(value: Any, kind: Any, path: str, inner: Shape) -> Any:
    """`value` checked against the type of a field."""
    if kind is Any:
        return value
    if kind is int:
        return _integer(value, path)
    if kind in _SCALARS:
        fits, go_type = _SCALARS[kind]
        if not fits(value):
            raise _mismatch(value, path, go_type)
        return value
    if isinstance(kind, type) and issubclass(kind, Record):
        return decode(kind, value, inner, path)[0]
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        if not isinstance(value, list):
            raise _mismatch(value, path, _go_type(kind))
        item = _without_none(args[0])
        return [_value(each, item, path, inner) if each is not None else _zero(item) for each in value]
    assert origin is dict, f"no Go type for {kind}"
    if not isinstance(value, dict):
        raise _mismatch(value, path, _go_type(kind))
    item = _without_none(args[1])
    return {key: _value(each, item, path, inner) if each is not None else _zero(item) for key, each in value.items()}


def _integer(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mismatch(value, path, "int")
    if isinstance(value, float) or not -_INT64 <= value < _INT64:
        raise GoError(f"json: cannot unmarshal number {value} into Go struct field .{path} of type int")
    return value


def _zero(kind: Any) -> Any:
    return kind() if kind in (str, int, bool, float) or (isinstance(kind, type) and issubclass(kind, Record)) else None


def _go_type(kind: Any) -> str:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return "[]" + _go_type(_without_none(args[0]))
    if origin is dict:
        return "map[string]" + _go_type(_without_none(args[1]))
    if isinstance(kind, type) and issubclass(kind, Record):
        return f"structs.{kind.__name__}"
    return {str: "string", int: "int", bool: "bool", float: "float64"}.get(kind, "interface {}")


def _mismatch(value: Any, path: str, go_type: str) -> GoError:
    kind = "bool" if isinstance(value, bool) else _JSON_KINDS.get(type(value), "number")
    where = f"struct field .{path}" if path else "value"
    return GoError(f"json: cannot unmarshal {kind} into Go {where} of type {go_type}")


_JSON_KINDS: Final = {str: "string", list: "array", dict: "object", type(None): "null"}
