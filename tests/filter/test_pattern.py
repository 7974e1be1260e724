"""Patterns: RE2's syntax, and time that cannot explode."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.filter import FilterError
from consulpy.filter.pattern import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^web-[0-9]+$", "web-17", True),
        ("^web-[0-9]+$", "web-", False),
        ("", "anything", True),
        ("a|b|", "", True),
        ("(?i)WEB", "my web", True),
        ("(?i:W)eb", "web", True),
        ("(?i:W)eb", "wEb", False),
        ("a(?i)b|c", "aB", True),
        ("(a(?i)b)c", "aBC", False),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("(?m)^b$", "a\nb\nc", True),
        ("^b$", "a\nb\nc", False),
        (r"\Aa\z", "a", True),
        (r"\bone\b", "agent-one", True),
        (r"\bone\b", "anyone", False),
        (r"any\Bone", "anyone", True),
        ("a{2,3}b", "ab", False),
        ("^a{2,3}$", "aaaa", False),
        ("^a{2,}$", "aaaa", True),
        ("a{,3}", "a{,3}", True),
        ("x{2}{", "xx{", True),
        ("[]a]", "]", True),
        ("[^]a]", "]", False),
        ("[a-]", "-", True),
        ("[[:^alpha:]]", "ab", False),
        (r"[\d_]", "a_", True),
        (r"\Q.*\E$", "x.*", True),
        (r"\x41\x{1F600}\101", "A\U0001f600A", True),
        (r"\p{Lu}\pN\P{L}", "Z1-", True),
        (r"^\p{Greek}+$", "\u03b1\u03b2\u03b3", True),
        (r"\d", "\u0661", False),
        ("(?P<name>a)+?", "a", True),
        ("(a*)*", "b", True),
        ("(?U)a+", "a", True),
    ],
)
def test_finds(pattern: str, text: str, found: bool) -> None:
    assert compile_pattern(pattern)(text) is found


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[", "missing closing ]: `[`"),
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("(a{100}){100}", "invalid repeat count: `{100}`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?P<1", "invalid named capture: `(?P<1`"),
        (r"\p{Nope}", r"invalid character class range: `\p{Nope}`"),
        ("a\\", "trailing backslash at end of expression: ``"),
    ],
)
def test_bad_patterns_are_told_in_go_s_words(pattern: str, reason: str) -> None:
    with pytest.raises(FilterError) as raised:
        compile_pattern(pattern)

    assert str(raised.value).endswith("error parsing regexp: " + reason)


def test_patterns_that_make_backtracking_explode_are_harmless() -> None:
    found = compile_pattern("(a+)+(a|aa)*(.*)*$x")

    assert not found("a" * 5000)


def test_large_patterns_are_refused() -> None:
    with pytest.raises(FilterError, match="too large"):
        compile_pattern("(ab|cd){900}(ab|cd){900}(ab|cd){900}(ab|cd){900}(ab|cd){900}(ab|cd){900}(ab|cd){900}")


PIECES = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "(a|b)", "(?:ab)", "^", "$", r"\b", "a|b", r"\w", "(?i:B)"])
PATTERNS = st.lists(st.tuples(PIECES, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}"])), max_size=5)


@given(PATTERNS, st.text(alphabet="abAB-\n", max_size=12))
def test_agrees_with_python_where_the_syntax_is_the_same(parts: list[tuple[str, str]], text: str) -> None:
    pattern = "".join(piece + (times if piece not in ("^", "$", r"\b") else "") for piece, times in parts)
    python = re.compile(pattern.replace("$", r"\Z"), re.ASCII)

    assert compile_pattern(pattern)(text) is (python.search(text) is not None)


@given(st.text(alphabet="ab()[]{}*+?|^$.\\-:P<>i,019dwpQEx", max_size=30), st.text(max_size=5))
def test_any_pattern_is_read_or_refused(pattern: str, text: str) -> None:
    with contextlib.suppress(FilterError):
        compile_pattern(pattern)(text)
