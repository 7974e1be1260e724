"""The hash that tells chains with overrides apart: the first eight digits of Go's hashstructure of what they changed.

Strings are hashed by FNV-1 (64 bits) over their bytes, numbers over 8 bytes in little endian, a struct is the hash of
its type's name combined with the XOR of its fields (docs/wire/discovery-chains.md).
"""

import struct
from typing import Final

_OFFSET: Final = 0xCBF29CE484222325
_PRIME: Final = 0x100000001B3
_MASK: Final = (1 << 64) - 1
_DIGITS: Final = 8


def _fnv1(data: bytes) -> int:
    state = _OFFSET
    for byte in data:
        state = (state * _PRIME & _MASK) ^ byte
    return state


def _pair(name: int, value: int) -> int:
    return _fnv1(struct.pack("<QQ", name, value))


def _struct(name: str, fields: dict[str, int]) -> int:
    combined = _fnv1(name.encode())
    for field, value in fields.items():
        combined ^= _pair(_fnv1(field.encode()), value)
    return combined


def customization_hash(mesh_gateway_mode: str, protocol: str, connect_timeout_ns: int) -> str:
    """Eight hexadecimal digits for overrides, of which those that change nothing are "" and 0."""
    fields = {
        "OverrideMeshGateway": _struct("MeshGatewayConfig", {"Mode": _fnv1(mesh_gateway_mode.encode())}),
        "OverrideProtocol": _fnv1(protocol.encode()),
        "OverrideConnectTimeout": _fnv1(struct.pack("<q", connect_timeout_ns)),
    }
    return f"{_struct('', fields):x}"[:_DIGITS]
