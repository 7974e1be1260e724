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

from consulpy.codec.blocks import Block, Blocks
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.strict_json import JsonError, parse_float, parse_int

#: Maximum nesting of blocks and lists.
DEPTH_MAX: Final = 64

_TOKEN: Final = re.compile(
    r"""
    [ \t\r\ufeff]*  # then one of these
    (?:
      (?P<comment>\#[^\n]* | //[^\n]* | /\*.*?\*/)
    | (?P<line>\n)
    | (?P<heredoc><<-?[^\S\n]*(?P<mark>\w+)[^\S\n]*\n)
    | (?P<number>-?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.]))
    | (?P<name>[^\W\d][\w.\-]*)
    | (?P<plain>"[^"\\\n$]*")
    | (?P<text>")
    | (?P<sign>[={}\[\],])
    | \Z
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANKS: Final = " \t\r\ufeff"
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", '"': '"', "\\": "\\"}
_CODE: Final = re.compile(r"u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{3}")


class HclSyntaxError(Exception):
    """The text is not HCL. `line`: of the error; the text says what was expected."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


@dataclass(slots=True)
class _Token:
    kind: str  # "name", "text", "number", "end" or a punctuation character
    value: Any
    line: int


def parse(text: str) -> Block:
    """Parse a file. Blocks of one name become a list. Raises `HclSyntaxError`."""
    return _Parser(_tokens(text), _add).document()


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
    """Parse a text with all values of repeated names: each name has a list. Raises `HclSyntaxError`."""
    return Document(_Parser(_tokens(text), _append).document())


#: A name, its labels, and the value: a block is a list of these.
Item = tuple[tuple[str, ...], Any]


class _Label(Block):
    """The block around a labelled one: it has the label for its only name."""


def parse_items(text: str) -> list[Item]:
    """Parse a text into names with labels and values, in order, repeated ones too. Raises `HclSyntaxError`."""
    return _items(_Parser(_tokens(text), _append_pair).document())


def _items(tree: Block) -> list[Item]:
    return [_item((name,), value) for name, value in tree.values()]


def _item(names: tuple[str, ...], value: Any) -> Item:
    if isinstance(value, _Label):
        [(label, inner)] = value.values()
        return _item((*names, label), inner)
    return names, _items(value) if isinstance(value, Block) else value


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unexpected(text, position, line)
        position = match.end()
        kind = match.lastgroup
        if kind == "plain":
            found.append(_Token("text", match["plain"][1:-1], line))
        elif kind == "name":
            found.append(_Token("name", match["name"], line))
        elif kind == "sign":
            found.append(_Token(match["sign"], match["sign"], line))
        elif kind == "line":
            line += 1
        elif kind == "number":
            found.append(_Token("number", _number(match["number"], line), line))
        elif kind == "text":
            value, position = _quoted(text, position, line)
            found.append(_Token("text", value, line))
            line += text.count("\n", match.end(), position)
        elif kind == "comment":
            line += match["comment"].count("\n")
        elif kind is not None:  # the mark of a heredoc
            opening = match["heredoc"]
            value, position = _heredoc(text, position, match["mark"], opening.startswith("<<-"), line)
            found.append(_Token("text", value, line))
            line += 1 + text.count("\n", match.end(), position)
    found.append(_Token("end", None, line))
    return found


def _unexpected(text: str, position: int, line: int) -> HclSyntaxError:
    while text[position] in _BLANKS:
        position += 1
    if text.startswith("/*", position):
        return HclSyntaxError(line, "the comment that begins here has no end")
    return HclSyntaxError(line, f"{text[position]!r} is not expected here")


def _number(text: str, line: int) -> int | float:
    try:
        if re.fullmatch(r"-?\d+", text):
            return parse_int(text)
        return int(text, 16) if "x" in text.lower() else parse_float(text)
    except JsonError as fault:
        raise HclSyntaxError(line, str(fault)) from None


def _heredoc(text: str, position: int, mark: str, indented: bool, line: int) -> tuple[str, int]:
    end = re.compile(rf"^[ \t]*(?={re.escape(mark)}[ \t]*$)", re.MULTILINE).search(text, position)
    if end is None:
        raise HclSyntaxError(line, f"the text that begins here has no end: a line {mark} is missing")
    value = text[position : end.end()]
    if indented:
        rows = text[position : end.start()].splitlines(keepends=True)
        margin = min((len(row) - len(row.lstrip(" \t")) for row in rows if row.strip()), default=0)
        value = "".join(row[margin:] for row in rows)
    return value, end.end() + len(mark)


def _quoted(text: str, position: int, line: int) -> tuple[str, int]:
    """The text after an opening quote, and the position after the closing one. `${...}` is left unchanged."""
    parts: list[str] = []
    depth = 0
    while position < len(text):
        char = text[position]
        if char == '"' and not depth:
            return "".join(parts), position + 1
        if char == "\n" and not depth:
            break
        if text.startswith("${", position):
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        if char == "\\" and not depth:
            escape, position = _escape(text, position + 1, line)
            parts.append(escape)
            continue
        parts.append(char)
        position += 1
    raise HclSyntaxError(line, "the text that begins here has no closing quote")


def _escape(text: str, position: int, line: int) -> tuple[str, int]:
    simple = _ESCAPES.get(text[position : position + 1])
    if simple is not None:
        return simple, position + 1
    code = _CODE.match(text, position)
    if code is None:
        raise HclSyntaxError(line, f"unknown escape \\{text[position : position + 1]} in a text")
    digits = code[0].lstrip("uUx") if code[0][0] in "uUx" else code[0]
    number = int(digits, 16 if code[0][0] in "uUx" else 8)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        raise HclSyntaxError(line, f"\\{code[0]} is no character")
    return chr(number), code.end()


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
            raise HclSyntaxError(self._peek().line, f"blocks may be nested {DEPTH_MAX} deep at most")
        tree = Block(self._tokens[self._next - 1].line if self._next else 1)
        while not self._accept(end):
            name = self._peek()
            if name.kind not in ("name", "text"):
                raise self._error("a name" if end == "end" else 'a name or "}"')
            self._next += 1
            tree.lines.setdefault(name.value, name.line)
            self._add(tree, name.value, self._value(depth) if self._accept("=") else self._block(depth))
            self._accept(",")
        return tree

    def _block(self, depth: int) -> Block:
        """Parse `{ ... }`, optionally after labels, each of which is a block around the next."""
        label = self._peek()
        if depth > DEPTH_MAX:
            raise HclSyntaxError(label.line, f"blocks may be nested {DEPTH_MAX} deep at most")
        if label.kind in ("text", "name"):
            self._next += 1
            around = _Label(label.line)
            around.lines[label.value] = label.line
            self._add(around, label.value, self._block(depth + 1))
            return around
        if not self._accept("{"):
            raise self._error('"=" or "{"')
        return self._members("}", depth + 1)

    def _value(self, depth: int) -> Any:
        token = self._peek()
        self._next += 1
        if token.kind in ("text", "number"):
            return token.value
        if token.kind == "name" and token.value in ("true", "false"):
            return token.value == "true"
        if token.kind == "{":
            return self._members("}", depth + 1)
        if token.kind == "[":
            return self._list(depth + 1)
        self._next -= 1
        raise self._error("a value (texts are written in quotes)")

    def _list(self, depth: int) -> list[Any]:
        if depth > DEPTH_MAX:
            raise HclSyntaxError(self._peek().line, f"lists may be nested {DEPTH_MAX} deep at most")
        values: list[Any] = []
        while not self._accept("]"):
            values.append(self._value(depth))
            if not self._accept(",") and self._peek().kind != "]":
                raise self._error('"," or "]"')
            while self._accept(","):
                pass  # several commas count as one, as in Consul
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
        return HclSyntaxError(token.line, f"expected {expected}, not {shown}")


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
