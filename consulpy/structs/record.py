"""Records: each field is declared once, with its Go type, and has two spellings, that of the RPC and that of the JSON.

A record is a slotted dataclass whose fields stand in the order in which Consul declares (and so prints) them. From the
annotations come:

- `to_wire` / `from_wire`: the msgpack struct, keys sorted, all fields present, texts as raw (docs/wire/rpc.md 4);
- `to_json`: a dict in declared order, ready for `orjson`, with Consul's omissions.

Types: `str`, `bytes` (base64 in JSON), `bool`, `int`, `float`, other records, `list[T]`, `dict[str, T]`, each with
`| None` where Go's value may be nil. Durations are `int` nanoseconds. `Any` is carried as it is.
"""

import base64
import dataclasses
import types
import typing
from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, Self, TypeVar

from consulpy.codec.msgpack import pack, text, unpack
from consulpy.errors import WireError


def go(
    name: str | None = None,
    *,
    json: str | None = None,
    omit_empty: bool = False,
    inline: bool = False,
    json_as: Callable[[Any], Any] | None = None,
    **default: Any,
) -> Any:
    """A dataclass field that has a Go name.

    `name`: the Go name (default: the field's name in camel case). `json`: the JSON name if it differs; `"-"` leaves the
    field out. `omit_empty`: left out of the JSON while empty. `inline`: an embedded struct, whose fields appear in the
    outer map. `json_as`: turns the value into what JSON shows. `default` / `default_factory` as in dataclasses.
    """
    metadata = {"go": name, "json": json, "omit_empty": omit_empty, "inline": inline, "json_as": json_as}
    return dataclasses.field(metadata=metadata, **default)


def camel(name: str) -> str:
    """`service_name` -> `ServiceName`."""
    return "".join(part.capitalize() for part in name.split("_"))


@dataclasses.dataclass(slots=True, frozen=True)
class _Field:
    name: str
    go: str
    json: str
    omit_empty: bool
    inline: bool
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any] | None  # None: the value is what msgpack wants
    render: Callable[[Any], Any] | None  # None: the value is what orjson wants
    kind: Any


class Record:
    """The base of all records; see the module's text."""

    __slots__ = ()

    #: Names of JSON members that only a subclass's own rendering knows.
    JSON_NAME: ClassVar[str] = ""

    def to_wire(self) -> dict[str, Any]:
        """The Go struct as a dict with sorted keys."""
        form = _wire(type(self))
        wire = dict(zip(form.keys, form.values(self), strict=True))
        for key, encode in form.encoders:
            value = wire[key]
            if value is not None:
                wire[key] = encode(value)
        return wire

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """The record in an unpacked value (texts still bytes). Unknown keys are ignored, missing ones stay zero.

        Raises `WireError` naming the field that has the wrong type.
        """
        record = cls()
        if raw is None:
            return record
        if isinstance(raw, list):  # a struct may come as an array, in declared order
            raw = dict(zip(_readers(cls), raw, strict=False))
        if not isinstance(raw, dict):
            raise WrongType(f"{cls.__name__}: a map was expected", raw, _CONTAINER.format("struct"))
        readers = _readers(cls)
        for key, value in raw.items():
            found = readers.get(key)
            if found is not None and value is not None:
                owner, name, decode = found
                try:
                    setattr(attrgetter(owner)(record) if owner else record, name, decode(value))
                except WireError as error:
                    raise error.within(f"{key.decode()}: ").within(f"{cls.__name__}.") from None
        return record

    def pack(self) -> bytes:
        """The struct as msgpack bytes."""
        return pack(self.to_wire())

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """The record in msgpack bytes. Raises `WireError`."""
        return cls.from_wire(unpack(data))

    def to_json(self) -> dict[str, Any]:
        """The record as Consul's HTTP API shows it, for `orjson.dumps`."""
        shown: dict[str, Any] = {}
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if field.inline:
                shown.update(value.to_json())
            elif field.json != "-" and not (field.omit_empty and not value):
                shown[field.json] = value if field.render is None or value is None else field.render(value)
        return shown


_Compiled = TypeVar("_Compiled")


def _once_per_class(compile_class: Callable[[Any], _Compiled]) -> Callable[[Any], _Compiled]:
    """Compile each record class once (`functools.cache`, whose stub refuses unhashable instances' classes)."""
    known: dict[Any, _Compiled] = {}

    def look_up(cls: Any) -> _Compiled:
        found = known.get(cls)
        if found is None:
            found = known[cls] = compile_class(cls)
        return found

    return look_up


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
                inline=field.metadata.get("inline", False),
                decode=_decoder(kind),
                encode=_encoder(kind),
                render=render,
                kind=kind,
            )
        )
    return tuple(found)


@dataclasses.dataclass(slots=True, frozen=True)
class _Wire:
    """How a record is written: its Go names in byte order, embedded structs flattened; how all values are got at once;
    and which of them are not yet what msgpack wants."""

    keys: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    encoders: tuple[tuple[str, Callable[[Any], Any]], ...]


@_once_per_class
def _wire(cls: type[Record]) -> _Wire:
    found = sorted(_leaves(cls), key=lambda leaf: leaf[1].go.encode())
    paths = [path for path, _ in found]
    return _Wire(
        tuple(field.go for _, field in found),
        attrgetter(*paths) if len(paths) > 1 else lambda record: tuple(attrgetter(path)(record) for path in paths),
        tuple((field.go, field.encode) for _, field in found if field.encode is not None),
    )


def _leaves(cls: type[Record]) -> list[tuple[str, _Field]]:
    """(path of attributes, field), those of embedded structs in their place."""
    leaves: list[tuple[str, _Field]] = []
    for field in _fields(cls):
        inner = _leaves(field.kind) if field.inline else [("", field)]
        leaves += [(f"{field.name}.{path}" if path else field.name, leaf) for path, leaf in inner]
    return leaves


@_once_per_class
def _readers(cls: type[Record]) -> dict[bytes, tuple[str, str, Callable[[Any], Any]]]:
    """Go name -> (path of the struct that is embedded and has the field, or "", the field's name, how it is read)."""
    readers = {}
    for path, field in _leaves(cls):
        owner, _, name = path.rpartition(".")
        readers[field.go.encode()] = (owner, name, field.decode)
    return readers


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
        return _text
    if kind is bytes:
        return _bytes
    if kind is bool:
        return _bool
    if kind is int:
        return _int
    if kind is float:
        return _float
    if kind is Any:
        return lambda value: value
    if _is_record(kind):
        decode: Callable[[Any], Any] = kind.from_wire
        return decode
    if origin is list:
        item = _decoder(_strip_none(args[0]))
        if args[0] is not _strip_none(args[0]):  # list[T | None]: a nil stays one
            return lambda value: _list(value, lambda each: None if each is None else item(each))
        return lambda value: _list(value, item)
    if origin is dict:
        item = _decoder(_strip_none(args[1]))
        return lambda value: _map(value, item)
    raise AssertionError(f"no Go type for {kind}")


#: What Go's decoder says (docs/wire/rpc.md 16). `{byte}`: the first byte of the value, `{kind}`: its kind.
_NO_TEXT = "readContainerLen: Unrecognized descriptor byte: hex: {byte:x}, dec: {byte}"
_NO_NUMBER = "Unhandled single-byte unsigned integer value: Unrecognized descriptor byte: {byte:x}"
_NO_BOOLEAN = "Invalid single-byte value for bool: Unrecognized descriptor byte: {byte:x}"
_CONTAINER = "Only encoded map or array can be decoded into a {}. (valueType: {{kind:x}})"


class WrongType(WireError):
    """A value of another type than its field has. `go`: what Go's decoder says about it."""

    def __init__(self, expected: str, value: Any, go_text: str) -> None:
        super().__init__(f"{expected}, not {type(value).__name__}")
        byte = _first_byte(value)
        self.go = go_text.format(byte=byte, kind=_go_kind(value, byte))


def _first_byte(value: Any) -> int:
    """How a value begins on the wire; large ones are not packed for it."""
    if isinstance(value, bytes | str):
        return 0xA0 + len(value) if len(value) < 32 else 0xDA if len(value) < 2**16 else 0xDB
    if isinstance(value, list | dict):
        few, many = (0x90, 0xDC) if isinstance(value, list) else (0x80, 0xDE)
        return few + len(value) if len(value) < 16 else many + (len(value) >= 2**16)
    return pack(value)[0]


def _go_kind(value: Any, byte: int) -> int:
    """The number that go-msgpack has for a kind of value."""
    if isinstance(value, bool):
        return 5
    if isinstance(value, int):
        return 3 if 0xCC <= byte <= 0xCF else 2
    return {float: 4, bytes: 6, str: 6, dict: 9, list: 10}.get(type(value), 12)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, str):  # already decoded: our own end in the same process
        return value
    raise WrongType("text was expected", value, _NO_TEXT)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    raise WrongType("bytes were expected", value, _CONTAINER.format("slice"))


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):  # Go takes these
        return bool(value)
    raise WrongType("a boolean was expected", value, _NO_BOOLEAN)


def _int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise WrongType("an integer was expected", value, _NO_NUMBER)


def _float(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise WrongType("a number was expected", value, _NO_NUMBER)


def _list(value: Any, item: Callable[[Any], Any]) -> list[Any]:
    if isinstance(value, list):
        return [item(each) for each in value]
    raise WrongType("a list was expected", value, _CONTAINER.format("slice"))


def _map(value: Any, item: Callable[[Any], Any]) -> dict[str, Any]:
    if isinstance(value, dict):
        return {_text(key): None if each is None else item(each) for key, each in value.items()}
    raise WrongType("a map was expected", value, _NO_TEXT)


def _encoder(kind: Any) -> Callable[[Any], Any] | None:
    """How a value becomes what msgpack writes; None where it already is."""
    if _is_record(kind):
        return lambda value: value.to_wire()
    return _nested(kind, _encoder, sort=True)


def _renderer(kind: Any) -> Callable[[Any], Any] | None:
    """How a value becomes what orjson writes; None where it already is."""
    if kind is bytes:
        return lambda value: base64.b64encode(value).decode()
    if kind is Any:
        return _plain
    if _is_record(kind):
        return lambda value: value.to_json()
    return _nested(kind, _renderer, sort=False)


def _plain(value: Any) -> Any:
    """A value without a type, whose texts may still be bytes as they came over the wire."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
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
