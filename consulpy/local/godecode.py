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
    _members: "dict[type[Record], dict[str, _Member]]" = dataclasses.field(default_factory=dict, init=False)

    def members(self, cls: type[Record]) -> "dict[str, _Member]":
        """What may stand in the JSON of a `cls`, by its names as they are written and in lower case."""
        known = self._members.get(cls)
        if known is None:
            known = self._members[cls] = {}
            fields = {member.go: member for member in _members_of(cls, self.durations)}
            for go_name, member in fields.items():
                name = go_name.lower()
                if go_name not in self.without and name not in self.aliases and name not in self.extra:
                    known[go_name] = known[name] = member
            for name, go_name in self.aliases.items():
                if go_name in fields:
                    known[name] = dataclasses.replace(fields[go_name], is_alias=True)
        return known


#: Reads a value that is not null: with the path for errors, and how records inside are read.
_Read = Callable[[Any, str, Shape], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    """A field, and how its values are read; those that are `exactly` of a type stay as they are."""

    attribute: str
    go: str
    read: _Read
    exactly: type
    is_alias: bool = False


_known_members: dict[tuple[type[Record], frozenset[str]], list[_Member]] = {}


def _members_of(cls: type[Record], durations: frozenset[str]) -> list[_Member]:
    known = _known_members.get((cls, durations))
    if known is not None:
        return known
    hints = typing.get_type_hints(cls)
    members = _known_members[cls, durations] = []
    for field in dataclasses.fields(typing.cast(Any, cls)):
        go_name = field.metadata.get("go") or camel(field.name)
        kind = _without_none(hints[field.name])
        if go_name in durations:
            members.append(_Member(field.name, go_name, lambda value, _path, _inner: duration(value), _Nothing))
        else:
            members.append(_Member(field.name, go_name, _reader(kind), kind if kind in (str, bool) else _Nothing))
    return members


class _Nothing:
    """A type that no value has."""


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
    members = shape.members(cls)
    inner = shape if shape.deep else _LENIENT
    aliased: list[tuple[_Member, Any]] = []
    for key, value in raw.items():
        member = members.get(key) or members.get(name := key.lower())
        if member is not None:
            if value is None:
                continue
            if member.is_alias:
                aliased.append((member, value))
            else:
                fits = type(value) is member.exactly
                read = value if fits else member.read(value, path or member.go, inner)
                setattr(record, member.attribute, read)
        elif name in shape.extra:
            reader = shape.extra[name] and _reader(shape.extra[name])
            extra[name] = reader(value, path or key, _LENIENT) if reader else value
        elif shape.strict:
            raise GoError(f'json: unknown field "{key}"')
    for member, value in aliased:
        if not getattr(record, member.attribute):
            setattr(record, member.attribute, member.read(value, path or member.go, inner))
    return record, extra


def _without_none(kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _reader(kind: Any) -> _Read:
    """How values of a type are read."""
    if kind is Any:
        return lambda value, _path, _inner: value
    if kind is int:
        return _integer
    if kind in _SCALARS:
        return _scalar(*_SCALARS[kind])
    if isinstance(kind, type) and issubclass(kind, Record):
        return lambda value, path, inner: decode(kind, value, inner, path)[0]
    if typing.get_origin(kind) is list:
        return _list(kind)
    if typing.get_origin(kind) is dict:
        return _map(kind)
    return _no_request_has_it


_SCALARS: Final[dict[Any, tuple[tuple[type, ...], str]]] = {
    str: ((str,), "string"),
    bool: ((bool,), "bool"),
    float: ((int, float), "float64"),
}


def _scalar(accepted: tuple[type, ...], go_type: str) -> _Read:
    def read(value: Any, path: str, _inner: Shape) -> Any:
        if type(value) not in accepted:
            raise _mismatch(value, path, go_type)
        return value

    return read


def _list(kind: Any) -> _Read:
    item = _without_none(typing.get_args(kind)[-1])
    read_item = _reader(item)

    def read(value: Any, path: str, inner: Shape) -> Any:
        if not isinstance(value, list):
            raise _mismatch(value, path, _go_type(kind))
        return [read_item(each, path, inner) if each is not None else _zero(item) for each in value]

    return read


def _map(kind: Any) -> _Read:
    item = _without_none(typing.get_args(kind)[-1])
    read_item = _reader(item)

    def read(value: Any, path: str, inner: Shape) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(value, path, _go_type(kind))
        return {key: read_item(each, path, inner) if each is not None else _zero(item) for key, each in value.items()}

    return read


def _no_request_has_it(value: Any, path: str, _inner: Shape) -> Any:
    raise AssertionError(f"{path}: {type(value).__name__}")


def _integer(value: Any, path: str, _inner: Shape) -> int:
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
