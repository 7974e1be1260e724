"""Regular expressions of the users, compiled as Python does and refused in Go's words.

Consul compiles them with Go's `regexp`, and its clients show that package's errors. Go knows no look-around and no
back-references: these are refused here too, so that a filter means the same on every agent of a mixed cluster. Anybody
in the cluster may send one, so the match is that of `consulpy.serf.expression`, which cannot run away.
"""

import re

from consulpy.errors import RPCError
from consulpy.serf.expression import Expression, compile_expression

#: How much of an expression that is too large is shown.
SHOWN_MAX = 64

#: What Go refuses (`(?=`, `(?!`, `(?<=`, `(?<!`, `(?#`, `(?(`) or reads in another way; a back-reference; `(?P=name)`.
_GO_LACKS = re.compile(r"\(\?(?:[=!#(]|<[=!])|\(\?P=|\\[1-9]")


class BadRegexp(RPCError):
    """The expression does not compile; the text is Go's."""


def compile_regexp(pattern: str) -> Expression:
    """`pattern`, ready to `search`. Raises `BadRegexp`: ``error parsing regexp: missing closing ): `(` ``."""
    lacking = _GO_LACKS.search(_without_escapes(pattern))
    if lacking is not None:
        found = pattern[lacking.start() : lacking.end()]
        kind = "invalid escape sequence" if found.startswith("\\") else "invalid or unsupported Perl syntax"
        raise BadRegexp(f"error parsing regexp: {kind}: `{found}`")
    try:
        re.compile(pattern)  # only for what is wrong with it
    except (re.error, RecursionError, OverflowError) as error:
        raise BadRegexp(f"error parsing regexp: {_in_gos_words(pattern, error)}") from None
    expression = compile_expression(pattern)
    if expression is None:
        raise BadRegexp(f"error parsing regexp: expression too large or not supported: `{pattern[:SHOWN_MAX]}`")
    return expression


def _without_escapes(pattern: str) -> str:
    """`pattern` with its escaped backslashes and parentheses blanked, so that nothing is found inside them."""
    return re.sub(r"\\[\\(]", "..", pattern)


def _in_gos_words(pattern: str, error: Exception) -> str:
    said = str(error)
    at = getattr(error, "pos", None) or 0
    if "missing )" in said or "unterminated subpattern" in said:
        return f"missing closing ): `{pattern}`"
    if "unbalanced parenthesis" in said:
        return f"unexpected ): `{pattern}`"
    if "unterminated character set" in said:
        return f"missing closing ]: `{pattern[at:]}`"
    if "nothing to repeat" in said:
        return f"missing argument to repetition operator: `{pattern[at : at + 1]}`"
    if "multiple repeat" in said:
        return f"invalid nested repetition operator: `{pattern[max(at - 1, 0) : at + 1]}`"
    if "bad escape" in said:
        return (
            "trailing backslash at end of expression: ``"
            if pattern.endswith("\\") and at == len(pattern) - 1
            else f"invalid escape sequence: `{pattern[at : at + 2]}`"
        )
    if "bad character range" in said:
        return f"invalid character class range: `{pattern[at : at + 3]}`"
    return f"invalid or unsupported Perl syntax: `{pattern}`"
