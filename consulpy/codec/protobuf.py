"""Protobuf's wire format: fields of one message, without schemas (https://protobuf.dev/programming-guides/encoding).

Encoding follows proto3: a field with its default is left out. A message is the concatenation of its fields.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from consulpy.errors import WireError

#: Wire types.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES: Final = {FIXED64: 8, FIXED32: 4}
_UINT64_MASK: Final = 2**64 - 1
_DOUBLE: Final = struct.Struct("<d")


def varint(number: int) -> bytes:
    """A number of up to 64 bits; a negative one as its two's complement."""
    number &= _UINT64_MASK
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    """An integer, enum or boolean."""
    return varint(number << 3 | VARINT) + varint(value) if value else b""


def double_field(number: int, value: float) -> bytes:
    """A double, present even if it is 0 (of a `oneof`)."""
    return varint(number << 3 | FIXED64) + _DOUBLE.pack(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """Bytes, or a message that is present even if it is empty."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def text_field(number: int, value: str) -> bytes:
    """A text. Bytes that are no UTF-8 become question marks: decoders refuse a message with them."""
    if not value:
        return b""
    try:
        return bytes_field(number, value.encode())
    except UnicodeEncodeError:
        return bytes_field(number, value.encode("utf-8", "replace"))


def texts_field(number: int, values: list[str] | None) -> bytes:
    """A repeated text; empty ones are present."""
    return b"".join(text_field(number, value) or bytes_field(number, b"") for value in values or ())


def map_field(number: int, values: Mapping[str, bytes]) -> bytes:
    """A map from texts to encoded values (field 2 of each entry)."""
    return b"".join(bytes_field(number, text_field(1, key) + value) for key, value in values.items())


def text_map_field(number: int, values: Mapping[str, str] | None) -> bytes:
    """A map from texts to texts."""
    return map_field(number, {key: text_field(2, value or "") for key, value in (values or {}).items()})


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field, as they come: an int, or bytes. Raises `WireError` for what is no message."""
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        number, kind = key >> 3, key & 7
        if not number:
            raise WireError("protobuf: a field without a number")
        if kind == VARINT:
            value, position = _read_varint(data, position)
            yield number, value
            continue
        if kind == BYTES:
            size, position = _read_varint(data, position)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise WireError(f"protobuf: a field of wire type {kind}")
        end = position + size
        if end > len(data):
            raise WireError("protobuf: a field is cut short")
        yield number, data[position:end]
        position = end


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise WireError("protobuf: a number is cut short")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64_MASK, position
        shift += 7
