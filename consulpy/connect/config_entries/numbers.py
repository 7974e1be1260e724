"""Numbers of config entries that real servers can decode: one that is too large ends every server that applies it."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from consulpy.codec.record import camel

#: Fields that are `uint32` in Consul; other whole numbers are `int64`, fractions `float32`.
UINT32: Final = frozenset({"num_retries", "retry_on_status_codes"})
_UINT32_MAX: Final = (1 << 32) - 1
_INT64_MAX: Final = (1 << 63) - 1
_FLOAT32_MAX: Final = 3.4028234663852886e38
_FLOAT64_MAX: Final = 1.7976931348623157e308


def number_errors(entry: Any, path: str = "") -> Iterator[str]:
    """An error for each number in a record that does not fit the field's type in Consul."""
    for field in dataclasses.fields(entry):
        name = field.metadata.get("go") or camel(field.name)
        where = f"{path}.{name}" if path else name
        yield from _errors(getattr(entry, field.name), field.name, where)


def _errors(value: Any, field: str, where: str) -> Iterator[str]:
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _errors(each, field, f"{where}[{number}]")
    elif dataclasses.is_dataclass(value):
        yield from number_errors(value, where)
    elif isinstance(value, dict):
        for key, each in value.items():
            if dataclasses.is_dataclass(each):
                yield from number_errors(each, f"{where}[{key}]")
    elif isinstance(value, int):
        least, most = (0, _UINT32_MAX) if field in UINT32 else (-_INT64_MAX - 1, _INT64_MAX)
        if not least <= value <= most:
            yield f"{where} must be a number from {least} to {most}"
    elif isinstance(value, float) and _FLOAT32_MAX < abs(value) <= _FLOAT64_MAX:
        yield f"{where} is too large a number"
