"""The body of `PUT /v1/config` as a config entry: names in any case, with or without underscores, types taken loosely.

Consul decodes it with mapstructure; the texts of errors are that library's and Consul's.
"""

import dataclasses
import types
import typing
from typing import Any, Final

from consulpy.local.godecode import GoError
from consulpy.structs.config_entry import KINDS
from consulpy.structs.gotime import GoDurationError, go_duration
from consulpy.structs.record import Record, camel

_DURATIONS: Final = frozenset({"connect_timeout", "request_timeout"})
#: Set by the servers, never by users.
_OURS: Final = frozenset({"create_index", "modify_index"})


def entry_of(raw: Any) -> Any:
    """The entry in a JSON object. Raises `GoError`."""
    if not isinstance(raw, dict):
        raise GoError("Payload does not contain a kind/Kind key at the top level")
    kind = raw.get("Kind", raw.get("kind"))
    if kind is None:
        raise GoError("Payload does not contain a kind/Kind key at the top level")
    if not isinstance(kind, str):
        raise GoError("Kind value in payload is not a string")
    known = KINDS.get(kind)
    if known is None:
        raise GoError(f"invalid config entry kind: {kind}")
    unknown: list[str] = []
    entry = _record(known, raw, "", unknown)
    if unknown:
        count = f"{len(unknown)} error{'s' if len(unknown) > 1 else ''} occurred:"
        raise GoError("\n".join([count, *(f'\t* invalid config key "{each}"' for each in unknown), "", ""]))
    return entry


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
        if found is None or found[0] in _OURS:
            if found is None:
                unknown.append(where)
        elif value is not None:
            name, shown, kind = found
            inner = f"{path}.{shown}" if path else shown
            decoded = _duration(inner, value) if name in _DURATIONS else _value(kind, value, inner, unknown)
            setattr(record, name, decoded)
    return record


def _value(kind: Any, value: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    if kind is Any:
        return value
    if kind in (str, int, bool, float):
        return _scalar(kind, value, path)
    if isinstance(kind, type) and issubclass(kind, Record):
        return _record(kind, value, path, unknown)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        items = value if isinstance(value, list) else [value]
        return [_value(args[0], each, f"{path}[{number}]", unknown) for number, each in enumerate(items)]
    if not isinstance(value, dict):
        raise _mismatch(path, "map", value)
    return {key: _value(args[1], each, f"{path}[{key}]", unknown) for key, each in value.items()}


def _scalar(kind: type[Any], value: Any, path: str) -> Any:
    """A text from a number, a number from a text, a boolean from either."""
    if isinstance(value, dict | list) or value is None:
        raise _mismatch(path, kind.__name__, value)
    if kind is str:
        return {True: "1", False: "0"}[value] if isinstance(value, bool) else str(value)
    if kind is bool and isinstance(value, str):
        known = {"1": True, "t": True, "true": True, "": False, "0": False, "f": False, "false": False}
        if value.lower() not in known:
            raise GoError(f"1 error(s) decoding:\n\n* cannot parse '{path}' as bool: {value!r}")
        return known[value.lower()]
    try:
        return kind(value or 0) if isinstance(value, str) else kind(value)
    except (ValueError, OverflowError):
        raise GoError(f"1 error(s) decoding:\n\n* cannot parse '{path}' as {kind.__name__}: {value!r}") from None


def _duration(path: str, value: Any) -> int:
    if isinstance(value, str):
        try:
            return go_duration(value)
        except GoDurationError as error:
            raise GoError(f"1 error(s) decoding:\n\n* error decoding '{path}': {error}") from None
    return int(_scalar(int, value, path))


def _mismatch(path: str, wanted: str, value: Any) -> GoError:
    shown = {dict: "map[string]interface {}", list: "[]interface {}", str: "string", bool: "bool"}
    given = shown.get(type(value), "float64")
    if wanted == "map":
        return GoError(f"1 error(s) decoding:\n\n* '{path}' expected a map, got '{given}'")
    wanted = {"str": "string"}.get(wanted, wanted)
    return GoError(f"1 error(s) decoding:\n\n* '{path}' expected type '{wanted}', got unconvertible type '{given}'")
