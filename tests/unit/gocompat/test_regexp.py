"""Regular expressions: matches, groups and error texts of Go, as a real agent gave them (tests/vectors/regexp.json)."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.gocompat.regexp import GROUPS_MAX, BadRegexp, compile_regexp

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "regexp.json").read_text())


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["pattern"])
def test_a_pattern_matches_or_is_refused_as_in_go(case: dict[str, str]) -> None:
    try:
        compiled = compile_regexp(case["pattern"])
        found = "".join("01"[compiled.matches(text)] for text in VECTORS["texts"])
    except BadRegexp as error:
        found = str(error)

    assert found == case["go"]


@pytest.mark.parametrize("case", VECTORS["groups"], ids=lambda case: f"{case['template']} {case['name']}")
def test_groups_are_those_of_go(case: dict[str, str]) -> None:
    found = compile_regexp(case["template"]).find(case["name"]) or []

    assert "|".join([*found, "", "", "", ""][:4]) == case["go"]


def test_a_byte_that_is_no_utf8_is_one_character() -> None:
    """Go reads it as U+FFFD; texts hold it as a lone surrogate."""
    text = b"caf\xe9!".decode("utf-8", "surrogateescape")

    assert compile_regexp("^caf.!$").matches(text)
    assert compile_regexp("f(.)!").find(text) == [text[2:], text[3]]


def test_patterns_that_make_backtracking_explode_take_linear_time() -> None:
    assert not compile_regexp("(a+)+(a|aa)*(.*)*$x").matches("a" * 100_000)


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """The library logs errors by default."""
    with pytest.raises(BadRegexp):
        compile_regexp("[quiet")

    assert capfd.readouterr() == ("", "")


@given(st.text(alphabet="ab()[]{}*+?|^$.\\-:P<>i,019dwpQECx\ud8ffé", max_size=30), st.text(max_size=5))
def test_any_pattern_is_compiled_or_refused(pattern: str, text: str) -> None:
    with contextlib.suppress(BadRegexp):
        compile_regexp(pattern).find(text)


def test_an_expression_of_many_groups_is_matched_without_them() -> None:
    """With them RE2 took 12 GiB and a minute for these 40 KB, which an event's node filter brings to every agent."""
    pattern = "(" * 20_000 + ")" * 20_000
    assert compile_regexp(pattern).matches("a")


@pytest.mark.parametrize("pattern", ["()" * (GROUPS_MAX + 1), "(" * 20_000 + ")" * 20_000, "(x{999}){9}(x{999}){99}"])
def test_groups_are_found_of_so_many_only(pattern: str) -> None:
    with pytest.raises(BadRegexp):
        compile_regexp(pattern).find("a")


def test_as_many_groups_as_a_template_may_need_are_found() -> None:
    assert compile_regexp("(.)" * GROUPS_MAX).find("a" * 101) == ["a" * GROUPS_MAX, *["a"] * GROUPS_MAX]
