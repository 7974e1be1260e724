"""Values in calls that Go's decoder refuses or reads as others, although their type is right.

A call becomes a log entry. One that Go refuses ends every real server, at each start again; one that it reads as
another value makes its state differ from ours. Found with Consul 1.8.7 as the follower of a server of ours.
"""

import dataclasses
from functools import cache
from math import isfinite
from typing import Any, Final

import msgpack

from consulpy.codec.coerce import as_text
from consulpy.codec.record import Record
from consulpy.errors import WireError
from consulpy.structs.definition import SidecarDefinition
from consulpy.structs.service import ServiceConnect

#: Unsigned numbers of records, beside all indexes.
_UNSIGNED: Final = frozenset({"flags", "index", "serial_number", "max_trailing_logs", "min_quorum", "output_max_size"})
_INT64_MAX: Final = (1 << 63) - 1
_NEVER_WRONG: Final = frozenset(
    f"{kind}{nil}"
    for kind in ("str", "bool", "float", "bytes", "list[str]", "list[float]", "dict[str, str]")
    for nil in ("", " | None")
)


def check_values(request: Record) -> None:
    """Refuse what Go's decoder does not take as it is. Raises `WireError`, with Go's text where it has one.

    Negative numbers where Consul has none; numbers that it would wrap; free-form maps whose keys are no texts;
    free-form values that JSON does not have, with which no real server shows the service; the definition of a sidecar,
    which is typed in Consul only: it is replaced by what Consul reads of it.
    """
    cls: Any = type(request)
    if cls is ServiceConnect:
        _check_sidecar(request)
    numbers, others = _members(cls)
    for name, is_unsigned in numbers:
        value = getattr(request, name)
        if isinstance(value, int):
            _check_number(value, is_unsigned=is_unsigned)
    for name in others:
        value = getattr(request, name)
        if value:
            _check_inside(value)


def _check_number(value: int, *, is_unsigned: bool) -> None:
    if is_unsigned and value < 0:
        shown = value + 256 if value >= -32 else value  # Go shows one byte as it stands
        raise WireError(f"Assigning negative signed value: {shown}, to unsigned type")
    if not is_unsigned and value > _INT64_MAX:
        raise WireError(f"Overflow int value: {value}")  # Go makes it negative


def _check_inside(value: Any) -> None:
    """Check the records and the free-form maps in a value, however deep it is."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, Record):
            check_values(each)
        elif isinstance(each, list):
            left += each
        elif isinstance(each, dict):
            for key, inner in each.items():
                as_text(key)
                left.append(inner)
        elif isinstance(each, msgpack.ExtType | msgpack.Timestamp) or (isinstance(each, float) and not isfinite(each)):
            raise WireError(f"unsupported value: {each}")


def _check_sidecar(connect: Any) -> None:
    raw = connect.sidecar_service
    if raw is not None:
        _check_inside(raw)
        sidecar = SidecarDefinition.from_wire(raw)
        check_values(sidecar)
        connect.sidecar_service = sidecar.to_wire()


@cache
def _members(cls: type[Any]) -> tuple[tuple[tuple[str, bool], ...], tuple[str, ...]]:
    """The fields of a record that are numbers, with whether they are unsigned, and those that may hold others."""
    numbers, others = [], []
    for field in dataclasses.fields(cls):
        name, kind = field.name, field.type.__name__ if isinstance(field.type, type) else str(field.type)
        if kind in ("int", "int | None"):
            numbers.append((name, name in _UNSIGNED or name.endswith("_index")))
        elif kind not in _NEVER_WRONG:
            others.append(name)
    return tuple(numbers), tuple(others)
