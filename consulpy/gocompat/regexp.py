r"""Regular expressions with the syntax, the matches and the error texts of Go's `regexp`, in linear time.

google-re2 is the engine that Go's package derives from. It accepts two constructs that Go 1.14 (the Go of Consul 1.8.7)
refuses, `\C` and `(?<name>...)`; these are refused here. The library (1.5 MB) is imported with the first expression.
Sources: https://github.com/google/re2/wiki/Syntax; `tests/vectors/regexp.json`, recorded from a real agent's filters.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import RPCError

if TYPE_CHECKING:
    import re2

#: Maximum number of cached compiled expressions.
CACHE_SIZE: Final = 256
#: Maximum bytes of a compiled expression and its automata; Go's own limits are lower.
MEMORY_MAX: Final = 2 << 20
#: The same of an expression whose groups are asked for, and the number of these: RE2 needs time and memory for the
#: product of both, 12 GiB for 20,000 pairs of parentheses. Go has no limit.
FIND_MEMORY_MAX: Final = 256 << 10
GROUPS_MAX: Final = 100

#: Maximum repeat count in braces.
REPEAT_MAX: Final = 1000

#: RE2's error -> Go's.
_GO_TEXT: Final = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}
#: What RE2 accepts and Go refuses, or any other escape.
_EXTENSION: Final = re.compile(r"\\(?s:.)|\(\?<")
#: Placeholders that both refuse, from the private use area -> their original in error texts.
_STAND_INS: Final = {"\\\ue000": "\\C", "(?\ue001": "(?<"}
_BRACES: Final = re.compile(r"\{([0-9]+)(?:,([0-9]*))?\}\??\Z")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class BadRegexp(RPCError):
    """The expression does not compile. Go's text: ``error parsing regexp: missing closing ): `(` ``."""


class Regexp:
    """A compiled expression."""

    def __init__(self, pattern: str, compiled: "re2._Regexp[str]") -> None:
        self._pattern = pattern
        self._compiled = compiled
        self._capturing: re2._Regexp[str] | None = None

    def matches(self, text: str) -> bool:
        """Whether the expression matches anywhere in `text`."""
        return self._compiled.search(_as_utf8(text)) is not None

    def find(self, text: str) -> list[str] | None:
        """The leftmost match and its groups ("" where one took no part), as Go's `FindStringSubmatch`.

        Raises `BadRegexp` above the limits.
        """
        if self._capturing is None:
            compiled = _compile(self._pattern, captures=True)
            if compiled.groups > GROUPS_MAX:
                raise BadRegexp(f"error parsing regexp: more than {GROUPS_MAX} groups: `{self._pattern}`")
            self._capturing = compiled
        found = self._capturing.search(_as_utf8(text))
        if found is None:
            return None
        return [text[max(start, 0) : max(end, 0)] for start, end in map(found.span, range(self._capturing.groups + 1))]


def _as_utf8(text: str) -> str:
    """`text` with a replacement character for each byte that is not UTF-8, as Go's matcher reads it."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


@lru_cache(maxsize=CACHE_SIZE)
def compile_regexp(pattern: str) -> Regexp:
    """Compile an expression. Raises `BadRegexp`."""
    if _SURROGATE.search(pattern):
        raise BadRegexp(f"error parsing regexp: invalid UTF-8: `{pattern}`")
    if "\\C" in pattern or "(?<" in pattern:
        _compile(_EXTENSION.sub(_stand_in, pattern))
    return Regexp(pattern, _compile(pattern))


def _stand_in(found: "re.Match[str]") -> str:
    return next((stand_in for stand_in, extension in _STAND_INS.items() if found[0] == extension), found[0])


def _compile(pattern: str, *, captures: bool = False) -> Any:
    import re2  # imported with the first expression

    options = re2.Options()
    options.log_errors = False
    options.never_capture = not captures
    options.max_mem = FIND_MEMORY_MAX if captures else MEMORY_MAX
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise BadRegexp(f"error parsing regexp: {_go_text(pattern, error)}") from None


def _go_text(pattern: str, error: Exception) -> str:
    text = error.args[0]
    kind, _, fragment = (text.decode() if isinstance(text, bytes) else str(text)).partition(": ")
    for stand_in, extension in _STAND_INS.items():
        fragment = fragment.replace(stand_in, extension)
    if kind in ("bad repetition operator", "invalid repetition size"):
        kind, fragment = _repeat_error(kind, fragment)
    if kind.startswith("pattern too large"):
        kind, fragment = "expression too large", pattern
    return f"{_GO_TEXT.get(kind, kind)}: `{fragment}`"


def _repeat_error(kind: str, fragment: str) -> tuple[str, str]:
    """Go checks repeat counts before their operands, and leaves out a `?` behind them."""
    braces = _BRACES.search(fragment)
    if braces is None:
        return kind, fragment
    least, most = int(braces[1]), int(braces[2] or braces[1])
    if kind == "invalid repetition size" or most < least or most > REPEAT_MAX:
        return "invalid repetition size", braces[0].removesuffix("?")
    return kind, fragment
