"""Validation of ids as Consul's index of ids does it (go-memdb's UUIDFieldIndex), with its error texts."""

import re
from typing import Final

from consulpy.errors import RPCError

_LENGTH: Final = 36
_HYPHENS_MAX: Final = 4
_NO_DIGIT: Final = re.compile(r"[^0-9a-fA-F]")


def check_uuid(text: str, what: str) -> None:
    """Raises `RPCError` for an invalid id; `what` names the lookup."""
    fault = uuid_fault(text)
    if fault:
        raise RPCError(f"{what}: index error: {fault}")


def uuid_fault(text: str) -> str:
    """go-memdb's error for an invalid id, "" for a valid one. Hyphens are allowed anywhere."""
    if len(text.encode("utf-8", "surrogateescape")) != _LENGTH:
        return "UUID must be 36 characters"
    if text.count("-") > _HYPHENS_MAX:
        return f'UUID should have maximum of 4 "-"; got {text.count("-")}'
    digits = text.replace("-", "")
    if len(digits.encode("utf-8", "surrogateescape")) % 2:
        return "Input (without hyphens) must be even length"
    wrong = _NO_DIGIT.search(digits)
    if wrong is None:
        return ""
    first = wrong[0].encode("utf-8", "surrogateescape")[0]
    shown = chr(first) if chr(first).isprintable() else f"\\x{first:02x}"
    return f"Invalid UUID: encoding/hex: invalid byte: U+{first:04X} '{shown}'"
