"""HCL as Consul reads it: version 1 of the language, in which python-hcl2 finds most of Consul's usual files wrong.

    datacenter = "dc1"
    ports { http = -1, dns = 8600 }     # a comma is as good as a line's end
    node_meta { "rack id" = "a" }       // names may be quoted
    services { name = "web" }           /* a block again: one more in the list */
    text = <<EOF
    ...
    EOF

Source: the HCL 1 description; what `consul validate` of 1.8.7 accepts. Values know their lines, so that a mistake can
be shown where it is.
"""

import re
from collections.abc import Callable
from dataclasses import field
from typing import Any, Final

from consulpy.codec.blocks import Block, Blocks, Label
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.strict_json import JsonError, parse_float, parse_int

#: Maximum nesting of blocks and lists.
DEPTH_MAX: Final = 64

_TOKEN: Final = re.compile(
    r"""
    [ \t\r]*  # then one of these
    (?:
      (?P<comment>\#[^\n\0]* | //[^\n\0]* | /\*[^\0]*?\*/)
    | (?P<line>\n)
    | (?P<heredoc><<-?(?P<mark>\w+)\n)
    | (?P<number>-?0[xX][0-9a-fA-F]+|(?!-?0[xX])(?:-?[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]*)?)
    | (?P<name>[^\W\d][\w.\-]*)
    | (?P<plain>"[^"\\\n$\0]*")
    | (?P<text>")
    | (?P<sign>[={}\[\],])
    | \Z
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANKS: Final = " \t\r"
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", '"': '"', "\\": "\\"}
_CODE: Final = re.compile(r"u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{3}")
#: What may stand before the word that ends a text of several lines.
_INDENT: Final = " \t\v\f\r"


class HclSyntaxError(Exception):
    """The text is not HCL. `line`, `column`: of the error, from 1; the text says what was expected."""

    def __init__(self, line: int, column: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.column = column


class Number(str):
    """A number as it is written."""

    __slots__ = ()

    @property
    def is_whole(self) -> bool:
        """Whether it has neither fraction nor exponent."""
        return "x" in self.lower() or not any(sign in self for sign in ".eE")


@dataclass(slots=True)
class _Token:
    kind: str  # "name", "text", "heredoc", "number", "bool", "end" or a punctuation character
    value: Any
    line: int
    column: int


def parse(text: str) -> Block:
    """Parse a file. Blocks of one name become a list. Raises `HclSyntaxError`."""
    tokens = _tokens(text, _number)
    if "\\" in text:
        for token in tokens:
            if isinstance(token.value, str) and re.search("[\udc80-\udcff]", token.value):
                raise HclSyntaxError(token.line, token.column, "a byte of the text is no character")
    return _Parser(tokens, _add).document()


@dataclass
class Document:
    """The tree, and the line of the first occurrence of each name by its path."""

    tree: Block
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._find_lines(self.tree, ())

    def _find_lines(self, block: Block, path: tuple[str, ...]) -> None:
        for name, values in block.items():
            self.lines.setdefault((*path, name), block.line_of(name))
            for value in values:
                if isinstance(value, Block):
                    self._find_lines(value, (*path, name))


def parse_all(text: str) -> Document:
    """Parse a text with all values of repeated names: each name has a list. Raises `HclSyntaxError`.

    Numbers are `Number`s.
    """
    return Document(_Parser(_tokens(text, lambda number, _line, _column: Number(number)), _append).document())


#: A name, its labels, and the value: a block is a list of these.
Item = tuple[tuple[str, ...], Any]


def parse_items(text: str) -> list[Item]:
    """Parse a text into names with labels and values, in order, repeated ones too. Raises `HclSyntaxError`."""
    return _items(_Parser(_tokens(text, _number), _append_pair).document())


def _items(tree: Block) -> list[Item]:
    return [_item((name,), value) for name, value in tree.values()]


def _item(names: tuple[str, ...], value: Any) -> Item:
    if isinstance(value, Label):
        [(label, inner)] = value.values()
        return _item((*names, label), inner)
    return names, _items(value) if isinstance(value, Block) else value


def _tokens(text: str, number: Callable[[str, int, int], Any]) -> list[_Token]:
    """`number(text, line, column)`: the value of a number."""
    text = text.replace("\r\n", "\n")
    found: list[_Token] = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unexpected(text, position, line)
        position = match.end()
        kind = match.lastgroup
        if kind is None:
            break
        start = match.start("heredoc" if kind == "mark" else kind)
        column = start - text.rfind("\n", 0, start)
        if kind == "plain":
            found.append(_Token("text", match["plain"][1:-1], line, column))
        elif kind == "name":
            name = match["name"]
            is_bool = name in ("true", "false")
            found.append(_Token("bool" if is_bool else "name", name, line, column))
        elif kind == "sign":
            found.append(_Token(match["sign"], match["sign"], line, column))
        elif kind == "line":
            line += 1
        elif kind == "number":
            found.append(_Token("number", number(match["number"], line, column), line, column))
        elif kind == "text":
            value, position = QuotedText(text, position, line, column).read()
            found.append(_Token("text", value, line, column))
            line += text.count("\n", match.end(), position)
        elif kind == "comment":
            line += match["comment"].count("\n")
        else:  # the mark of a heredoc
            is_indented = match["heredoc"].startswith("<<-")
            value, position = _heredoc(text, position, match["mark"], is_indented, (line, column))
            found.append(_Token("heredoc", value, line, column))
            line += 1 + text.count("\n", match.end(), position)
    found.append(_Token("end", None, line, len(text) - text.rfind("\n")))
    return found


def _unexpected(text: str, position: int, line: int) -> HclSyntaxError:
    while text[position] in _BLANKS:
        position += 1
    column = position - text.rfind("\n", 0, position)
    if text.startswith("/*", position):
        why = "the comment that begins here has no end"
    elif text[position] == "/":
        why = "a comment begins with # or // or /*"
    elif text[position] == "<":
        why = "a text of several lines begins with << or <<-, a word, and the end of the line at once"
    elif re.match("-?0[xX]", text[position : position + 3]):
        why = "0x is to be followed by hexadecimal digits"
    else:
        why = f"{text[position]!r} is not expected here"
    return HclSyntaxError(line, column, why)


def _number(text: str, line: int, column: int) -> int | float:
    try:
        if re.fullmatch(r"-?0\d+", text):
            found = int(text, 8)
        elif re.fullmatch(r"-?\d+", text):
            found = parse_int(text)
        elif "x" in text.lower():
            found = int(text, 16)
        else:
            return parse_float(text)
    except JsonError as fault:
        raise HclSyntaxError(line, column, str(fault)) from None
    except ValueError:
        raise HclSyntaxError(line, column, f"{text} is no number") from None
    if not -(1 << 63) <= found < 1 << 63:
        raise HclSyntaxError(line, column, f"{text} is no number of 64 bits")
    return found


def _heredoc(text: str, position: int, mark: str, is_indented: bool, place: tuple[int, int]) -> tuple[str, int]:
    """The lines up to `mark`, and the position after it: after `<<-` blanks have to stand before it.

    The blanks before `mark` are taken from each line if all have them. Source: seen with 1.8.7.
    """
    blanks = "+" if is_indented else "*"
    end = re.compile(rf"^[{_INDENT}]{blanks}(?={re.escape(mark)}\n)", re.MULTILINE).search(text, position)
    if end is None or "\0" in text[position : end.end()]:
        missing = f"a line of blanks and {mark}" if is_indented else f"a line {mark}"
        raise HclSyntaxError(*place, f"the text that begins here has no end: {missing} is missing")
    value = text[position : end.end()]
    if is_indented:
        margin = end[0]
        rows = text[position : end.start()].splitlines(keepends=True)
        if all(row.startswith(margin) for row in rows):
            rows = [row[len(margin) :] for row in rows]
        value = "".join(rows)
    return value, end.end() + len(mark)


class QuotedText:
    """A text in quotes, read from behind the opening one. `has_templates`: `${...}` is left unchanged."""

    def __init__(self, text: str, position: int, line: int, column: int, *, has_templates: bool = True) -> None:
        self._text = text
        self._position = position
        self._place = (line, column)
        self._has_templates = has_templates

    def read(self) -> tuple[str, int]:
        """The text, and the position after the closing quote. Raises `HclSyntaxError`."""
        text, depth = self._text, 0
        parts: list[str] = []
        while self._position < len(text):
            char = text[self._position]
            if char == '"' and not depth:
                return _joined(parts), self._position + 1
            if char == "\0" or (char == "\n" and not depth):
                break
            start = self._position
            self._position += 1
            if char == "\\" and self._position < len(text):
                escaped = self._escape()
                parts.append(text[start : self._position] if depth else escaped)
                continue
            if char == "$" and self._has_templates and not depth and text.startswith("{", self._position):
                self._position += 1
                depth = 1
            elif depth:
                depth += (char == "{") - (char == "}")
            parts.append(text[start : self._position])
        raise HclSyntaxError(*self._place, "the text that begins here has no closing quote")

    def _escape(self) -> str:
        """The value of the escape after a backslash: a character, or a byte as `surrogateescape` has it."""
        start = self._position
        simple = _ESCAPES.get(self._text[start : start + 1])
        if simple is not None:
            self._position += 1
            return simple
        code = _CODE.match(self._text, start)
        if code is None:
            raise self._mistake(f"unknown escape \\{self._text[start : start + 1]} in a text")
        self._position = code.end()
        if code[0][0] in "uU":
            number = int(code[0][1:], 16)
            if number > 0x10FFFF:
                raise self._mistake(f"\\{code[0]} is no character")
            return "\ufffd" if 0xD800 <= number < 0xE000 else chr(number)
        number = int(code[0][1:], 16) if code[0][0] == "x" else int(code[0], 8)
        if number > 0xFF:
            raise self._mistake(f"\\{code[0]} is no byte")
        return chr(number) if number < 0x80 else chr(0xDC00 + number)

    def _mistake(self, why: str) -> HclSyntaxError:
        """A mistake in the escape that is being read."""
        line = self._place[0] + self._text.count("\n", self._text.rfind('"', 0, self._position), self._position)
        return HclSyntaxError(line, self._position - self._text.rfind("\n", 0, self._position), why)


def _joined(parts: list[str]) -> str:
    """The text of characters and bytes: bytes that are UTF-8 become characters."""
    text = "".join(parts)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return text


class _Parser:
    """Recursive descent parser over the tokens."""

    def __init__(self, tokens: list[_Token], add: Callable[[Block, str, Any], None]) -> None:
        self._tokens = tokens
        self._add = add
        self._next = 0

    def document(self) -> Block:
        outer = self._accept("{")
        tree = self._members("}" if outer else "end", 0)
        if outer and self._peek().kind != "end":
            raise self._error("the end of the file")
        return tree

    def _members(self, end: str, depth: int) -> Block:
        """Parse names with values up to and including `end`."""
        if depth > DEPTH_MAX:
            raise self._mistake(f"blocks may be nested {DEPTH_MAX} deep at most")
        tree = Block(self._tokens[self._next - 1].line if self._next else 1)
        while not self._accept(end):
            name = self._peek()
            if name.kind not in ("name", "text"):
                raise self._error("a name" if end == "end" else 'a name or "}"')
            self._next += 1
            tree.lines.setdefault(name.value, name.line)
            if not self._accept("="):
                value = self._block(depth)
            elif end == "end" and self._peek().kind == "end":
                break  # as in Consul: a name at the end of the file without a value is none
            else:
                value = self._value(depth)
            self._add(tree, name.value, value)
            self._accept(",")
        return tree

    def _block(self, depth: int) -> Block:
        """Parse `{ ... }`, optionally after labels, each of which is a block around the next."""
        label = self._peek()
        if depth > DEPTH_MAX:
            raise self._mistake(f"blocks may be nested {DEPTH_MAX} deep at most")
        if label.kind in ("text", "name"):
            self._next += 1
            around = Label(label.line)
            around.lines[label.value] = label.line
            self._add(around, label.value, self._block(depth + 1))
            return around
        if not self._accept("{"):
            raise self._error('"=" or "{"')
        return self._members("}", depth + 1)

    def _value(self, depth: int) -> Any:
        token = self._peek()
        self._next += 1
        if token.kind in ("text", "heredoc", "number"):
            return token.value
        if token.kind == "bool":
            return token.value == "true"
        if token.kind == "{":
            return self._members("}", depth + 1)
        if token.kind == "[":
            return self._list(depth + 1)
        self._next -= 1
        raise self._error("a value (texts are written in quotes)")

    def _list(self, depth: int) -> list[Any]:
        if depth > DEPTH_MAX:
            raise self._mistake(f"lists may be nested {DEPTH_MAX} deep at most")
        values: list[Any] = []
        while not self._accept("]"):
            if self._accept(","):
                continue  # commas before, behind and in a row are ignored, as in Consul
            values.append(self._value(depth))
            if self._peek().kind not in (",", "]"):
                raise self._error('"," or "]"')
        return values

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _accept(self, kind: str) -> bool:
        if self._tokens[self._next].kind != kind:
            return False
        if kind != "end":
            self._next += 1
        return True

    def _error(self, expected: str) -> HclSyntaxError:
        token = self._peek()
        shown = "the end of the file" if token.kind == "end" else repr(token.value)
        return self._mistake(f"expected {expected}, not {shown}")

    def _mistake(self, why: str) -> HclSyntaxError:
        token = self._peek()
        return HclSyntaxError(token.line, token.column, why)


def _add(tree: Block, name: str, value: Any) -> None:
    """Add a value: the last one of a name counts; blocks and lists of one name are collected."""
    before = tree.get(name)
    if isinstance(value, list) and isinstance(before, list):
        tree[name] = [*before, *value]
    elif isinstance(value, list) and isinstance(before, dict):
        tree[name] = Blocks([before, *value])
    elif isinstance(value, dict) and isinstance(before, list):
        tree[name] = Blocks([*before, value])
    elif isinstance(value, dict) and isinstance(before, dict):
        tree[name] = Blocks([before, value])
    else:
        tree[name] = value


def _append(tree: dict[str, Any], name: str, value: Any) -> None:
    """Add a value: all values of a name are collected."""
    tree.setdefault(name, []).append(value)


def _append_pair(tree: dict[str, Any], name: str, value: Any) -> None:
    """Add a value: every value of a name counts, and the order of all."""
    tree[str(len(tree))] = (name, value)
