"""Filter expressions mean what they mean in Go, and never run away (docs/wire/gossip.md 6.5)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.serf.expression import compile_expression


def found(expression: str, text: str) -> bool:
    compiled = compile_expression(expression)
    assert compiled is not None, expression
    return compiled.search(text)


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        ("", "", True),
        ("web", "the-web-1", True),
        ("^web$", "web\n", False),
        ("^(web|db)-[0-9]{2,3}$", "db-123", True),
        ("^(web|db)-[0-9]{2,3}$", "db-1234", False),
        ("(?i)WEB", "web", True),
        ("^[^a-z]+$", "ABC1", True),
        (r"\bweb\b", "a web b", True),
        (r"\bweb\b", "cobweb", False),
        (r"^\d+\.\d+$", "1.23", True),
        (r"^\w+$", "ä", False),
        ("a.c", "a\nc", False),
        ("(?s)a.c", "a\nc", True),
        ("(?m)^b$", "a\nb\nc", True),
        ("a*?b", "aab", True),
        ("(?P<name>x)y", "xy", True),
    ],
)
def test_expressions_mean_what_they_mean_in_go(expression: str, text: str, expected: bool) -> None:
    assert found(expression, text) is expected


@pytest.mark.parametrize("expression", ["(a+)+$", "(a|a)*$", "a*a*a*a*a*a*b", "(a?){400}a"])
def test_expressions_that_make_others_run_away_take_no_time(expression: str) -> None:
    """With Python's own engine these would stop the reactor for hours."""
    compiled = compile_expression(expression)
    assert compiled is None or compiled.search("a" * 300 + "!") in (True, False)


@pytest.mark.parametrize("expression", ["(", "a(?=b)", "(?<!x)y", r"(a)\1", "[z-a]", "x" * 600, "((a{99}){99}){99}"])
def test_what_go_refuses_or_what_is_too_large_is_refused(expression: str) -> None:
    assert compile_expression(expression) is None


@given(st.text("ab.*+?|()[]^$-{},12", max_size=12), st.text("ab12-", max_size=12))
def test_matches_are_those_of_the_standard_library(expression: str, text: str) -> None:
    """Where both know the expression and it is cheap."""
    compiled = compile_expression(expression)
    if compiled is not None:
        assert compiled.search(text) is (re.search(expression, text) is not None)
