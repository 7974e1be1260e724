"""Rules from before 1.4 in today's words."""

import pytest

from consulpy.acl.rules import InvalidRules
from consulpy.acl.translate import translate


@pytest.mark.parametrize("kind", ["key", "service", "node", "session", "agent", "event", "query"])
def test_each_kind_becomes_a_prefix(kind: str) -> None:
    assert translate(f'{kind} "a/b" {{ policy = "write" }}') == f'{kind}_prefix "a/b" {{\n  policy = "write"\n}}'


def test_order_and_everything_else_are_kept() -> None:
    text = 'key "a" { policy = "read" }\noperator = "read"\nkey "b" { policy = "write" intentions = "read" }'
    assert translate(text) == (
        'key_prefix "a" {\n  policy = "read"\n}\n\n'
        'operator = "read"\n\n'
        'key_prefix "b" {\n  policy = "write"\n\n  intentions = "read"\n}'
    )


def test_json_becomes_hcl() -> None:
    assert translate('{"key":{"a":{"policy":"read"}}}') == 'key_prefix "a" {\n  policy = "read"\n}'


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ('acl "x" { policy = "read" }', 'acl "x" {\n  policy = "read"\n}'),
        ('key "a" "b" {}', 'key_prefix "a" "b" {}'),
        ('key = "read"', 'key_prefix = "read"'),
        ('x { key "a" {} }', 'x {\n  key_prefix "a" {}\n}'),
        ('{"key": {"a": "read"}}', 'key_prefix = {\n  "a" = "read"\n}'),
        ('{"operator": "read", "key": null}', '"operator" = "read"\n\nkey_prefix = '),
    ],
)
def test_what_is_no_rule_is_printed_as_consul_prints_it(text: str, translated: str) -> None:
    assert translate(text) == translated


@pytest.mark.parametrize("text", ["key {", 'key "a" = = 1'])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidRules, match="Failed to parse rules"):
        translate(text)
