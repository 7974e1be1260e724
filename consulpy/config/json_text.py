"""A JSON parser whose objects (`Block`) know the lines of their names.

Python's scanner parses; objects are parsed here, because it does not report the positions of names. As in Go's
encoding/json the last of equal names counts, half of a surrogate pair is U+FFFD, and NaN and Infinity are errors.
"""

import json
import json.scanner
import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final

from consulpy.codec.blocks import Block
from consulpy.codec.strict_json import JsonError, parse_float, parse_int, refuse_constant

_BLANK: Final = re.compile(r"[ \t\n\r]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class JsonSyntaxError(Exception):
    """Invalid JSON at `line` and `column`, from 1; column 0: unknown."""

    def __init__(self, line: int, column: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.column = column


def parse(text: str, *, strict: bool = True) -> tuple[Any, int]:
    """(value, offset of its end); objects are `Block`s. Raises `JsonSyntaxError`.

    `strict`: nothing may follow the value. Otherwise objects and lists may have a trailing comma, and an object is a
    list of one where a list is expected, as in HCL.
    """
    try:
        decoder = _Decoder(text, strict)
        if strict:
            return decoder.decode(text), len(text)
        return decoder.raw_decode(text, _skip(text, 0))
    except json.JSONDecodeError as error:
        raise JsonSyntaxError(error.lineno, error.colno, error.msg) from None
    except RecursionError:
        raise JsonSyntaxError(0, 0, "blocks are nested too deep") from None
    except JsonError as fault:  # an invalid number, or one out of range
        raise JsonSyntaxError(0, 0, str(fault)) from None


class _Decoder(json.JSONDecoder):
    """Decoder of one text that maps offsets to lines."""

    def __init__(self, text: str, strict: bool) -> None:
        super().__init__(parse_constant=refuse_constant, parse_float=parse_float, parse_int=parse_int)
        self._strict = strict
        self._ends = [match.start() for match in re.finditer("\n", text)]
        scan_text: Any = json.decoder.scanstring  # type: ignore[attr-defined]
        self.parse_string: Any = lambda *place: _whole_characters(*scan_text(*place))
        self.parse_object = self._object
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _object(self, place: tuple[str, int], strict: bool, scan: Callable[[str, int], Any], *_: Any) -> Any:
        text, at = place
        found = Block(self._line(at - 1), is_list=not self._strict)
        at = _skip(text, at)
        while text[at : at + 1] != "}":
            if text[at : at + 1] != '"':
                raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
            line = self._line(at)
            name, at = self.parse_string(text, at + 1, strict)
            at = _skip(text, at)
            if text[at : at + 1] != ":":
                raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
            try:
                found[name], at = scan(text, _skip(text, at + 1))
            except StopIteration as missing:
                raise json.JSONDecodeError("Expecting value", text, missing.value) from None
            found.lines[name] = line
            at = _skip(text, at)
            if text[at : at + 1] == ",":
                at = _skip(text, at + 1)
                if text[at : at + 1] == "}" and self._strict:
                    raise json.JSONDecodeError("Illegal trailing comma before end of object", text, at)
            elif text[at : at + 1] != "}":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        return found, at + 1

    def _line(self, at: int) -> int:
        return bisect_left(self._ends, at) + 1


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _whole_characters(text: str, at: int) -> tuple[str, int]:
    return _SURROGATE.sub("\ufffd", text), at
