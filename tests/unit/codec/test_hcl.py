"""HCL 1 as `consul validate` reads it, mistakes with their line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.codec.hcl import HclSyntaxError, parse

USUAL = """
# comment
// other
datacenter = "dc1"
"quoted" = 1
ports { http = -1, dns = 8600 }
node_meta { "rack id" = "a", b = "c" }  /* comments
of lines */
retry_join = ["10.0.0.1", "10.0.0.2",]
services { name = "web" check { ttl = "10s" } }
services { name = "db" }
checks = [ { id = "c" interval = "1s" } ]
rate = 1.5
hex = 0x10
on = true
bind_addr = "{{ GetInterfaceIP \\"eth0\\" }}"
text = <<EOF
two
lines
EOF
"""


def test_a_usual_file() -> None:
    assert parse(USUAL) == {
        "datacenter": "dc1",
        "quoted": 1,
        "ports": {"http": -1, "dns": 8600},
        "node_meta": {"rack id": "a", "b": "c"},
        "retry_join": ["10.0.0.1", "10.0.0.2"],
        "services": [{"name": "web", "check": {"ttl": "10s"}}, {"name": "db"}],
        "checks": [{"id": "c", "interval": "1s"}],
        "rate": 1.5,
        "hex": 16,
        "on": True,
        "bind_addr": '{{ GetInterfaceIP "eth0" }}',
        "text": "two\nlines\n",
    }


def test_names_know_their_lines() -> None:
    found = parse("a = 1\n\nports {\n  http = 1\n}\nt = <<E\nx\nE\nlast = 1")
    assert (found.line_of("a"), found["ports"].line_of("http"), found.line_of("last")) == (1, 4, 9)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('a = "x', 1, "no closing quote"),
        ("\na = b", 2, "texts are written in quotes"),
        ("a {\n\n", 3, "the end of the file"),
        ("a = [1 2]", 1, "expected"),
        ("= 1", 1, "a name"),
        ("a = <<E\nx", 1, "a line E is missing"),
        ("\n\n/* x", 3, "has no end"),
        ('a = "\\q"', 1, "escape"),
        ("a {} }", 1, "a name"),
        ("a = 08", 1, "08 is no number"),
    ],
)
def test_a_mistake_has_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(HclSyntaxError, match=why) as caught:
        parse(text)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "value"),
    [("010", 8), ("-010", -8), ("0777", 511), ("00", 0), ("0x1F", 31), ("01.5", 1.5), ("09.5", 9.5), ("07e1", 70.0)],
)
def test_a_whole_number_that_begins_with_0_is_octal(text: str, value: float) -> None:
    """As seen with a real agent."""
    assert parse(f"a = {text}") == {"a": value}


def test_nesting_has_a_bound() -> None:
    for text in ("a {" * 5000, "a = [" + "[" * 5000, 'a "b" ' * 5000):
        with pytest.raises(HclSyntaxError):
            parse(text)


@given(st.text(alphabet='ab"={}[],\n\\$<E/*#1.- ', max_size=60))
def test_any_text_is_a_tree_or_a_mistake(text: str) -> None:
    try:
        tree = parse(text)
    except HclSyntaxError as caught:
        mistake = caught
    else:
        assert isinstance(tree, dict)
        return
    assert 1 <= mistake.line <= text.count("\n") + 1
