"""The body of `PUT /v1/config` as a config entry: names in any case, with or without underscores, types taken loosely.

Consul decodes it with mapstructure; the texts of errors are that library's and Consul's.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from consulpy.codec.record import Record, camel
from consulpy.gocompat import newer_fields
from consulpy.gocompat.duration import DurationError, parse_duration_ns
from consulpy.gocompat.json_decode import GoError, nanoseconds
from consulpy.gocompat.multierror import format_errors
from consulpy.structs.config_entry import KINDS
from consulpy.structs.newer_config_entry import DURATIONS, MESH, NEWER_KINDS, NewerEntry
from consulpy.structs.newer_config_fields import without_nulls

_DURATIONS: Final = frozenset(
    {
        *("connect_timeout", "request_timeout", "override_connect_timeout"),
        *("idle_timeout", "interval", "base_ejection_time", "ttl"),
    }
)
_WITHOUT_NULLS: Final = frozenset({"arguments"})
_R = TypeVar("_R", bound=Record)
_KINDS: Final = {bool: "bool", str: "string", list: "slice"}
#: Set by the servers, never by users.
_OURS: Final = frozenset({"create_index", "modify_index"})


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
    unknown: list[str] = []
    entry = _newer(kind, raw, unknown) if known is NewerEntry else _record(known, raw, "", unknown)
    if unknown:
        raise GoError(format_errors(unknown))
    return entry


def _newer(kind: str, raw: dict[str, Any], unknown: list[str]) -> NewerEntry:
    """An entry of a newer kind: its fields are known by name, what is in them is kept without its nulls."""
    fields = {name.lower(): name for name in NEWER_KINDS[kind].fields}
    entry = NewerEntry(kind=kind, name=MESH if kind == MESH else "")
    for key, value in raw.items():
        plain_name = key.replace("_", "").lower()
        if plain_name in fields:
            if value is not None:
                entry.body[fields[plain_name]] = _in_ns(without_nulls(value), key)
        elif plain_name == "name":
            if kind != MESH or value not in (None, "", MESH):
                entry.name = _scalar(str, value, "Name")
        elif plain_name == "meta":
            entry.meta = _value(dict[str, str], value, "Meta", unknown) if value else None
        elif plain_name not in ("kind", "createindex", "modifyindex"):
            _note_unknown(NewerEntry, key, value, key, unknown)
    if kind == MESH and entry.name != MESH:
        unknown.append('invalid config key "Name" - there is one mesh')
    return entry


def _in_ns(value: Any, path: str) -> Any:
    """A value without a schema, with the durations that it is known to have as numbers."""
    if isinstance(value, dict):
        return {
            key: _duration(f"{path}.{key}", each) if key in DURATIONS else _in_ns(each, f"{path}.{key}")
            for key, each in value.items()
        }
    return [_in_ns(each, path) for each in value] if isinstance(value, list) else value


def weakly_decoded(cls: type[_R], raw: Any) -> _R:
    """A record from a JSON object, types taken loosely, unknown members ignored. Raises `GoError`."""
    decoded: _R = _record(cls, raw, "", [])
    return decoded


def _record(cls: type[Any], raw: Any, path: str, unknown: list[str]) -> Any:
    if not isinstance(raw, dict):
        raise _mismatch(path, "map", raw)
    record = cls()
    fields = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name = field.metadata.get("go") or camel(field.name)
        fields[name.lower()] = (field.name, name, hints[field.name])
    for key, value in raw.items():
        found = fields.get(key.replace("_", "").lower())
        where = f"{path}.{key}" if path else key
        if found is None:
            _note_unknown(cls, key, value, where, unknown)
        elif found[0] in _OURS:
            continue
        elif value is not None:
            name, shown, kind = found
            inner = f"{path}.{shown}" if path else shown
            value = without_nulls(value) if name in _WITHOUT_NULLS else value
            decoded = _duration(inner, value) if name in _DURATIONS else _value(kind, value, inner, unknown)
            setattr(record, name, decoded)
    return record


def _note_unknown(cls: type[Any], key: str, value: Any, where: str, unknown: list[str]) -> None:
    """Add the error for an unknown field, unless a newer Consul has it and it has no effect."""
    since = newer_fields.version_of(key, newer_fields.fields_of(cls.__name__))
    if since is None:
        unknown.append(f'invalid config key "{where}"')
    elif not newer_fields.is_empty_value(key, value):
        unknown.append(newer_fields.refusal(key, where, since))


def _value(kind: Any, value: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    if kind is Any:
        return value
    if kind in (str, int, bool, float):
        return _scalar(kind, value, path)
    if isinstance(kind, type) and issubclass(kind, Record):
        value = _only(value)
        return _record(kind, value, path, unknown)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        items = value if isinstance(value, list) else [] if value == {} else [value]
        return [_value(args[0], each, f"{path}[{number}]", unknown) for number, each in enumerate(items)]
    value = {} if value == [] else _only(value)
    if not isinstance(value, dict):
        raise _mismatch(path, "map", value)
    return {key: _value(args[1], each, f"{path}[{key}]", unknown) for key, each in value.items()}


def _scalar(kind: type[Any], value: Any, path: str) -> Any:
    """Convert between text, number and boolean, as mapstructure does (weakly typed input)."""
    value = _only(value)
    if isinstance(value, dict | list) or value is None:
        raise _mismatch(path, kind.__name__, value)
    if kind is str:
        return {True: "1", False: "0"}[value] if isinstance(value, bool) else str(value)
    if kind is bool and isinstance(value, str):
        known = {"1": True, "t": True, "true": True, "": False, "0": False, "f": False, "false": False}
        if value.lower() not in known:
            raise _unparsable(path, "bool", value)
        return known[value.lower()]
    try:
        return kind(value)
    except (ValueError, OverflowError):
        raise _unparsable(path, kind.__name__, value) from None


def _unparsable(path: str, kind: str, value: Any) -> GoError:
    fault = f'strconv.Parse{kind.capitalize()}: parsing "{value}": invalid syntax'
    return GoError(f"1 error(s) decoding:\n\n* cannot parse '{path}' as {kind}: {fault}")


def _only(value: Any) -> Any:
    """The only item of a list, in place of the list where a single value is expected."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _duration(path: str, value: Any) -> int:
    value = _only(value)
    if isinstance(value, str):
        try:
            return parse_duration_ns(value)
        except DurationError as error:
            raise GoError(f"1 error(s) decoding:\n\n* error decoding '{path}': {error}") from None
    if isinstance(value, dict | list):
        raise _mismatch(path, "time.Duration", value)
    return nanoseconds(_scalar(int, value, path))


def _mismatch(path: str, wanted: str, value: Any) -> GoError:
    shown = {dict: "map[string]interface {}", list: "[]interface {}", str: "string", bool: "bool"}
    given = shown.get(type(value), "float64")
    if wanted == "map":
        given = "slice" if isinstance(value, list) else given
        return GoError(f"1 error(s) decoding:\n\n* '{path}' expected a map, got '{given}'")
    wanted = {"str": "string", "float": "float32"}.get(wanted, wanted)
    return GoError(f"1 error(s) decoding:\n\n* '{path}' expected type '{wanted}', got unconvertible type '{given}'")
