"""Strict JSON parsing of untrusted text, as in Go: the result can be stored and displayed, or an error is raised.

Python's own parser accepts more: NaN and Infinity, numbers beyond any float, lone surrogates (which are not UTF-8), any
depth of nesting; and it raises other errors for numbers of many digits.
"""

import json
import re
from typing import Any, Final

#: Maximum nesting of lists and objects; below the limits of MessagePack, orjson and recursion.
DEPTH_MAX: Final = 100
#: Maximum digits of an integer, which fit into Go's widest type.
DIGITS_MAX: Final = 309

#: A member: its name and value.
_Pairs = list[tuple[str, Any]]


class Repeated(dict[str, Any]):
    """An object some of whose names came more than once; of each the last value. `pairs`: all members as they came."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: _Pairs) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _object(pairs: _Pairs) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeated(pairs)


_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """The text is not valid JSON. `position`: of the error, -1 if unknown; `at_end`: the text is truncated."""

    def __init__(self, why: str, position: int = -1, *, at_end: bool = False) -> None:
        super().__init__(why)
        self.position = position
        self.at_end = at_end


def first_value(text: str) -> Any:
    """Parse the first value of `text`; what follows it is ignored. Objects with a name twice are `Repeated`. Raises
    `JsonError`.
    """
    return _checked(text, lambda: _WITH_REPEATED.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))[0])


def parse(data: bytes | str) -> Any:
    """Parse the only value of `data`. Bytes that are not UTF-8 become U+FFFD. Raises `JsonError`."""
    text = data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")
    return _checked(text, lambda: _DECODER.decode(text))


def _checked(text: str, read: Any) -> Any:
    try:
        found = read()
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(text) or error.msg.startswith("Unterminated string")
        raise JsonError(str(error), error.pos, at_end=at_end) from None
    except RecursionError:
        raise JsonError("exceeded max depth") from None
    if text.count("[") + text.count("{") > DEPTH_MAX and is_deep(found):
        raise JsonError("exceeded max depth")
    if _HALF.search(text):
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise JsonError("a text has half of a surrogate pair, which is no character") from None
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


def parse_float(text: str) -> float:
    """Parse a number with a fraction or an exponent. Raises `JsonError` for one that is too large."""
    found = float(text)
    if found in (float("inf"), float("-inf")):
        raise JsonError(f"cannot unmarshal number {_short(text)} into Go value of type float64")
    return found


def parse_int(text: str) -> int:
    """Parse an integer. Raises `JsonError` for one with too many digits."""
    if len(text) > DIGITS_MAX:
        raise JsonError(f"cannot unmarshal number {_short(text)} into Go value of type float64")
    return int(text)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}...{text[-10:]} ({len(text)} characters)"


def refuse_constant(name: str) -> Any:
    """Raises `JsonError` for NaN and Infinity."""
    raise JsonError(f"invalid character {name.lstrip('-')[0]!r} looking for beginning of value")


_DECODER: Final = json.JSONDecoder(parse_constant=refuse_constant, parse_float=parse_float, parse_int=parse_int)
_WITH_REPEATED: Final = json.JSONDecoder(
    parse_constant=refuse_constant, parse_float=parse_float, parse_int=parse_int, object_pairs_hook=_object
)
