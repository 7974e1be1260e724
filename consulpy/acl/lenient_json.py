"""JSON as HCL 1 reads it: more is accepted than JSON allows, and a policy that was stored has to stay readable.

- A comma before the closing brace, a missing closing brace and anything after the end are no errors.
- What stands where a comma could be ends an object. An unfinished member before a closing brace is left out.
- A name that is given twice keeps both values. `"a" "b": 1` is `"a": {"b": 1}`.
- Commas in lists are ignored. A list in a list stands for the outer one, which ends with it.
- Texts have Go's escapes: `\\a`, `\\x41`, `\\101`, but not `\\/`.

Source: the answers of 1.8.7 to such policies.
"""

import re
from typing import Any, Final

from consulpy.codec.hcl import HclSyntaxError, Number, QuotedText

#: How deep objects may be nested.
DEPTH_MAX: Final = 64

_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"(?:-?[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]*)?")
_WORD: Final = re.compile(r"[^\W\d_][\w-]*")
_WORDS: Final = {"true": True, "false": False, "null": None}
#: Signs, and how Go calls them.
_SIGNS: Final = {"{": "LBRACE", "}": "RBRACE", "[": "LBRACK", "]": "RBRACK", ",": "COMMA", ":": "COLON"}
_END: Final = "EOF"


class JsonMistake(ValueError):
    """The text is no JSON; says where (line and column) and what was expected."""


class _EndOfText(Exception):
    """There is no value before the end of the text."""


def parse_all(text: str) -> dict[str, Any]:
    """The object in `text`: each name with the list of all its values. Raises `JsonMistake`.

    A list of objects counts as the objects one after the other. Numbers are `Number`s.
    """
    return _Parser(text).root()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        #: Where the token begins, and where the next one does.
        self._start = self._at = 0
        #: Go's name of the token, and its value.
        self._kind = ""
        self._value: Any = None

    def root(self) -> dict[str, Any]:
        if self._scan() != "LBRACE":
            raise self._mistake("expected object")
        return self._object(0)

    def _scan(self) -> str:
        """Go on to the next token; its kind."""
        match = _BLANKS.match(self._text, self._at)
        self._start = self._at = match.end() if match is not None else self._at
        char = self._text[self._at : self._at + 1]
        self._kind = "ILLEGAL"  # until it is known better
        if char in ("", "\0"):
            self._kind = _END
        elif char in _SIGNS:
            self._kind = _SIGNS[char]
            self._at += 1
        elif char == '"':
            self._kind = "STRING"
            self._value, self._at = self._string()
        elif number := _NUMBER.match(self._text, self._at):
            self._number(number[0])
        else:
            self._word()
        return self._kind

    def _number(self, text: str) -> None:
        if re.match("-?0[0-9]", text):
            raise self._mistake("numbers cannot start with 0")
        self._value = Number(text)
        self._kind = "NUMBER" if self._value.is_whole else "FLOAT"
        self._at += len(text)

    def _word(self) -> None:
        word = _WORD.match(self._text, self._at)
        if word is None:
            raise self._mistake(f"illegal char: {self._text[self._at]!r}")
        if word[0] not in _WORDS:
            raise self._mistake(f"illegal char: {word[0]} (a text is written in quotes)")
        self._value = _WORDS[word[0]]
        self._kind = "BOOL" if self._value is not None else "NULL"
        self._at = word.end()

    def _string(self) -> tuple[str, int]:
        line, column = self._place(self._start)
        try:
            return QuotedText(self._text, self._start + 1, line, column, has_templates=False).read()
        except HclSyntaxError as mistake:
            raise JsonMistake(f"{mistake.line}:{mistake.column}: {mistake}") from None

    def _object(self, depth: int) -> dict[str, Any]:
        """The members of an object, after its `{`. Any token in place of a comma ends it."""
        if depth > DEPTH_MAX:
            raise self._mistake(f"objects may be nested {DEPTH_MAX} deep at most")
        found: dict[str, Any] = {}
        while True:
            names = self._names()
            if not names:
                return found
            try:
                value = self._any(depth)
            except _EndOfText:
                return found
            except JsonMistake:
                if self._kind == "RBRACE":
                    return found
                raise
            for name in reversed(names[1:]):
                value = {name: _values(value)}
            found.setdefault(names[0], []).extend(_values(value))
            if self._scan() != "COMMA":
                return found

    def _names(self) -> list[str]:
        """The names before a colon; none where the object ends."""
        names: list[str] = []
        while True:
            kind = self._scan()
            if kind in ("RBRACE", _END):
                return []
            if kind == "COLON" and names:
                return names
            if kind != "STRING":
                raise self._mistake(f"expected: STRING got: {kind}")
            names.append(self._value)

    def _any(self, depth: int) -> Any:
        kind = self._scan()
        if kind == "LBRACE":
            return self._object(depth + 1)
        if kind == "LBRACK":
            return self._list(depth + 1)
        if kind == _END:
            raise _EndOfText
        if kind in ("COMMA", "COLON", "RBRACE", "RBRACK"):
            raise self._mistake(f"expected object value, got unknown token: {kind}")
        return self._value

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while True:
            kind = self._scan()
            if kind == "RBRACK":
                return found
            if kind == "LBRACK":
                found = []
            elif kind == "LBRACE":
                found.append(self._object(depth))
            elif kind in ("STRING", "NUMBER", "FLOAT", "BOOL"):
                found.append(self._value)
            elif kind != "COMMA":
                raise self._mistake(f"unexpected token while parsing list: {kind}")

    def _place(self, position: int) -> tuple[int, int]:
        return self._text.count("\n", 0, position) + 1, position - self._text.rfind("\n", 0, position)

    def _mistake(self, why: str) -> JsonMistake:
        """A mistake at the token."""
        line, column = self._place(self._start)
        return JsonMistake(f"{line}:{column}: {why}")


def _values(value: Any) -> list[Any]:
    """The values that a member has: a list of objects counts as these."""
    is_objects = isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
    return value if is_objects else [value]
