"""JSON from outside, read as strictly as Go does: it ends in a value that can be stored and shown, or in a fault.

Python's own reader gives more: NaN and Infinity, numbers that no float holds, halves of surrogate pairs (which no UTF-8
can say), depths at which something later fails; and for a number of many digits it raises an error of its own.
"""

import json
import re
from typing import Any, Final

#: How deep lists and objects may be nested: less than what MessagePack, orjson and recursion take.
DEPTH_MAX: Final = 100
#: More digits are no number that Go's widest type holds.
DIGITS_MAX: Final = 309

_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")


class JsonFault(ValueError):
    """The text is no JSON that is taken. `position`: where, -1 if that is not known; `at_end`: it is cut short."""

    def __init__(self, why: str, position: int = -1, *, at_end: bool = False) -> None:
        super().__init__(why)
        self.position = position
        self.at_end = at_end


def first_value(text: str) -> Any:
    """The first value of `text`; what follows it is ignored. Raises `JsonFault`."""
    return _checked(text, lambda: _DECODER.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))[0])


def parse(data: bytes | str) -> Any:
    """The one value of `data`. Bytes that are no UTF-8 become U+FFFD. Raises `JsonFault`."""
    text = data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")
    return _checked(text, lambda: _DECODER.decode(text))


def _checked(text: str, read: Any) -> Any:
    try:
        found = read()
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(text) or error.msg.startswith("Unterminated string")
        raise JsonFault(str(error), error.pos, at_end=at_end) from None
    except RecursionError:
        raise JsonFault("exceeded max depth") from None
    if text.count("[") + text.count("{") > DEPTH_MAX and is_deep(found):
        raise JsonFault("exceeded max depth")
    if _HALF.search(text):
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise JsonFault("a text has half of a surrogate pair, which is no character") from None
    return found


def is_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than `DEPTH_MAX`."""
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [inner for each in level if isinstance(each, list | dict)
                 for inner in (each.values() if isinstance(each, dict) else each)]  # fmt: skip
        if not level:
            return False
    return any(isinstance(each, list | dict) for each in level)


def float_of(text: str) -> float:
    """A number with a fraction or an exponent. Raises `JsonFault` for one that is too large."""
    found = float(text)
    if found in (float("inf"), float("-inf")):
        raise JsonFault(f"cannot unmarshal number {_short(text)} into Go value of type float64")
    return found


def whole_of(text: str) -> int:
    """A whole number. Raises `JsonFault` for one that is too large for anything."""
    if len(text) > DIGITS_MAX:
        raise JsonFault(f"cannot unmarshal number {_short(text)} into Go value of type float64")
    return int(text)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}...{text[-10:]} ({len(text)} characters)"


def no_constant(name: str) -> Any:
    """NaN and Infinity. Raises `JsonFault`."""
    raise JsonFault(f"invalid character {name.lstrip('-')[0]!r} looking for beginning of value")


_DECODER: Final = json.JSONDecoder(parse_constant=no_constant, parse_float=float_of, parse_int=whole_of)
