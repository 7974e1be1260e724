"""The body of `PUT /v1/config` as a config entry: names in any case, or with underscores; types taken loosely.

Consul decodes it with mapstructure; the texts of errors are that library's and Consul's.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from consulpy.codec.record import Record, camel
from consulpy.connect.config_entries.newer import unserved_field_errors
from consulpy.connect.config_entries.numbers import UINT32
from consulpy.gocompat import newer_fields
from consulpy.gocompat.duration import DurationError, parse_duration_ns
from consulpy.gocompat.json_decode import GoError, nanoseconds, untyped
from consulpy.gocompat.literals import boolean, floating32, integer, unsigned
from consulpy.gocompat.multierror import format_errors
from consulpy.gocompat.weak_text import weak_text
from consulpy.structs.config_entry import KINDS
from consulpy.structs.newer_config_entry import DURATIONS, MESH, NEWER_KINDS, NewerEntry
from consulpy.structs.newer_config_fields import newer_attributes, without_nulls
from consulpy.structs.newer_entry_fields import with_go_names
from consulpy.structs.service import MeshGateway

_DURATIONS: Final = frozenset(
    {
        *("connect_timeout", "request_timeout", "override_connect_timeout"),
        *("idle_timeout", "interval", "base_ejection_time", "ttl"),
    }
)
_WITHOUT_NULLS: Final = frozenset({"arguments"})
_R = TypeVar("_R", bound=Record)
_KINDS: Final = {bool: "bool", str: "string", list: "slice"}
#: Members of an entry that are read past, under these very names: the servers set them.
_INDEXES: Final = ("CreateIndex", "ModifyIndex")


def entry_of(raw: Any, kinds: Mapping[str, type[Any]] = KINDS) -> Any:
    """The entry in a JSON object, of one of the `kinds`. Raises `GoError`."""
    if raw is not None and not isinstance(raw, dict):
        raise GoError(f"'' expected a map, got '{_KINDS.get(type(raw), 'float64')}'")
    if raw is None:
        raise GoError("Payload does not contain a kind/Kind key at the top level")
    if "Kind" not in raw and "kind" not in raw:
        raise GoError("Payload does not contain a kind/Kind key at the top level")
    kind = raw.get("Kind", raw.get("kind"))
    if not isinstance(kind, str):
        raise GoError("Kind value in payload is not a string")
    known = kinds.get(kind)
    if known is None:
        raise GoError(f"invalid config entry kind: {kind}")
    decoder = _Decoder()
    if known is NewerEntry:
        entry: Any = _newer(kind, raw, decoder)
    else:
        entry = decoder.record(known, raw, "")
        entry.kind = kind
    decoder.finish()
    if unserved := list(unserved_field_errors(entry)):
        raise GoError(format_errors(unserved))
    return entry


def _newer(kind: str, raw: dict[str, Any], decoder: "_Decoder") -> NewerEntry:
    """An entry of a newer kind: its fields are known by name, what is in them is kept without its nulls."""
    fields = {name.lower(): name for name in NEWER_KINDS[kind].fields}
    entry = NewerEntry(kind=kind, name=MESH if kind == MESH else "")
    for key, value in raw.items():
        plain_name = key.replace("_", "").lower()
        if plain_name in fields:
            if value is not None:
                entry.body[fields[plain_name]] = _in_ns(with_go_names(without_nulls(value)), key, decoder)
        elif plain_name == "name":
            if kind != MESH or value not in (None, "", MESH):
                entry.name = decoder.scalar("string", value, "Name")
        elif plain_name == "meta":
            entry.meta = decoder.value(dict[str, str], value, "Meta") if value else None
        elif plain_name != "kind":
            decoder.note_unknown(NewerEntry, key, value, key)
    if kind == MESH and entry.name != MESH:
        decoder.unknown.append('invalid config key "Name" - there is one mesh')
    return entry


def _in_ns(value: Any, path: str, decoder: "_Decoder") -> Any:
    """A value without a schema, with the durations that it is known to have as numbers."""
    if isinstance(value, dict):
        return {
            key: decoder.duration(f"{path}.{key}", each) if key in DURATIONS else _in_ns(each, f"{path}.{key}", decoder)
            for key, each in value.items()
        }
    return [_in_ns(each, path, decoder) for each in value] if isinstance(value, list) else value


def weakly_decoded(cls: type[_R], raw: Any) -> _R:
    """A record from a JSON object, types taken loosely. Raises `GoError`."""
    decoder = _Decoder()
    decoded: _R = decoder.record(cls, raw, "")
    decoder.finish()
    return decoded


class _Decoder:
    """Decodes one body: goes on after a fault, and has the whole list of them at the end, as mapstructure has.

    Where there are faults, the decoded values are not to be used.
    """

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self._faults: list[str] = []

    def finish(self) -> None:
        """Raises `GoError` if something was wrong."""
        if self._faults:
            lines = "\n".join(f"* {each}" for each in sorted(self._faults))
            raise GoError(f"{len(self._faults)} error(s) decoding:\n\n{lines}")
        if self.unknown:
            raise GoError(format_errors(self.unknown))

    def record(self, cls: type[Any], raw: Any, path: str) -> Any:
        """A record from an object."""
        record = cls()
        if not isinstance(raw, dict):
            if raw is not None:
                self._mismatch(path, "map", raw)
            return record
        hints, newer = typing.get_type_hints(cls), newer_attributes(cls)
        for key, (name, shown) in self._members(cls, raw, path).items():
            value, inner = raw[key], f"{path}.{shown}" if path else shown
            if value is None or (name in newer and _says_nothing(hints[name], value)):
                continue
            if name in _DURATIONS:
                decoded = self.duration(inner, value)
            elif cls is MeshGateway:
                decoded = self.scalar("string", value, inner, shown_as="structs.MeshGatewayMode")
            elif name in UINT32:
                decoded = self._uint32s(hints[name], value, inner)
            else:
                value = without_nulls(value) if name in _WITHOUT_NULLS else value
                decoded = self.value(hints[name], value, inner)
            setattr(record, name, decoded)
        return record

    def _members(self, cls: type[Any], raw: dict[str, Any], path: str) -> dict[str, tuple[str, str]]:
        """Key -> field and its name in Consul; keys of unknown fields, and of one that is there twice, are noted.

        A key is the field's name in any case, or its form with underscores; the very name goes before the others.
        """
        fields = {}
        for field in dataclasses.fields(cls):
            shown = field.metadata.get("go") or camel(field.name)
            if shown not in _INDEXES:
                fields[shown.lower()] = fields[field.name] = field.name, shown
        found: dict[str, tuple[str, str]] = {}
        taken = set()
        for key in sorted(raw, key=lambda each: fields.get(each.lower(), ("", ""))[1] != each):
            member = fields.get(key.lower())
            if member is not None and member[0] not in taken:
                taken.add(member[0])
                found[key] = member
                continue
            if member is not None and "_" in key:
                key = member[1].lower()  # as Consul translates it
            self.note_unknown(cls, key, raw.get(key), f"{path}.{key}" if path else key)
        return {key: found[key] for key in raw if key in found}

    def note_unknown(self, cls: type[Any], key: str, value: Any, where: str) -> None:
        """Note the error for an unknown field, unless a newer Consul has it and it has no effect."""
        if where in _INDEXES:
            return
        since = newer_fields.version_of(key, newer_fields.fields_of(cls.__name__))
        if since is None:
            self.unknown.append(f'invalid config key "{where}"')
        elif not newer_fields.is_empty_value(key, value):
            self.unknown.append(newer_fields.refusal(key, where, since))

    def value(self, kind: Any, value: Any, path: str) -> Any:
        """A value of a type; null is its zero value."""
        if isinstance(kind, types.UnionType):
            kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
        if kind is Any:
            return value
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind], value, path)
        if isinstance(kind, type) and issubclass(kind, Record):
            return self.record(kind, _only(value), path)
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if origin is list:
            items = value if isinstance(value, list) else [] if value == {} else [value]
            return [self.value(args[0], each, f"{path}[{number}]") for number, each in enumerate(items)]
        value = self._merged(value, path)
        if not isinstance(value, dict):
            self._mismatch(path, "map", value)
            return {}
        return {key: self.value(args[1], each, f"{path}[{key}]") for key, each in value.items()}

    def _merged(self, value: Any, path: str) -> Any:
        """The maps of a list as one, where one is expected."""
        if not isinstance(value, list):
            return value
        merged: dict[str, Any] = {}
        for each in value:
            if isinstance(each, dict):
                merged |= each
            else:
                self._mismatch(path, "map", each)
        return merged

    def scalar(self, kind: str, value: Any, path: str, shown_as: str = "") -> Any:
        """Convert between text, number and boolean, as mapstructure does (weakly typed input). `kind`: Go's.

        `shown_as`: the name of its type in errors, if it has another one.
        """
        value = _only(value)
        if value is None:
            return _ZEROS[kind]
        if isinstance(value, dict | list):
            self._mismatch(path, shown_as or kind, value)
            return _ZEROS[kind]
        if kind == "string":
            return weak_text(untyped(value))
        try:
            return _READ[kind](value)
        except ValueError as error:
            self._faults.append(f"cannot parse '{path}' as {kind.rstrip('0123456789')}: {error}")
            return _ZEROS[kind]

    def _uint32s(self, hint: Any, value: Any, path: str) -> Any:
        if hint is int:
            return self.scalar("uint32", value, path)
        items = value if isinstance(value, list) else [] if value == {} else [value]
        return [self.scalar("uint32", each, f"{path}[{number}]") for number, each in enumerate(items)]

    def duration(self, path: str, value: Any) -> int:
        """A duration in nanoseconds, of a text or a number."""
        value = _only(value)
        if isinstance(value, str):
            try:
                return parse_duration_ns(value)
            except DurationError as error:
                self._faults.append(f"error decoding '{path}': {error}")
                return 0
        if isinstance(value, dict | list):
            self._mismatch(path, "time.Duration", value)
            return 0
        return nanoseconds(self.scalar("int", value, path))

    def _mismatch(self, path: str, wanted: str, value: Any) -> None:
        shown = {dict: "map[string]interface {}", list: "[]interface {}", str: "string", bool: "bool"}
        given = shown.get(type(value), "float64")
        if wanted == "map":
            given = "slice" if isinstance(value, list) else given
            self._faults.append(f"'{path}' expected a map, got '{given}'")
            return
        self._faults.append(f"'{path}' expected type '{wanted}', got unconvertible type '{given}'")


def _says_nothing(hint: Any, value: Any) -> bool:
    """Whether a newer field of this type asks for nothing; 0 is a number, and may be a limit."""
    is_number = type(value) in (int, float) and int in (hint, *typing.get_args(hint))
    return not value and not is_number


def _only(value: Any) -> Any:
    """The only item of a list, in place of the list where a single value is expected."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _boolean(value: Any) -> bool:
    return (value != "" and boolean(value)) if isinstance(value, str) else bool(value)


def _integer(value: Any) -> int:
    return integer(value) if isinstance(value, str) else int(value)


def _uint32(value: Any) -> int:
    """Numbers that are too large, and negative ones, lose their upper bits, as in Go; texts are refused."""
    if isinstance(value, str):
        return unsigned(value, 32)
    return int(value) % _TWO_32 if abs(value) < _TWO_64 else 0


def _float(value: Any) -> float:
    return floating32(value) if isinstance(value, str) else float(value)


_TWO_32: Final = 1 << 32
_TWO_64: Final = 1 << 64
_SCALARS: Final[Mapping[Any, str]] = {str: "string", int: "int", bool: "bool", float: "float32"}
_ZEROS: Final[Mapping[str, Any]] = {"string": "", "int": 0, "uint32": 0, "bool": False, "float32": 0.0}
_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int": _integer,
    "uint32": _uint32,
    "bool": _boolean,
    "float32": _float,
}
