"""Go's literals: quoted strings, numbers, booleans."""

import math
import re
from typing import Final

from consulpy.gocompat.float32 import float32

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
#: Without what Python's `float` takes and Go does not: spaces, NaN with a sign, digits of other scripts.
_FLOAT: Final = re.compile(r"nan|[+-]?(inf|infinity|[0-9._]+(e[+-]?[0-9_]+)?)", re.ASCII | re.IGNORECASE)
_HEX_FLOAT: Final = re.compile(
    r"[+-]?0x(_?[0-9a-f])*\.?([0-9a-f](_?[0-9a-f])*)?p[+-]?[0-9](_?[0-9])*", re.ASCII | re.IGNORECASE
)
#: Digits of a decimal number above which it has more than 64 bits, signed and unsigned.
_DIGITS_MAX: Final = 19
_UNSIGNED_DIGITS_MAX: Final = 20
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
    return _whole(text, "ParseInt", -(1 << bits - 1), 1 << bits - 1)


def unsigned(text: str, bits: int) -> int:
    """Parse as Go's ParseUint with base 0. Raises ValueError with Go's text."""
    return _whole(text, "ParseUint", 0, 1 << bits)


def _whole(text: str, parser: str, least: int, above: int) -> int:
    if not _INTEGER.fullmatch(text) or (parser == "ParseUint" and text[0] in "+-"):
        raise ValueError(f"strconv.{parser}: parsing {quoted(text)}: invalid syntax")
    digits = text.lstrip("+-").replace("_", "").lower()
    if not digits.startswith("0"):
        value = int(digits[: _UNSIGNED_DIGITS_MAX + 1])
    else:
        value = int(digits, 8 if digits[1:2].isdigit() else 0)
    if text.startswith("-"):
        value = -value
    if not least <= value < above:
        raise ValueError(f"strconv.{parser}: parsing {quoted(text)}: value out of range")
    return value


def floating32(text: str) -> float:
    """Parse as Go's ParseFloat with 32 bits; also infinities and NaN. Raises ValueError with Go's text."""
    plain = text.lower().replace("_", "")
    try:
        is_hex = _HEX_FLOAT.fullmatch(text) is not None
        value = float.fromhex(plain) if is_hex else float(text if _FLOAT.fullmatch(text) else "")
    except OverflowError:
        value = math.inf
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {quoted(text)}: invalid syntax") from None
    if math.isinf(float32(value)) and "inf" not in plain:
        raise ValueError(f"strconv.ParseFloat: parsing {quoted(text)}: value out of range")
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
