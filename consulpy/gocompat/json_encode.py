"""JSON as Go's `encoding/json` writes it: `<`, `>` and `&` escaped, text that is not UTF-8 as U+FFFD."""

import json
import re
from collections.abc import Callable
from typing import Any, Final

import orjson

#: Go escapes these in JSON, so that it may stand in HTML and JavaScript.
_ESCAPES: Final = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
#: The first bytes of U+2028 and U+2029, the line separators of JavaScript.
_SEPARATOR: Final = b"\xe2\x80"
_SEPARATORS: Final = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))
#: Escapes of two characters; Go has none for backspace and form feed.
_SHORT_ESCAPE: Final = re.compile(rb"\\(.)")
_LONG_ESCAPES: Final = {b"b": b"\\u0008", b"f": b"\\u000c"}

#: Indentation; JSON texts contain no line ends.
_INDENT: Final = re.compile(rb"^( +)", re.MULTILINE)
#: Surrogates: bytes that were not UTF-8.
_SURROGATES: Final = re.compile("[\ud800-\udfff]")

#: What makes a value that is not JSON into one that is, or raises `TypeError`.
Default = Callable[[Any], Any] | None


def indented_json(body: Any, default: Default = None) -> bytes:
    """`body` indented by four spaces, without a line end."""
    try:
        shown = _INDENT.sub(rb"\1\1", orjson.dumps(body, default=default, option=orjson.OPT_INDENT_2))
    except TypeError:
        shown = _loosely(json.dumps(body, indent=4, ensure_ascii=False, default=default))
    return _escaped(shown)


def compact_json(body: Any, default: Default = None) -> bytes:
    """`body` without spaces, in one line without its end."""
    try:
        shown = orjson.dumps(body, default=default)
    except TypeError:  # text that is no UTF-8, or an integer beyond 64 bits
        shown = _loosely(json.dumps(body, separators=(",", ":"), ensure_ascii=False, default=default))
    return _escaped(shown)


def _escaped(shown: bytes) -> bytes:
    for plain, escaped in _ESCAPES:
        if plain in shown:
            shown = shown.replace(plain, escaped)
    if _SEPARATOR in shown:
        for plain, escaped in _SEPARATORS:
            shown = shown.replace(plain, escaped)
    if b"\\b" in shown or b"\\f" in shown:
        shown = _SHORT_ESCAPE.sub(lambda found: _LONG_ESCAPES.get(found[1], found[0]), shown)
    return shown


def _loosely(text: str) -> bytes:
    """JSON in UTF-8, with an escaped U+FFFD for each byte that is not UTF-8, as in Go."""
    return _SURROGATES.sub(r"\\ufffd", text).encode()
