"""Expression text to syntax tree, by a parsing expression grammar (seen on real Consul 1.8.7, with its error texts).

    Input    = "(" Or ")" / Or               Match    = Selector Op Value / Selector EmptyOp / Value InOp Selector
    Or       = And ("or" And)*               Selector = Name ("." Name / "[" String "]")*
    And      = Not ("and" Not)*              Value    = Selector / Number / String
    Not      = "not" Not / Group             String   = "with \\escapes" / `without`
    Group    = "(" Or ")" / Match            Number   = -1.5

Clients show the error texts to people, so they are the same: where the farthest attempt failed and what could have
stood there ("1:7 (6): no match found, expected: ..."), or the complaints of single rules, one a line.
"""

import re
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.filter.errors import FilterError
from consulpy.gocompat.literals import unquote

EQUAL: Final = "Equal"
NOT_EQUAL: Final = "Not Equal"
IN: Final = "In"
NOT_IN: Final = "Not In"
IS_EMPTY: Final = "Is Empty"
IS_NOT_EMPTY: Final = "Is Not Empty"
MATCHES: Final = "Matches"
NOT_MATCHES: Final = "Not Matches"

#: Maximum nesting of parentheses and `not`, which bounds the use of the stack.
MAX_DEPTH: Final = 64

#: Operator -> its words; "?" is optional white space, "_" is some white space.
_Words = tuple[tuple[str, tuple[str, ...]], ...]
_BETWEEN: Final[_Words] = (
    (EQUAL, ("?", "==", "?")),
    (NOT_EQUAL, ("?", "!=", "?")),
    (IN, ("_", "contains", "_")),
    (NOT_IN, ("_", "not", "_", "contains", "_")),
    (MATCHES, ("_", "matches", "_")),
    (NOT_MATCHES, ("_", "not", "_", "matches", "_")),
)
_AFTER: Final[_Words] = ((IS_EMPTY, ("_", "is", "_", "empty")), (IS_NOT_EMPTY, ("_", "is", "_", "not", "_", "empty")))
_BEFORE: Final[_Words] = ((IN, ("_", "in", "_")), (NOT_IN, ("_", "not", "_", "in", "_")))

_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_DIGITS: Final = re.compile(r"[0-9]*")
_END: Final = "EOF"


@dataclass(slots=True)
class Match:
    """`selector operator value`; the value is None for `is empty` and `is not empty`."""

    selector: tuple[str, ...]
    operator: str
    value: str | None


@dataclass(slots=True)
class Not:
    """Negation."""

    operand: "Expression"


@dataclass(slots=True)
class All:
    """`and` of at least two operands."""

    operands: "list[Expression]"


@dataclass(slots=True)
class AnyOf:
    """`or` of at least two operands."""

    operands: "list[Expression]"


Expression = Match | Not | All | AnyOf


def parse(text: str) -> Expression:
    """Parse an expression. Raises `FilterError`."""
    return _Parser(text).input()


class _Parser:
    """Each method tries one rule at `self.at`; if it doesn't match it returns None (or False) and leaves `self.at`
    unchanged.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.farthest = 0
        self.expected: set[str] = set()
        self.errors: list[str] = []
        self.or_cache: dict[int, tuple[Expression | None, int]] = {}  # memoized results of `or_` by position

    # -- rules

    def input(self) -> Expression:
        found = self.whole(bracketed=True) or self.whole(bracketed=False)
        if self.errors:
            raise FilterError("\n".join(dict.fromkeys(self.errors)))
        if found is None:
            raise FilterError(f"{self.position(self.farthest)}: no match found, expected: {self.wanted()}")
        return found

    def whole(self, bracketed: bool) -> Expression | None:
        self.at = 0
        self.words("?")
        found = self.group() if bracketed else self.or_()
        if found is None:
            return None
        self.words("?")
        return found if self.end() else None

    def group(self) -> Expression | None:
        """( expression )"""
        start = self.at
        if self.words("(", "?"):
            found = self.or_()
            if found is not None and self.words("?", ")"):
                return found
        self.at = start
        return None

    def or_(self) -> Expression | None:
        start = self.at
        if start not in self.or_cache:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise FilterError(f"{self.position(start)}: nested deeper than {MAX_DEPTH}")
            found = self.chain("or")
            self.depth -= 1
            self.or_cache[start] = (found, self.at)
        found, self.at = self.or_cache[start]
        return found

    def chain(self, word: str) -> Expression | None:
        """Operands with `word` between them."""
        one = self.chain("and") if word == "or" else self.not_()
        if one is None:
            return None
        operands = [one]
        while True:
            before = self.at
            if not self.words("_", word, "_"):
                break
            another = self.chain("and") if word == "or" else self.not_()
            if another is None:
                self.at = before
                break
            operands.append(another)
        if len(operands) == 1:
            return one
        return AnyOf(operands) if word == "or" else All(operands)

    def not_(self) -> Expression | None:
        nots: list[int] = [self.at]
        while self.words("not", "_"):
            nots.append(self.at)
        while nots:  # the last "not" may be a name: `not not == 1`
            self.at = nots[-1]
            found = self.group_or_match()
            if found is not None:
                return found if len(nots) % 2 else Not(found)
            nots.pop()
        return None

    def group_or_match(self) -> Expression | None:
        found = self.group() or self.match()
        if found is None:
            start = self.at
            if self.words("(", "?") and self.or_() is not None:
                self.words("?")
                if not self.ahead(")"):
                    self.report_error(self.at, "grouping", "Unmatched parentheses")
            self.at = start
        return found

    def match(self) -> Expression | None:
        start = self.at
        selector = self.selector()
        if selector is not None:
            after = self.at
            for operator, words in _BETWEEN:
                if self.words(*words):
                    value = self.value()
                    if value is not None:
                        return Match(selector, operator, value)
                    break
            self.at = after
            for operator, words in _AFTER:
                if self.words(*words):
                    return Match(selector, operator, None)
        self.at = start
        found = self.value_in_selector()
        if found is None:
            self.at = start
        return found

    def value_in_selector(self) -> Expression | None:
        value = self.value()
        if value is None:
            return None
        for operator, words in _BEFORE:
            if self.words(*words):
                selector = self.selector()
                if selector is not None:
                    return Match(selector, operator, value)
                self.report_error(self.at, "match", "Invalid selector")
                return None
        return None

    def selector(self) -> tuple[str, ...] | None:
        first = self.name()
        if first is None:
            return None
        path = [first]
        while True:
            before = self.at
            step = self.name() if self.words(".") else None
            if step is None:
                self.at = before
                step = self.index()
            if step is None:
                return tuple(path)
            path.append(step)

    def name(self) -> str | None:
        found = _NAME.match(self.text, self.at)
        if found is None:
            self.fail(self.at, "[a-zA-Z]")
            return None
        self.at = found.end()
        self.fail(self.at, "[a-zA-Z0-9_]")
        return found[0]

    def index(self) -> str | None:
        start = self.at
        if not self.words("[", "?"):
            return None
        key = self.string()
        if key is None:
            self.report_error(self.at, "index", "Invalid index")
        else:
            self.words("?")
            if self.words("]"):
                return key
            self.report_error(self.at, "index", "Unclosed index expression")
        self.at = start
        return None

    def value(self) -> str | None:
        selector = self.selector()
        if selector is not None:
            return ".".join(selector)
        number = self.number()
        return number if number is not None else self.string()

    def number(self) -> str | None:
        start = self.at
        self.words("-")
        if not self.whole_digits():
            self.at = start
            return None
        point = self.at
        if not (self.words(".") and self.digit("[0-9]", "0123456789")):
            self.at = point
        if not self.blank_ahead() and not self.end() and not self.words(")"):
            self.report_error(self.at, "number", "Invalid number literal")
            self.at = start
            return None
        after = self.text[start : self.at].removesuffix(")")
        self.at = start + len(after)
        return after

    def whole_digits(self) -> bool:
        return self.words("0") or self.digit("[1-9]", "123456789")

    def digit(self, label: str, first: str) -> bool:
        """One digit of `first`, then any digits."""
        if self.text[self.at : self.at + 1] not in first or self.at >= len(self.text):
            self.fail(self.at, label)
            return False
        found = _DIGITS.match(self.text, self.at + 1)
        assert found is not None
        self.at = found.end()
        self.fail(self.at, "[0-9]")
        return True

    def string(self) -> str | None:
        start = self.at
        for quote in "`", '"':
            if self.words(quote):
                break
        else:
            return None
        close = self.text.find(quote, self.at)
        if close < 0:
            self.report_error(len(self.text), "string", "Unterminated string literal")
            self.at = start
            return None
        self.at = close + 1
        value = unquote(self.text[start : self.at])
        if value is None:
            self.report_error(start, "string", "invalid syntax")
            return ""
        return value

    # -- terminals

    def words(self, *wanted: str) -> bool:
        """All of these words in order; "_" is white space, "?" optional white space."""
        start = self.at
        for word in wanted:
            if word in ("_", "?"):
                found = _BLANKS.match(self.text, self.at)
                assert found is not None
                self.fail(found.end(), r"[ \t\r\n]")
                matched = word == "?" or found.end() > self.at
                self.at = found.end()
            else:
                matched = self.text.startswith(word, self.at)
                if matched:
                    self.at += len(word)
                else:
                    self.fail(self.at, '"\\""' if word == '"' else f'"{word}"')
            if not matched:
                self.at = start
                return False
        return True

    def ahead(self, word: str) -> bool:
        return self.text.startswith(word, self.at)

    def blank_ahead(self) -> bool:
        start = self.at
        found = self.words("_")
        self.at = start
        return found

    def end(self) -> bool:
        if self.at == len(self.text):
            return True
        self.fail(self.at, _END)
        return False

    # -- errors

    def fail(self, at: int, label: str) -> None:
        """Record that `label` was expected at `at`; only the farthest position is reported."""
        if at > self.farthest:
            self.farthest = at
            self.expected.clear()
        if at == self.farthest:
            self.expected.add(label)

    def report_error(self, at: int, rule: str, text: str) -> None:
        self.errors.append(f'{self.position(at)}: rule "{rule}": {text}')

    def position(self, at: int) -> str:
        """line:column (offset in bytes)"""
        before = self.text[:at]
        line = before.count("\n") + 1
        column = at - (before.rfind("\n") + 1) + 1
        return f"{line}:{column} ({len(before.encode('utf-8', 'surrogateescape'))})"

    def wanted(self) -> str:
        labels = sorted(self.expected - {_END}) + [_END] * (_END in self.expected)
        return labels[0] if len(labels) == 1 else ", ".join(labels[:-1]) + " or " + labels[-1]
