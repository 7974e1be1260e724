"""HIL, the language of templates of prepared queries and of names in binding rules: text with `${...}`. Pure.

Between the braces: names, numbers, texts in quotes (with `${...}` of their own), calls, `+ - * / %` (from left to
right, all alike) and parentheses. `$${` is a literal `${`. Errors name line and column. Source: what a real server
of 1.8.7 makes of such templates. Some end it, and all others of the quorum with it: `${+1}`, `${1/0}`, a text that is
converted to a number. They are refused here.
"""

import re
from collections.abc import Callable, Mapping
from operator import add, mul, sub
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.gocompat.literals import quoted

#: A value: text, whole number or number.
Value = str | int | float
#: A function of one whole number.
Function = Callable[[int], str]

_SYNTAX: Final = "parse error: syntax error"
#: Most nested expressions, and most expressions of one template.
_DEPTH_MAX: Final = 100
_EXPRESSIONS_MAX: Final = 1000
_NAME: Final = re.compile(r"(?:[\w\-.]|(?<=\.)\*)+")
_NUMBER: Final = re.compile(r"[0-9][0-9.]*")
_BLANK: Final = re.compile(r"\s*")
_SPECIAL: Final = re.compile(r'\$\$|\$\{|["\\]')
_ESCAPES: Final = {"\\": "\\", '"': '"', "n": "\n"}
_WHOLE_MAX: Final = 2**63 - 1
_WHOLE: Final = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
#: Operators that hold for all numbers.
_ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], float]]] = {"+": add, "-": sub, "*": mul}


class HilError(ValueError):
    """A text that is no template (`is_syntax`), or a template that cannot be evaluated."""

    def __init__(self, text: str, is_syntax: bool = False) -> None:
        super().__init__(text)
        self.is_syntax = is_syntax


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a template. `kind`: text, number, name, index, call, math or output; `at`: its offset.

    `value`: of `math` its operators, one between two parts each.
    """

    kind: str
    at: int
    value: Any = None
    parts: tuple["Node", ...] = ()


class Template:
    """A parsed template. Raises `HilError`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._root = _Parser(text).parse()

    def evaluate(self, names: Mapping[str, str], functions: Mapping[str, Function]) -> str:
        """The text with the values of names and functions. Raises `HilError`."""
        return _text_of(self._value(self._root, names, functions))

    def _value(self, node: Node, names: Mapping[str, str], functions: Mapping[str, Function]) -> Value:
        if node.kind in ("text", "number"):
            found: Value = node.value
            return found
        if node.kind == "name":
            if node.value not in names:
                raise self._fault(node, f"unknown variable accessed: {node.value}")
            return names[node.value]
        if node.kind == "index":  # there are no lists
            known = node.value in names
            fault = "invalid index operation into non-indexable type: TypeString"
            raise self._fault_at(node, fault if known else f"unknown variable accessed: {node.value}")
        if node.kind == "call":
            return self._call(node, names, functions)
        values = [self._value(part, names, functions) for part in node.parts]
        if node.kind == "output":
            return values[0] if len(values) == 1 else "".join(map(_text_of, values))
        left = values[0]
        for operator, right in zip(node.value, values[1:], strict=True):
            left = self._calculate(node, operator, left, right)
        return left

    def _call(self, node: Node, names: Mapping[str, str], functions: Mapping[str, Function]) -> Value:
        function = functions.get(node.value)
        if function is None:
            raise self._fault(node, f"unknown function called: {node.value}")
        if len(node.parts) != 1:
            raise self._fault(node, f"{node.value}: expected 1 arguments, got {len(node.parts)}")
        return function(_whole(self._value(node.parts[0], names, functions)))

    def _calculate(self, node: Node, operator: str, one: Value, other: Value) -> Value:
        """Both get the type of the first number of them; two texts are whole numbers."""
        first = next((value for value in (one, other) if not isinstance(value, str)), 0)
        is_float = isinstance(first, float)
        if is_float and operator == "%":
            raise self._fault_at(node, "modulo cannot be used with floats")
        convert = _number if is_float else _whole
        left, right = convert(one), convert(other)
        if operator in _ARITHMETIC:
            result = _ARITHMETIC[operator](left, right)
        elif not right:
            raise self._fault(node, "divide by zero")
        else:
            result = left / right if is_float else _divided(operator, int(left), int(right))
        return result if is_float else _wrapped(int(result))

    def _fault(self, node: Node, text: str) -> HilError:
        line, column = self._place(node)
        return HilError(f"{line}:{column}: {text}")

    def _place(self, node: Node) -> tuple[int, int]:
        """Line and column; columns of further lines begin with 2, as there."""
        before = self._text[: node.at]
        line = before.count("\n") + 1
        return line, node.at - before.rfind("\n") + (line > 1)

    def _fault_at(self, node: Node, text: str) -> HilError:
        line, column = self._place(node)
        return HilError(f"At column {column}, line {line}: {text}")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = self._count = 0

    def parse(self) -> Node:
        """The whole text. Raises `HilError`."""
        return self._literal(quoted=False)

    def _literal(self, *, quoted: bool) -> Node:
        """Text and `${...}` up to the end, or to the closing quote."""
        start, parts, text = self._at, [], ""
        text_at = start
        while True:
            special = _SPECIAL.search(self._text, self._at)
            end = special.start() if special is not None else len(self._text)
            text += self._text[self._at : end]
            self._at = end
            if special is None and quoted:
                raise HilError(_SYNTAX, is_syntax=True)
            if special is None or (quoted and special[0] == '"'):
                break
            if special[0] == "${":
                if text:
                    parts.append(Node("text", text_at, text))
                self._at += 2
                parts.append(self._expression())
                self._expect("}")
                text, text_at = "", self._at
                continue
            self._at = special.end()
            if special[0] == "$$":
                text += "$"
            elif special[0] == "\\" and quoted and self._text[self._at : self._at + 1] in _ESCAPES:
                text += _ESCAPES[self._text[self._at]]
                self._at += 1
            else:
                text += special[0]
        if text or not parts:
            parts.append(Node("text", text_at, text))
        return Node("output", start, None, tuple(parts))

    def _expression(self) -> Node:
        operands, operators = [self._nested()], ""
        while (operator := self._next()) and operator in "+-*/%":
            self._at += 1
            operators += operator
            operands.append(self._nested())
        return Node("math", operands[0].at, operators, tuple(operands)) if operators else operands[0]

    def _nested(self) -> Node:
        self._depth += 1
        self._count += 1
        if self._depth > _DEPTH_MAX or self._count > _EXPRESSIONS_MAX:
            raise HilError(f"more than {_EXPRESSIONS_MAX} expressions, or {_DEPTH_MAX} nested ones", is_syntax=True)
        found = self._operand()
        self._depth -= 1
        return found

    def _operand(self) -> Node:
        char, start = self._next(), self._at
        if char == "(":
            self._at += 1
            inner = self._expression()
            self._expect(")")
            return inner
        if char == '"':
            self._at += 1
            inner = self._literal(quoted=True)
            self._at += 1
            return inner
        if char == "+":
            raise HilError("a plus without a left side, which ends servers of Consul 1.8.7", is_syntax=True)
        if char == "-":
            self._at += 1
            return Node("math", start, char, (Node("number", start, 0), self._nested()))
        number = _NUMBER.match(self._text, start)
        if number is not None:
            self._at = number.end()
            return Node("number", start, self._parsed(number[0]))
        name = _NAME.match(self._text, start)
        if name is None:
            raise HilError(_SYNTAX, is_syntax=True)
        self._at = name.end()
        following = self._next()
        if following == "(":
            return self._called(name[0], start)
        if following == "[":
            self._at += 1
            index = self._expression()
            self._expect("]")
            return Node("index", start, name[0], (index,))
        return Node("name", start, name[0])

    def _called(self, name: str, start: int) -> Node:
        self._at += 1
        arguments: list[Node] = []
        if self._next() != ")":
            arguments.append(self._expression())
            while self._next() == ",":
                self._at += 1
                arguments.append(self._expression())
        self._expect(")")
        return Node("call", start, name, tuple(arguments))

    @staticmethod
    def _parsed(text: str) -> Value:
        try:
            return float(text) if "." in text else _parsed_whole(text)
        except ValueError:
            raise HilError(_SYNTAX, is_syntax=True) from None

    def _next(self) -> str:
        """The next character that is not blank; empty at the end."""
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank is not None else self._at
        return self._text[self._at : self._at + 1]

    def _expect(self, char: str) -> None:
        if self._next() != char:
            raise HilError(_SYNTAX, is_syntax=True)
        self._at += 1


def _text_of(value: Value) -> str:
    if not isinstance(value, float):
        return str(value)
    shown = repr(value)
    return shown.removesuffix(".0")


def _divided(operator: str, left: int, right: int) -> int:
    """The quotient, rounded towards zero, or with `%` the remainder, which has the sign of `left`."""
    quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return quotient if operator == "/" else left - quotient * right


def _whole(value: Value) -> int:
    if not isinstance(value, str):
        return int(value)
    try:
        _parsed_whole(value)
    except ValueError as error:
        raise HilError(f"__builtin_StringToInt: {error}") from None
    raise _text_as_number(value)


def _parsed_whole(text: str) -> int:
    """As Go's `strconv.ParseInt(text, 0, 64)`. Raises `ValueError` with its text."""
    fault = f"strconv.ParseInt: parsing {quoted(text)}: "
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{fault}invalid syntax")
    digits = text.lstrip("+-")
    found = int(text, 16 if digits[:2].lower() == "0x" else 8 if digits[0] == "0" else 10)
    if not -_WHOLE_MAX - 1 <= found <= _WHOLE_MAX:
        raise ValueError(f"{fault}value out of range")
    return found


def _number(value: Value) -> float:
    if not isinstance(value, str):
        return float(value)
    try:
        float(value)
    except ValueError:
        fault = f"strconv.ParseFloat: parsing {quoted(value)}: invalid syntax"
        raise HilError(f"__builtin_StringToFloat: {fault}") from None
    raise _text_as_number(value)


def _text_as_number(value: str) -> HilError:
    return HilError(f"{quoted(value)} is a text, not a number: servers of Consul 1.8.7 end when they convert it")


def _wrapped(value: int) -> int:
    """The number in 64 bits, as Go's arithmetic wraps it."""
    return (value + _WHOLE_MAX + 1) % 2**64 - _WHOLE_MAX - 1
