"""Decoding of JSON into records as Go does it: case-insensitive names, strict types, error texts of encoding/json.

Consul's clients and users read these texts (`Request decode failed: json: unknown field "Colour"`); recorded from a
real agent.
"""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from consulpy.codec.record import Record, camel
from consulpy.codec.strict_json import JsonError, Repeated, first_value
from consulpy.gocompat import newer_fields
from consulpy.gocompat.base64_decode import decode_base64
from consulpy.gocompat.duration import DurationError, parse_duration_ns
from consulpy.gocompat.json_errors import GoError as GoError
from consulpy.gocompat.json_errors import Mismatch as Mismatch
from consulpy.gocompat.json_errors import NewerField as NewerField
from consulpy.gocompat.json_errors import UnknownField as UnknownField
from consulpy.gocompat.json_errors import mismatch as mismatch

_R = TypeVar("_R", bound=Record)

_INT64: Final = 1 << 63
#: Whole numbers up to it are exact as float64.
_EXACT: Final = 1 << 53
#: Similarity (0 to 1) from which a name counts as a misspelling of another one.
_SIMILARITY_MIN: Final = 0.65
#: Unknown names of a body that are compared so, and their length: each costs a tenth of a millisecond.
_COMPARED_MAX, _COMPARED_LENGTH_MAX = 50, 64

#: Durations are int64 nanoseconds.
_DURATION_END: Final = 2**63

#: A number with a fraction or an exponent.
_FLOAT: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)")
#: The body that was parsed last, for the errors of its decoding; "" if it is longer than `_QUOTED_MAX` characters.
_parsed: Final = [""]
_QUOTED_MAX: Final = 65536


def loads(body: bytes) -> Any:
    """Parse the first JSON value of `body`; what follows it is ignored. Raises `GoError` with the position of the
    error.
    """
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise GoError("EOF")
    _parsed[0] = text if len(text) <= _QUOTED_MAX else ""
    try:
        return first_value(text)
    except JsonError as fault:
        if fault.at_end:
            raise GoError("unexpected EOF") from None
        if fault.position < 0:
            raise GoError(f"json: {fault}" if str(fault).startswith("cannot") else str(fault)) from None
        before, said = text[: fault.position], str(fault).partition(": line ")[0]
        position = f"line {before.count(chr(10)) + 1}, column {fault.position - before.rfind(chr(10))}"
        raise GoError(f"invalid character {text[fault.position]!r} at {position}: {said.lower()}") from None


def _as_written(value: float) -> str:
    """A number as the body has it that was parsed last: Go's errors repeat it so."""
    if isinstance(value, float):
        for found in _FLOAT.finditer(_parsed[0]):
            if float(found[0]) == value:
                return found[0]
    return str(value)


def decode_duration(value: Any) -> int:
    """Nanoseconds of a JSON duration: a number of them, or text such as `1h30m`. Other types give 0, as in Consul.
    Raises `GoError`.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return 0
    if not isinstance(value, str):
        return nanoseconds(value)
    try:
        return parse_duration_ns(value)
    except DurationError as error:
        raise GoError(str(error)) from None


def nanoseconds(value: float) -> int:
    """A JSON number of nanoseconds. Raises `GoError` if it does not fit into an int64; Go makes -2^63 of it."""
    if not -_DURATION_END <= value < _DURATION_END:
        raise GoError(f"a duration of {value:.3g} ns does not fit into 64 bits")
    return int(value)


def decode_bytes(value: Any) -> bytes:
    """Decode a `[]byte`: a text in base64, or a list of numbers below 256. Raises `GoError`."""
    if isinstance(value, list):
        return bytes(_BYTE(each) if each is not None else 0 for each in value)
    if not isinstance(value, str):
        raise mismatch(value, "[]uint8")
    try:
        return decode_base64(value)
    except ValueError:
        raise GoError("illegal base64 data at input byte 0") from None


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """Fields and types by which a record is decoded, as Go decodes its struct.

    `name`: Go's name of the struct, with its package. `custom`: whether the struct has an `UnmarshalJSON` of its own;
    errors inside then name only the field that contains it. `durations`: fields (by Go name) that are durations;
    `strict_durations`: durations for which other types than texts and numbers are errors, not 0. `unsigned`: fields
    of type uint64; `types`: fields whose type has another name. `aliases`: other spellings (lower case) -> Go name;
    the proper spelling has precedence. `without`: fields that are not accepted. `nulls`: fields whose decoder gets
    null too. `ignored`: names of texts that are accepted and not used. `newer`: names of later versions
    (`newer_fields`), also of fields that are honoured. `inner`: shapes of contained records. `readers`: functions that
    decode the values of fields (by Go name). `strict`: whether an unknown member is an error. `foreign_allowed`: only
    one similar to a field's name is an error.
    """

    name: str = ""
    custom: bool = False
    durations: frozenset[str] = frozenset()
    strict_durations: frozenset[str] = frozenset()
    unsigned: frozenset[str] = frozenset()
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    without: frozenset[str] = frozenset()
    nulls: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    newer: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inner: "Mapping[type[Record], Shape]" = dataclasses.field(default_factory=dict)
    readers: "Mapping[str, _Read]" = dataclasses.field(default_factory=dict)
    strict: bool = True
    foreign_allowed: bool = False
    _members: "dict[type[Record], dict[str, _Member]]" = dataclasses.field(default_factory=dict, init=False)

    @property
    def struct(self) -> str:
        """The struct's name in errors."""
        return "" if self.custom else self.name.rpartition(".")[2]

    def of(self, cls: type[Record]) -> "Shape":
        """The shape of a contained record."""
        found = self.inner.get(cls)
        return found if found is not None else _STRICT if self.strict else _LENIENT

    def members(self, cls: type[Record]) -> "dict[str, _Member]":
        """The members of a `cls` in JSON, by name as written and in lower case."""
        known = self._members.get(cls)
        if known is None:
            known = self._members[cls] = {}
            fields = {member.go: member for member in _members_of(cls, self)}
            for go_name, member in fields.items():
                name = go_name.lower()
                if go_name not in self.without and name not in self.aliases:
                    known[go_name] = known[name] = member
            for name, go_name in self.aliases.items():
                if go_name in fields:
                    known[name] = dataclasses.replace(fields[go_name], go=name, is_alias=True)
        return known


#: Decodes a value that is not null.
_Read = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    """A field and the function that decodes its values; those of type `exactly` are used unchanged."""

    attribute: str
    go: str
    read: _Read
    exactly: type
    is_alias: bool = False
    is_newer: bool = False  # any value that says nothing is as null
    has_nil: bool = False  # null empties it; else null leaves the value of the same name before it
    merges: bool = False  # an object adds to the one of the same name before it


def _members_of(cls: type[Record], shape: Shape) -> list[_Member]:
    hints = typing.get_type_hints(cls)
    members = []
    for field in dataclasses.fields(typing.cast(Any, cls)):
        go_name = field.metadata.get("go") or camel(field.name)
        hint = hints[field.name]
        kind = _without_none(hint)
        go_type, exactly = shape.types.get(go_name, ""), _Nothing
        if go_name in shape.strict_durations:
            read: _Read = _strict_duration
        elif go_name in shape.durations:
            read = decode_duration
        elif go_name in shape.readers:
            read = shape.readers[go_name]
        elif go_name in shape.unsigned:
            read = _unsigned(go_type or "uint64")
        else:
            read, exactly = _reader(kind, shape, go_type), kind if kind in (str, bool) else _Nothing
        has_nil = kind is Any or hint is not kind or go_name in shape.durations
        known = {"is_newer": go_name.lower() in shape.newer, "has_nil": has_nil, "merges": kind is not Any}
        members.append(_Member(field.name, go_name, read, exactly, **known))
    return members


def _strict_duration(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise GoError(f"strconv.ParseFloat: parsing {json.dumps(json.dumps(value))}: invalid syntax")
    return decode_duration(value)


class _Nothing:
    """A type without values."""


_LENIENT: Final = Shape(strict=False)
_STRICT: Final = Shape()


def decode(cls: type[_R], raw: Any, shape: Shape) -> _R:
    """Decode parsed JSON; null gives an empty record. Raises `GoError`."""
    record = cls()
    if raw is None:
        return record
    if not isinstance(raw, dict):
        raise mismatch(raw, shape.name or f"structs.{cls.__name__}")
    members = shape.members(cls)
    aliased: list[tuple[_Member, Any]] = []
    unknown = 0
    given: dict[str, Any] = {}
    for key, value in raw.pairs if type(raw) is Repeated else raw.items():
        member = members.get(key) or members.get(key.lower())
        if member is None:
            if shape.strict:
                unknown += 1
                _refuse_unknown(key, value, shape, members if unknown <= _COMPARED_MAX else ())
        elif value is None and member.go not in shape.nulls and member.attribute not in given:
            continue
        elif member.is_alias:
            if value is not None:
                aliased.append((member, value))
        else:
            if member.attribute in given and member.go not in shape.nulls:
                value = _repeated(member, given[member.attribute], value)
            given[member.attribute] = value
            if (value is None and member.go not in shape.nulls) or (member.is_newer and not value):
                setattr(record, member.attribute, getattr(cls(), member.attribute))
                continue
            fits = type(value) is member.exactly
            setattr(record, member.attribute, value if fits else _read_field(member, value, shape))
    for member, value in aliased:
        read = _read_field(member, value, shape)
        if not getattr(record, member.attribute):
            setattr(record, member.attribute, read)
    return record


def _repeated(member: _Member, before: Any, value: Any) -> Any:
    """The value of a field whose name comes again, as Go has it, which decodes each into the same struct."""
    if value is None:
        return None if member.has_nil else before
    if member.merges and isinstance(before, dict) and isinstance(value, dict):
        return Repeated([pair for each in (before, value) for pair in getattr(each, "pairs", each.items())])
    return value


def _read_field(member: _Member, value: Any, shape: Shape) -> Any:
    try:
        return member.read(value)
    except Mismatch as error:
        error.within(shape.struct, member.go)
        raise


def _refuse_unknown(key: str, value: Any, shape: Shape, known: Iterable[str]) -> None:
    """Raises `GoError` for a member that is neither ignored nor an empty newer one."""
    name = key.lower()
    if (ignored := next((each for each in shape.ignored if each.lower() == name), None)) is not None:
        if not isinstance(value, str | None):
            error = mismatch(value, "string")
            error.within(shape.struct, ignored)
            raise error
        return
    since = newer_fields.version_of(name, shape.newer)
    if since is None:
        if shape.foreign_allowed and not resembles(name, known):
            return
        raise UnknownField(f'json: unknown field "{key}"')
    if not newer_fields.is_empty_value(name, value):
        raise NewerField(f'json: unknown field "{key}" - {newer_fields.reason(name, since)}')


def resembles(name: str, known: Iterable[str]) -> bool:
    """Whether a name in lower case is probably a misspelling of one of `known`."""
    import difflib  # for unknown names only

    return len(name) <= _COMPARED_LENGTH_MAX and bool(
        difflib.get_close_matches(name, list(known), n=1, cutoff=_SIMILARITY_MIN)
    )


def _without_none(kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _reader(kind: Any, outer: Shape, named: str = "") -> _Read:
    """The function that decodes values of type `kind` in a record of shape `outer`. `named`: Go's name of the type."""
    if kind is Any:
        return untyped
    if kind is int:
        return _integer
    if kind is float:
        return _number
    if kind in _SCALARS:
        accepted, go_type = _SCALARS[kind]
        return _scalar(accepted, named or go_type)
    if isinstance(kind, type) and issubclass(kind, Record):
        return record_reader(kind, outer.of(kind))
    if typing.get_origin(kind) is list:
        return _list(kind, outer, named)
    if typing.get_origin(kind) is dict:
        return _map(kind, outer, named)
    return _never_in_requests


def untyped(value: Any) -> Any:
    """A value of no known type, with whole numbers that a float64 cannot hold exactly as floats: Go reads all as such.

    What the wire's integers cannot hold would else be accepted here, and fail when it is sent.
    """
    if type(value) is int:
        return value if -_EXACT <= value <= _EXACT else _number(value)
    if isinstance(value, dict):
        return {key: untyped(each) for key, each in value.items()}
    return [untyped(each) for each in value] if isinstance(value, list) else value


_SCALARS: Final[dict[Any, tuple[tuple[type, ...], str]]] = {
    str: ((str,), "string"),
    bool: ((bool,), "bool"),
}


def _scalar(accepted: tuple[type, ...], go_type: str) -> _Read:
    def read(value: Any) -> Any:
        if type(value) not in accepted:
            raise mismatch(value, go_type)
        return value

    return read


def record_reader(kind: type[Record], shape: Shape) -> _Read:
    """The function that decodes values as records of this kind."""

    def read(value: Any) -> Any:
        try:
            return decode(kind, value, shape)
        except Mismatch as error:
            if shape.custom:
                error.clear_path()
            raise

    return read


def _list(kind: Any, outer: Shape, named: str) -> _Read:
    item = _without_none(typing.get_args(kind)[-1])
    read_item = _reader(item, outer, named[2:] if named.startswith("[]") else "")
    go_type = named or _go_type(kind, outer)

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise mismatch(value, go_type)
        return [read_item(each) if each is not None else _zero(item) for each in value]

    return read


def _map(kind: Any, outer: Shape, named: str) -> _Read:
    item = _without_none(typing.get_args(kind)[-1])
    read_item, go_type = _reader(item, outer), named or _go_type(kind, outer)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise mismatch(value, go_type)
        return {key: read_item(each) if each is not None else _zero(item) for key, each in value.items()}

    return read


def _never_in_requests(value: Any) -> Any:
    raise AssertionError(f"no request has a {type(value).__name__} here")


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise mismatch(value, "float64")
    try:
        return float(value)  # also a whole number: the wire's integers have 64 bits
    except OverflowError:
        raise Mismatch(f"number {value}", "float64") from None


def _integer(value: Any) -> int:
    return _whole(value, "int", -_INT64, _INT64)


def _unsigned(go_type: str, above: int = 2 * _INT64) -> _Read:
    return lambda value: _whole(value, go_type, 0, above)


_BYTE: Final = _unsigned("uint8", 256)


def _whole(value: Any, go_type: str, least: int, above: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise mismatch(value, go_type)
    if isinstance(value, float) or not least <= value < above:
        raise Mismatch(f"number {_as_written(value)}", go_type)
    return value


def _zero(kind: Any) -> Any:
    return kind() if kind in (str, int, bool, float) or (isinstance(kind, type) and issubclass(kind, Record)) else None


def _go_type(kind: Any, outer: Shape) -> str:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return "[]" + _go_type(_without_none(args[0]), outer)
    if origin is dict:
        return "map[string]" + _go_type(_without_none(args[1]), outer)
    if isinstance(kind, type) and issubclass(kind, Record):
        return outer.of(kind).name or f"structs.{kind.__name__}"
    return {str: "string", int: "int", bool: "bool", float: "float64"}.get(kind, "interface {}")
