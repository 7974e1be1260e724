"""JSON as HCL 1 reads it: more is accepted than JSON allows, and a policy that was stored has to stay readable.

A comma before the closing brace, a missing closing brace and anything after the end are no errors. A name that is
given twice keeps both values. Source: the answers of 1.8.7 to such policies.
"""

import json
import re
from typing import Any, Final

#: How deep objects may be nested.
DEPTH_MAX: Final = 64

_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*(?:
      (?P<text>"(?:[^"\\\n]|\\.)*")
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
    | (?P<word>[A-Za-z_]+)
    | (?P<sign>[{}\[\],:])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_WORDS: Final = {"true": True, "false": False, "null": None}


class JsonMistake(ValueError):
    """The text is no JSON; says what was expected."""


def parse_all(text: str) -> dict[str, Any]:
    """The object in `text`: each name with the list of all its values. Raises `JsonMistake`.

    A list of objects counts as the objects one after the other.
    """
    return _Parser(text).root()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._kind = ""
        self._value = ""

    def root(self) -> dict[str, Any]:
        if self._scan() != "{":
            raise JsonMistake("expected object")
        return self._object(0)

    def _scan(self) -> str:
        """Go on to the next token; its kind, or the sign that it is."""
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise JsonMistake(f"illegal character at {self._at}")
        self._at = match.end()
        kind = str(match.lastgroup)
        self._value = match[kind]
        self._kind = self._value if kind == "sign" else kind
        return self._kind

    def _object(self, depth: int) -> dict[str, Any]:
        """The members of an object, after its `{`. Any token in place of a comma ends it."""
        if depth > DEPTH_MAX:
            raise JsonMistake(f"objects may be nested {DEPTH_MAX} deep at most")
        found: dict[str, Any] = {}
        while True:
            if self._scan() in ("}", "end"):
                return found
            if self._kind != "text":
                raise JsonMistake(f"expected: STRING got: {self._value}")
            name = self._string()
            if self._scan() == "end":
                return found
            if self._kind != ":":
                raise JsonMistake(f"expected: COLON got: {self._value}")
            value = self._any(depth)
            is_objects = isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
            found.setdefault(name, []).extend(value if is_objects else [value])
            if self._scan() != ",":
                return found

    def _any(self, depth: int) -> Any:
        kind = self._scan()
        if kind == "text":
            return self._string()
        if kind == "number":
            return self._value
        if kind == "word" and self._value in _WORDS:
            return _WORDS[self._value]
        if kind == "{":
            return self._object(depth + 1)
        if kind == "[":
            return self._list(depth + 1)
        raise JsonMistake(f"expected object value, got unknown token: {self._value}")

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while True:
            kind = self._scan()
            if kind == "]":
                return found
            if kind == ",":
                continue
            if kind == "text":
                found.append(self._string())
            elif kind == "number":
                found.append(self._value)
            elif kind == "{":
                found.append(self._object(depth))
            else:
                raise JsonMistake(f"unexpected token while parsing list: {self._value}")

    def _string(self) -> str:
        try:
            return str(json.loads(self._value, strict=False))
        except ValueError:
            raise JsonMistake("invalid string") from None
