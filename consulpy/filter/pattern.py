"""Patterns of `matches`: the syntax of RE2, with Go's texts for what is wrong.

Python's own `re` has another syntax, and backtracks: one expression could stop an agent. So a pattern becomes an
automaton (`automaton`), which takes time in proportion to the text. Parsed here, as in the syntax page of RE2:

    xy  x|y  (x)  (?:x)  (?P<n>x)  (?i)  (?s-m:x)      x*  x+  x?  x{2}  x{2,}  x{2,3}, each also with ? behind
    .  [a-z]  [^a]  [[:alpha:]]  \\d \\w \\s \\pL \\p{Lu}  ^  $  \\A  \\z  \\b  \\B  \\Q...\\E  \\n  \\x41  \\x{41}

Scripts (`\\p{Greek}`) are told from the names of characters; the less used ones are not known.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from consulpy.filter.automaton import (
    Assertion,
    Automaton,
    Chars,
    Empty,
    Node,
    OneOf,
    Repeat,
    Sequence,
    TooLarge,
    any_char,
)
from consulpy.filter.errors import FilterError
from consulpy.filter.literals import quoted

#: The largest number in braces, also of nested ones together.
REPEAT_MAX: Final = 1000
#: How deep groups may nest.
DEPTH_MAX: Final = 100

Fits = Callable[[str], bool]

_BRACES: Final = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_FLAGS: Final = re.compile(r"\?([imsU]*)(-[imsU]+)?([:)])")
_NAMED: Final = re.compile(r"\?P<([A-Za-z0-9_]+)>")
_CONTROLS: Final = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_PERL: Final[dict[str, Fits]] = {
    "d": lambda char: "0" <= char <= "9",
    "s": lambda char: char in "\t\n\f\r ",
    "w": lambda char: char == "_" or (char.isascii() and char.isalnum()),
}
_POSIX: Final[dict[str, Fits]] = {
    "alnum": lambda char: char.isascii() and char.isalnum(),
    "alpha": lambda char: char.isascii() and char.isalpha(),
    "ascii": str.isascii,
    "blank": lambda char: char in "\t ",
    "cntrl": lambda char: char < " " or char == "\x7f",
    "digit": _PERL["d"],
    "graph": lambda char: "!" <= char <= "~",
    "lower": lambda char: "a" <= char <= "z",
    "print": lambda char: " " <= char <= "~",
    "punct": lambda char: "!" <= char <= "~" and not char.isalnum(),
    "space": lambda char: char in "\t\n\v\f\r ",
    "upper": lambda char: "A" <= char <= "Z",
    "word": _PERL["w"],
    "xdigit": lambda char: char in "0123456789abcdefABCDEF",
}
_CATEGORIES: Final = re.compile(r"C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?")
#: Script -> how the names of its characters begin.
_SCRIPTS: Final = {
    "Arabic": "ARABIC ",
    "Armenian": "ARMENIAN ",
    "Cyrillic": "CYRILLIC ",
    "Devanagari": "DEVANAGARI ",
    "Georgian": "GEORGIAN ",
    "Greek": "GREEK ",
    "Han": "CJK UNIFIED ",
    "Hangul": "HANGUL ",
    "Hebrew": "HEBREW ",
    "Hiragana": "HIRAGANA ",
    "Katakana": "KATAKANA ",
    "Latin": "LATIN ",
    "Thai": "THAI ",
}


def compile_pattern(text: str) -> Callable[[str], bool]:
    """Whether the pattern is found somewhere in a text. Raises `FilterError`."""
    try:
        return Automaton(_Parser(text).whole()).search
    except _Bad as error:
        reason = str(error)
    except TooLarge:
        reason = f"expression too large: `{text}`"
    raise FilterError(f"Failed to compile regular expression {quoted(text)}: error parsing regexp: {reason}")


class _Bad(Exception):
    """What is wrong with a pattern."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what}: `{where}`")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.flags: frozenset[str] = frozenset()
        self.names: set[str] = set()

    def whole(self) -> Node:
        found = self.alternatives()
        if self.at < len(self.text):
            raise _Bad("unexpected )", self.text)
        return found

    def alternatives(self) -> Node:
        branches = [self.branch()]
        while self.take("|"):
            branches.append(self.branch())
        return branches[0] if len(branches) == 1 else OneOf(branches)

    def branch(self) -> Node:
        parts: list[Node] = []
        repeated_at = -1  # where the repetition before this place began
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            start = self.at
            repetition = self.repetition()
            if repetition is None:
                parts += self.atom()
                repeated_at = -1
                continue
            if repeated_at >= 0:
                raise _Bad("invalid nested repetition operator", self.text[repeated_at : self.at])
            if not parts:
                raise _Bad("missing argument to repetition operator", self.text[start : self.at])
            parts[-1] = Repeat(parts[-1], *repetition)
            if _times(parts[-1]) > REPEAT_MAX:
                raise _Bad("invalid repeat count", self.text[start : self.at])
            repeated_at = start
        return parts[0] if len(parts) == 1 else Sequence(parts)

    def repetition(self) -> tuple[int, int | None] | None:
        """Least and most times, None for no limit."""
        sign = self.text[self.at]
        found: tuple[int, int | None]
        if sign in "*+?":
            self.at += 1
            found = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        else:
            braces = _BRACES.match(self.text, self.at)
            if braces is None:
                return None
            least = int(braces[1][:6])
            most = least if braces[2] is None else int(braces[3][:6]) if braces[3] else None
            if least > REPEAT_MAX or (most is not None and (most > REPEAT_MAX or most < least)):
                raise _Bad("invalid repeat count", braces[0])
            self.at = braces.end()
            found = (least, most)
        self.take("?")
        return found

    def atom(self) -> list[Node]:
        char = self.text[self.at]
        if char == "(":
            return [self.group()]
        if char == "[":
            return [self.bracket()]
        if char == "\\":
            return self.escape()
        self.at += 1
        if char == ".":
            return [Chars(any_char if "s" in self.flags else lambda char: char != "\n")]
        if char == "^":
            return [Assertion("line start" if "m" in self.flags else "start")]
        if char == "$":
            return [Assertion("line end" if "m" in self.flags else "end")]
        return [self.literal(char)]

    def literal(self, char: str) -> Node:
        return self.chars(lambda other: other == char)

    def chars(self, fits: Fits) -> Node:
        if "i" not in self.flags:
            return Chars(fits)
        return Chars(lambda char: fits(char) or fits(char.lower()) or fits(char.upper()))

    def group(self) -> Node:
        start, before = self.at, self.flags
        self.at += 1
        if self.text.startswith("?", self.at):
            named = _NAMED.match(self.text, self.at)
            flags = _FLAGS.match(self.text, self.at)
            if named is not None:
                self.at = named.end()
                if named[1] in self.names:
                    raise _Bad("duplicate capture group name", named[1])
                self.names.add(named[1])
            elif flags is not None:
                self.at = flags.end()
                self.flags = (before | set(flags[1])) - set(flags[2] or "")
                if flags[3] == ")":  # for the rest of the group that we are in
                    return Empty()
            else:
                raise self.bad_group(start)
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise _Bad("expression nests too deeply", self.text)
        found = self.alternatives()
        self.depth -= 1
        if not self.take(")"):
            raise _Bad("missing closing )", self.text)
        self.flags = before
        return found

    def bad_group(self, start: int) -> _Bad:
        if self.text.startswith("?P<", self.at):
            end = self.text.find(">", self.at)
            return _Bad("invalid named capture", self.text[start : end + 1] if end > 0 else self.text[start:])
        if self.at + 1 >= len(self.text):
            return _Bad("missing argument to repetition operator", "?")
        at = self.at + 1
        while at < len(self.text) and self.text[at] in "imsU-":
            at += 1
        return _Bad("invalid or unsupported Perl syntax", self.text[start : at + 1])

    def escape(self) -> list[Node]:
        if self.text.startswith("\\Q", self.at):
            end = self.text.find("\\E", self.at + 2)
            quoted_part = self.text[self.at + 2 : end if end >= 0 else len(self.text)]
            self.at = end + 2 if end >= 0 else len(self.text)
            return [self.literal(char) for char in quoted_part]
        assertion = {"A": "start", "z": "end", "b": "word edge", "B": "no word edge"}.get(
            self.text[self.at + 1 : self.at + 2]
        )
        if assertion is not None:
            self.at += 2
            return [Assertion(assertion)]
        named = self.named_class()
        return [self.chars(named)] if named is not None else [self.literal(self.escaped_char())]

    def named_class(self) -> Fits | None:
        """`\\d`, `\\pL`, `\\P{Greek}`."""
        letter = self.text[self.at + 1 : self.at + 2]
        if letter.lower() in _PERL and letter:
            self.at += 2
            return _negated(_PERL[letter.lower()], letter.isupper())
        if letter not in ("p", "P"):
            return None
        start = self.at
        found = re.compile(r"\\[pP](?:\{(\^?)(\w+)\}|(\w))").match(self.text, start)
        if found is None:
            raise _Bad("invalid character class range", self.text[start:])
        fits = _property(found[2] or found[3])
        if fits is None:
            raise _Bad("invalid character class range", found[0])
        self.at = found.end()
        return _negated(fits, (letter == "P") != bool(found[1]))

    def escaped_char(self) -> str:
        start = self.at
        if start + 1 >= len(self.text):
            raise _Bad("trailing backslash at end of expression", "")
        char = self.text[start + 1]
        self.at += 2
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isascii() and not char.isalnum() and char != "_":
            return char
        if char == "_":
            raise _Bad("invalid escape sequence", "\\_")
        coded = re.compile(r"\\(?:([1-7][0-7]{1,2}|0[0-7]{0,2})|x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]+)\})").match(
            self.text, start
        )
        if coded is not None:
            code = int(coded[1], 8) if coded[1] else int(coded[2] or coded[3], 16)
            if code <= 0x10FFFF:
                self.at = coded.end()
                return chr(code)
        raise _Bad("invalid escape sequence", self.text[start : start + 2])

    def bracket(self) -> Node:
        start = self.at
        self.at += 1
        negative = self.take("^")
        members: list[Fits] = []
        first = True
        while first or not self.text.startswith("]", self.at):
            if self.at >= len(self.text):
                raise _Bad("missing closing ]", self.text[start:])
            members.append(self.bracket_member(start))
            first = False
        self.at += 1
        one = self.chars(lambda char: any(fits(char) for fits in members))
        assert isinstance(one, Chars)
        return Chars(_negated(one.fits, negative))

    def bracket_member(self, start: int) -> Fits:
        posix = re.compile(r"\[:(\^?)(\w*):\]").match(self.text, self.at)
        if posix is not None:
            if posix[2] not in _POSIX:
                raise _Bad("invalid character class range", posix[0])
            self.at = posix.end()
            return _negated(_POSIX[posix[2]], bool(posix[1]))
        if self.text[self.at] == "\\":
            named = self.named_class()
            if named is not None:
                return named
        range_at = self.at
        low = self.bracket_char(start)
        high = low
        if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
            self.at += 1
            high = self.bracket_char(start)
            if high < low:
                raise _Bad("invalid character class range", self.text[range_at : self.at])
        return lambda char: low <= char <= high

    def bracket_char(self, start: int) -> str:
        if self.at >= len(self.text):
            raise _Bad("missing closing ]", self.text[start:])
        if self.text[self.at] == "\\":
            return self.escaped_char()
        self.at += 1
        return self.text[self.at - 1]

    def take(self, char: str) -> bool:
        if self.text.startswith(char, self.at):
            self.at += 1
            return True
        return False


def _times(node: Node) -> int:
    """How often the innermost part of nested counted repetitions is written out."""
    if isinstance(node, Repeat):
        counted = node.most if node.most is not None else node.least
        return max(counted, 1) * _times(node.inner)
    if isinstance(node, Sequence | OneOf):
        return max((_times(part) for part in node.parts), default=1)
    return 1


def _negated(fits: Fits, negative: bool) -> Fits:
    return (lambda char: not fits(char)) if negative else fits


def _property(name: str) -> Fits | None:
    if name == "Any":
        return any_char
    if _CATEGORIES.fullmatch(name):
        return lambda char: unicodedata.category(char).startswith(name)
    prefix = _SCRIPTS.get(name)
    return None if prefix is None else lambda char: unicodedata.name(char, "").startswith(prefix)
