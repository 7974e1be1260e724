"""Records: each field is declared once, with its Go type, for its RPC and its JSON form.

A record is a slotted dataclass whose fields are in the order in which Consul declares (and so prints) them. Generated
from the annotations:

- `to_wire` / `from_wire`: the msgpack struct, keys sorted, all fields present, texts as raw (docs/wire/rpc.md 4);
- `to_json`: a dict in declared order, ready for `orjson`, with Consul's omissions.

Types: `str`, `bytes` (base64 in JSON), `bool`, `int`, `float`, other records, `list[T]`, `dict[str, T]`, each with `|
None` where Go's value may be nil. Durations are `int` nanoseconds. `Any` is passed through.
"""

import base64
import dataclasses
import types
import typing
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

import msgpack

from consulpy.codec.codegen import Source
from consulpy.codec.coerce import (
    CONTAINER,
    WrongType,
    as_bool,
    as_bytes,
    as_float,
    as_int,
    as_list,
    as_map,
    as_text,
    as_texts,
    in_order,
)
from consulpy.codec.msgpack import pack, text, unpack
from consulpy.errors import WireError


def go(
    name: str | None = None,
    *,
    json: str | None = None,
    omit_empty: bool = False,
    inline: bool = False,
    json_as: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
    is_optional: bool = False,
    **default: Any,
) -> Any:
    """Declare a dataclass field with a Go name.

    `name`: the Go name (default: the field's name in camel case). `json`: the JSON name if it differs; `"-"` leaves the
    field out. `omit_empty`: left out of the JSON while empty. `inline`: an embedded struct, whose fields appear in the
    outer map. `json_as`: converts the value for JSON. `decode`: converts an unpacked value of the wire, instead of the
    conversion of the field's type. `is_optional`: also on the wire left out while empty, as Consul 1.8.7 does not know
    it. `default` / `default_factory` as in dataclasses.
    """
    metadata = {
        "go": name,
        "json": json,
        "omit_empty": omit_empty,
        "inline": inline,
        "json_as": json_as,
        "decode": decode,
        "is_optional": is_optional,
    }
    return dataclasses.field(metadata=metadata, **default)


#: Go writes whole numbers from here on with an exponent.
_PLAIN_MAX = 1e21


def camel(name: str) -> str:
    """`service_name` -> `ServiceName`."""
    return "".join(part.capitalize() for part in name.split("_"))


@dataclasses.dataclass(slots=True, frozen=True)
class _Field:
    name: str
    go: str
    json: str
    omit_empty: bool
    is_pointer: bool  # to a scalar: nil is empty, 0 and False are not
    inline: bool
    is_optional: bool
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any] | None  # None: msgpack takes the value unchanged
    render: Callable[[Any], Any] | None  # None: orjson takes the value unchanged
    default: Any  # MISSING if each new record makes its own
    factory: Any
    kind: Any


class Record:
    """Base of all records; see the module."""

    __slots__ = ()

    #: JSON member names that a subclass's own `to_json` adds.
    JSON_NAME: ClassVar[str] = ""

    def to_wire(self) -> dict[str, Any]:
        """The Go struct as a dict with sorted keys."""
        wire: dict[str, Any] = _writer(type(self))(self)
        return wire

    def to_sparse(self) -> Any:
        """As `to_wire`, without fields whose default is Go's zero value: faster to write and to read.

        `from_wire` reads it, and so does Consul, which takes zero for what is missing: a log that was written so may be
        replicated later.
        """
        return _sparse_writer(type(self))(self)

    def copied(self) -> Self:
        """A shallow copy, several times as fast as `dataclasses.replace`."""
        copy: Self = _copier(type(self))(self)
        return copy

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """Decode an unpacked value (texts still bytes). Unknown keys are ignored, missing ones get their zero value.

        Raises `WireError` naming the field that has the wrong type.
        """
        if type(raw) is dict:
            read: Self = _reader(cls)(raw)
            return read
        if raw is None:
            return cls()
        if isinstance(raw, list):  # a struct may come as an array in declared order
            raw = dict(zip(go_names(cls), raw, strict=False))
        if not isinstance(raw, dict):
            raise WrongType(f"{cls.__name__}: a map was expected", raw, CONTAINER.format("struct"))
        record: Self = _reader(cls)(raw)
        return record

    def pack(self) -> bytes:
        """The struct as msgpack bytes."""
        return pack(self.to_wire())

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """Decode msgpack bytes. Raises `WireError`."""
        return cls.from_wire(unpack(data))

    def to_json(self) -> dict[str, Any]:
        """The record in Consul's JSON form, for `orjson.dumps`."""
        shown: dict[str, Any] = {}
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if field.inline:
                shown.update(value.to_json())
            elif field.json != "-" and not (field.omit_empty and not value and (value is None or not field.is_pointer)):
                shown[field.json] = value if field.render is None or value is None else field.render(value)
        return shown


_Compiled = TypeVar("_Compiled")


class _PerClass(dict[Any, _Compiled]):
    def __init__(self, compile_class: Callable[[Any], _Compiled]) -> None:
        self._compile_class = compile_class

    def __missing__(self, cls: Any) -> _Compiled:
        found = self[cls] = self._compile_class(cls)
        return found


def _once_per_class(compile_class: Callable[[Any], _Compiled]) -> Callable[[Any], _Compiled]:
    """Compile each record class once (`functools.cache`, whose stub refuses unhashable instances' classes)."""
    return _PerClass(compile_class).__getitem__


@_once_per_class
def _fields(cls: type[Record]) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(typing.cast(Any, cls)):
        name = field.metadata.get("go") or camel(field.name)
        kind = _strip_none(hints[field.name])
        render = field.metadata.get("json_as") or _renderer(kind)
        found.append(
            _Field(
                name=field.name,
                go=name,
                json=field.metadata.get("json") or name,
                omit_empty=field.metadata.get("omit_empty", False),
                is_pointer=kind in (int, bool, float) and field.default is None,
                inline=field.metadata.get("inline", False),
                is_optional=field.metadata.get("is_optional", False),
                decode=field.metadata.get("decode") or _decoder(kind),
                encode=_encoder(kind),
                render=render,
                default=field.default,
                factory=field.default_factory,
                kind=kind,
            )
        )
    return tuple(found)


@_once_per_class
def record_lists(cls: type[Record]) -> tuple[tuple[str, str], ...]:
    """Name and Go name of each field that is a list of records and encoded as one by `to_wire`."""
    if cls.to_wire is not Record.to_wire:
        return ()
    return tuple(
        (field.name, field.go)
        for field in _fields(cls)
        if typing.get_origin(field.kind) is list and _is_record(typing.get_args(field.kind)[0]) and not field.inline
    )


@_once_per_class
def _writer(cls: type[Record]) -> Callable[[Any], Any]:
    """Generate `to_wire` of a class."""
    source = Source("to_wire", "record")
    optional = []
    source.add("wire = {")
    for path, field in _leaves_in_order(cls):
        value = f"record.{path}"
        if field.encode is not None:
            value = f"None if {value} is None else {source.expression(field.encode)}({value})"
        if field.is_optional:
            is_set = f"record.{path} is not None" if field.default is None else f"record.{path}"
            optional.append(f"if {is_set}: wire = dict(sorted([*wire.items(), ({field.go!r}, {value})]))")
        else:
            source.add(f"{field.go!r}: {value},", 2)
    source.add("}")
    for line in optional:
        source.add(line)
    source.add("return wire")
    return source.function()


@_once_per_class
def _sparse_writer(cls: type[Record]) -> Callable[[Any], Any]:
    """Generate `to_sparse` of a class; `to_wire` for one with its own encoding."""
    if cls.to_wire is not Record.to_wire:
        return cls.to_wire
    source = Source("to_sparse", "record")
    source.add("wire = {}")
    for path, field in _leaves_in_order(cls):
        source.add(f"value = record.{path}")
        encode = _encoder(field.kind, sparse=True)
        encoded = "value" if encode is None else f"{source.expression(encode)}(value)"
        if field.factory is field.kind and _is_record(field.kind):  # nothing is left of a default one
            source.add(f"if value is not None and (value := {encoded}):")
            encoded = "value"
        elif field.factory in (list, dict) or (field.default is not None and not field.default):
            source.add("if value:")
        elif isinstance(field.default, bytes):  # a time
            source.add(f"if value is not None and value != {source.expression(field.default)}:")
        else:  # without a default, or with one that is not Go's zero value
            source.add("if value is not None:")
        source.add(f"wire[{field.go!r}] = {encoded}", 2)
    source.add("return wire")
    return source.function()


@_once_per_class
def _copier(cls: type[Record]) -> Callable[[Any], Any]:
    """Generate `copied` of a class."""
    source = Source("copied", "record")
    values = ", ".join(f"record.{field.name}" for field in _fields(cls))
    source.add(f"return {source.expression(cls)}({values})")
    return source.function()


@_once_per_class
def _reader(cls: type[Record]) -> Callable[[Any], Any]:
    """Generate `from_wire` of a class, for a dict."""
    source = Source("from_wire", "raw")
    source.add("key, get = '', raw.get")
    source.add("try:")
    source.add("pass", 2)
    variables: dict[str, str] = {}
    for path, field in _leaves_in_order(cls):
        variable = variables[path] = f"value{len(variables)}"
        missing = source.expression(field.default)
        if field.default is dataclasses.MISSING:
            missing = source.expression(field.factory) + "()"
        source.add(f"if ({variable} := get({field.go.encode()!r})) is None:", 2)
        source.add(f"{variable} = {missing}", 3)
        source.add("else:", 2)
        source.add(f"key = {field.go!r}", 3)
        source.add(f"{variable} = {_decoded(source, field, variable)}", 3)
    source.add(f"except {source.expression(WireError)} as error:")
    source.add(f"raise error.within(key + ': ').within({cls.__name__ + '.'!r}) from None", 2)
    source.add(f"return {_construction(source, cls, variables)}")
    return source.function()


def _decoded(source: Source, field: _Field, variable: str) -> str:
    """An expression that decodes a value; inlined for texts, which most values are."""
    decoded = f"{source.expression(field.decode)}({variable})"
    if field.kind is str:
        return f"{variable}.decode('utf-8', 'surrogateescape') if type({variable}) is bytes else {decoded}"
    return decoded


def _construction(source: Source, cls: type[Record], variables: dict[str, str], outer: str = "") -> str:
    """An expression that constructs a record and those embedded in it from the values at all paths."""
    values = []
    for field in _fields(cls):
        path = outer + field.name
        values.append(_construction(source, field.kind, variables, f"{path}.") if field.inline else variables[path])
    return f"{source.expression(cls)}({', '.join(values)})"


def _leaves(cls: type[Record]) -> list[tuple[str, _Field]]:
    """(attribute path, field) of all fields, embedded structs flattened."""
    leaves: list[tuple[str, _Field]] = []
    for field in _fields(cls):
        inner = _leaves(field.kind) if field.inline else [("", field)]
        leaves += [(f"{field.name}.{path}" if path else field.name, leaf) for path, leaf in inner]
    return leaves


def _leaves_in_order(cls: type[Record]) -> list[tuple[str, _Field]]:
    return sorted(_leaves(cls), key=lambda leaf: leaf[1].go.encode())


def go_names(cls: type[Record]) -> list[bytes]:
    """The Go names of all fields as declared, embedded structs flattened."""
    return [field.go.encode() for _, field in _leaves(cls) if not field.is_optional]


def attributes(cls: type[Record]) -> dict[str, str]:
    """The attribute of each field, by its Go name; embedded structs are left out."""
    return {field.go: field.name for field in _fields(cls) if not field.inline}


def _strip_none(kind: Any) -> Any:
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        parts = [part for part in typing.get_args(kind) if part is not type(None)]
        assert len(parts) == 1, f"a field has one Go type, not {kind}"
        return parts[0]
    return kind


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _decoder(kind: Any) -> Callable[[Any], Any]:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is str:
        return as_text
    if kind is bytes:
        return as_bytes
    if kind is bool:
        return as_bool
    if kind is int:
        return as_int
    if kind is float:
        return as_float
    if kind is Any:
        return lambda value: value
    if _is_record(kind):
        decode: Callable[[Any], Any] = kind.from_wire
        return decode
    if kind == list[str]:
        return as_texts
    if origin is list:
        item = _decoder(_strip_none(args[0]))
        if args[0] is not _strip_none(args[0]):  # list[T | None]: a nil stays nil
            return lambda value: as_list(value, lambda each: None if each is None else item(each))
        return lambda value: as_list(value, item)
    if origin is dict:
        item = _decoder(_strip_none(args[1]))
        if _is_record(args[1]):  # no pointers: a nil is an empty struct
            return lambda value: {key: args[1]() if each is None else each for key, each in as_map(value, item).items()}
        return lambda value: as_map(value, item)
    raise AssertionError(f"no Go type for {kind}")


def _encoder(kind: Any, *, sparse: bool = False) -> Callable[[Any], Any] | None:
    """The function that encodes values of a type for msgpack; None if they are unchanged."""
    if _is_record(kind):
        return (lambda value: value.to_sparse()) if sparse else (lambda value: value.to_wire())
    return _nested(kind, partial(_encoder, sparse=sparse), sort=True)


def _renderer(kind: Any) -> Callable[[Any], Any] | None:
    """The function that converts values of a type for orjson; None if they are unchanged."""
    if kind is bytes:
        return lambda value: base64.b64encode(value).decode()
    if kind is Any:
        return plain
    if _is_record(kind):
        return lambda value: value.to_json()
    return _nested(kind, _renderer, sort=False)


def _time_json(stamp: msgpack.Timestamp) -> str:
    """RFC 3339, exact to the microsecond; the zero time for one that no calendar has."""
    try:
        shown: datetime = stamp.to_datetime()
    except OverflowError:
        shown = datetime.min
    return shown.replace(tzinfo=None).isoformat() + "Z"


def plain(value: Any) -> Any:
    """Convert an untyped value, whose texts may be bytes from the wire, for JSON."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _PLAIN_MAX:
        return int(value)  # as Go shows a float64
    if isinstance(value, msgpack.Timestamp):
        return _time_json(value)
    if isinstance(value, msgpack.ExtType):
        return {"Tag": value.code & 0xFF, "Data": base64.b64encode(value.data).decode()}  # as Go shows a `RawExt`
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return in_order({str(plain(key)): plain(each) for key, each in value.items()})
    return value


def _nested(kind: Any, of: Callable[[Any], Callable[[Any], Any] | None], *, sort: bool) -> Callable[[Any], Any] | None:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        item = of(_strip_none(args[0]))
        return None if item is None else lambda value: [None if each is None else item(each) for each in value]
    if origin is dict:
        return _nested_map(of(_strip_none(args[1])), sort)
    return None


def _nested_map(item: Callable[[Any], Any] | None, sort: bool) -> Callable[[Any], Any] | None:
    if item is None:
        return (lambda value: dict(sorted(value.items()))) if sort else None
    return lambda value: {key: None if each is None else item(each) for key, each in sorted(value.items())}
