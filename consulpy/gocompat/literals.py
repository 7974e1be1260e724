"""Go's literals: quoted strings, integers, booleans."""

import re
from typing import Final

_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_PART: Final = re.compile(
    r"""[^\\\n"]+|\\(?:(?P<plain>[abfnrtv\\"])|x(?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"""
    r"""|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))"""
)
_INTEGER: Final = re.compile(r"[+-]?(0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO]?(_?[0-7])+|0|[1-9](_?[0-9])*)")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+")
#: Digits of a decimal number above which it has more than 64 bits.
_DIGITS_MAX: Final = 19
_TRUE: Final = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def unquote(literal: str) -> str | None:
    """Parse a Go string literal including its quotes; None if it is invalid.

    Escaped bytes that are not UTF-8 become surrogates.
    """
    inner = literal[1:-1]
    if literal[0] == "`":
        return inner.replace("\r", "")
    parts: list[bytes] = []
    at = 0
    while at < len(inner):
        found = _PART.match(inner, at)
        if found is None:
            return None
        part = _unescaped(found)
        if part is None:
            return None
        parts.append(part)
        at = found.end()
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _unescaped(found: re.Match[str]) -> bytes | None:
    kind = found.lastgroup
    if kind is None:
        return found[0].encode("utf-8", "surrogateescape")
    digits = found[kind]
    if kind == "plain":
        return _ESCAPES[digits].encode()
    code = int(digits, 8 if kind == "octal" else 16)
    if kind in ("octal", "hex"):
        return bytes([code])
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return None
    return chr(code).encode()


def integer(text: str, bits: int = 64) -> int:
    """Parse as Go's ParseInt with base 0. Raises ValueError with Go's text."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    digits = text.lstrip("+-").replace("_", "").lower()
    octal = digits.startswith("0") and len(digits) > 1 and digits[1].isdigit()
    value = int(digits, 8) if octal else int(digits, 0)
    if text.startswith("-"):
        value = -value
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"strconv.ParseInt: parsing {quoted(text)}: value out of range")
    return value


def boolean(text: str) -> bool:
    """Parse as Go's ParseBool. Raises ValueError with Go's text."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")


def quoted(text: str) -> str:
    """Format as Go's %q."""
    shown = {escaped: "\\" + letter for letter, escaped in _ESCAPES.items()}
    return '"' + "".join(shown.get(char) or _printable(char) for char in text) + '"'


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def atoi(text: str) -> int:
    """A decimal number of 64 bits. Raises `ValueError` with the text of Go's Atoi."""
    reason = "invalid syntax"
    if _DECIMAL.fullmatch(text) is not None:
        digits = text.lstrip("+-").lstrip("0") or "0"
        number = (-1 if text[0] == "-" else 1) * int(digits[: _DIGITS_MAX + 1])
        if -(1 << 63) <= number < 1 << 63:
            return number
        reason = "value out of range"
    raise ValueError(f"strconv.Atoi: parsing {quoted(text)}: {reason}")
