"""The entries of a `kv export`: JSON, a list of objects with `key`, `flags` and `value` in base 64."""

from typing import Any

from consulpy.codec.strict_json import parse
from consulpy.gocompat.base64_decode import decode_base64


def imported_entries(text: str) -> list[tuple[str, int, bytes]]:
    """Keys, flags and values of a `kv export`: nothing is written unless all can be read. Raises `ValueError`."""
    try:
        data = parse(text)
    except ValueError as error:
        raise ValueError(f"Cannot unmarshal data: {error}") from None
    if not isinstance(data, list):
        raise ValueError("Cannot unmarshal data: expected a list of entries, as kv export writes it")
    return [_imported(number, each) for number, each in enumerate(data)]


def _imported(number: int, entry: Any) -> tuple[str, int, bytes]:
    """One entry: `key` (required), `flags` (0) and `value` in base 64 (empty)."""
    fault = f"Cannot unmarshal data: entry {number}: "
    if not isinstance(entry, dict):
        raise ValueError(f"{fault}expected an object with key, flags and value")
    fields = {name.lower(): value for name, value in entry.items()}
    key, flags, value = fields.get("key"), fields.get("flags") or 0, fields.get("value") or ""
    if not isinstance(key, str) or not key:
        raise ValueError(f"{fault}key: expected a string that is not empty")
    if not isinstance(flags, int) or isinstance(flags, bool) or not 0 <= flags < 2**64:
        raise ValueError(f"{fault}flags of {key}: expected a whole number from 0 to 2^64-1")
    if not isinstance(value, str):
        raise ValueError(f"{fault}value of {key}: expected a string in base 64")
    try:
        return key, flags, decode_base64(value)
    except ValueError as error:
        raise ValueError(f"Error base 64 decoding value for key {key}: {error}") from None
