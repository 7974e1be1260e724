"""The texts of policies: what 1.8.7 accepts and refuses (docs/wire/acl.md section 2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.acl.levels import DENY, LIST, READ, WRITE
from consulpy.acl.rules import InvalidRules, Rule, parse


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ('key "a" { policy = "read" }', [Rule("key", "a", False, READ)]),
        ('key_prefix "a" { policy = "list" }', [Rule("key", "a", True, LIST)]),
        ('key a { policy = "WRITE" }', [Rule("key", "a", False, WRITE, is_weak=True)]),
        # One further label is a member, more of them are ignored.
        ('key "a" "b" "c" { policy = "read" }', [Rule("key", "a", False, READ)]),
        ('key { "a" "b" "c" "d" { policy = "read" } }', [Rule("key", "a", False, READ)]),
        (
            '{"key":{"a":{"b":{"c":{"policy":"read"}},"d":{"e":{"policy":"deny"}}}}}',
            [Rule("key", "a", False, READ), Rule("key", "a", False, DENY)],
        ),
        ('{"key" "a": {"policy":"read"}}', [Rule("key", "a", False, READ)]),
        ('{"key":[[{"a":{"policy":"read"}}]]}', [Rule("key", "a", False, READ)]),
        ('{"key":{"a":{"policy":"read","policy":}}}', [Rule("key", "a", False, READ)]),
        ('{"service":{"a":{"policy":"read","intentions":null}}}', [Rule("service", "a", False, READ)]),
        ('{"key":{"\\x41\\102":{"policy":"read"}}}', [Rule("key", "AB", False, READ)]),
        ('key "\\xc3\\xa9\\ud800" { policy = "read" }', [Rule("key", "é\ufffd", False, READ)]),
        ('key "\\xff" { policy = "read" }', [Rule("key", "\udcff", False, READ)]),
        ('key "a" { policy = "read" } x = [,1,,] acl =', [Rule("key", "a", False, READ)]),
        ('x = 1key "a" { policy = "read" }', [Rule("key", "a", False, READ)]),
        ('KEY "a" { Policy = "deny" }', [Rule("key", "a", False, DENY)]),
        ('service "" { policy = "read", intentions = "write" }', [Rule("service", "", False, READ, WRITE)]),
        ('{"key":{"a":{"policy":"read"}}}', [Rule("key", "a", False, READ)]),
        (
            '{"key":[{"a":{"policy":"read"}},{"b":{"policy":"read"}}]}',
            [Rule("key", "a", False, READ), Rule("key", "b", False, READ)],
        ),
        ('{"node_prefix":{"":{"policy":"read"}},}', [Rule("node", "", True, READ)]),
        # Members of a block without a label are labels.
        ('key { policy = "read" }', [Rule("key", "policy", False, READ)]),
        ('key "a" { policy = "write" sentinel { code = "x" } }', [Rule("key", "a", False, WRITE)]),
        ('# c\nkey "a" { # x\n policy = "read" } // end\n/* d */', [Rule("key", "a", False, READ)]),
        (
            'key "a" { policy = "read" }\nkey "a" { policy = "write" }',
            [Rule("key", "a", False, READ), Rule("key", "a", False, WRITE)],
        ),
        ("", []),
        ("{", []),
        ("key = [ ]", []),
        ('{"operator": null, "key": []}', []),
        ("{}", []),
        ('{"key"}', []),
        ('{"acl":["read"}', []),
        ('{"acl":', []),
        ("x = <<E\r\na\r\n  E\r\n", []),
        ("x = <<-E\n  E\n", []),
        ('{"a": 1', []),
    ],
)
def test_texts_that_are_policies(text: str, rules: list[Rule]) -> None:
    assert list(parse(text).named) == rules


def test_the_last_scalar_of_a_policy_counts() -> None:
    assert dict(parse('operator = "read"\noperator = "write" acl = "read" keyring = ""').scalars) == {
        "operator": WRITE,
        "acl": READ,
    }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('node "a" { policy = "list" }', "Invalid node policy: "),
        ('node_prefix "a" { policy = "x" }', "Invalid node_prefix policy: "),
        ('key "a" {}', 'Invalid key policy: &acl.KeyRule{Prefix:"a", Policy:"", EnterpriseRule:acl.EnterpriseRule{}}'),
        ('event "a" {}', 'Invalid event policy: &acl.EventRule{Event:"a", Policy:""}'),
        ('service "a" { intentions = "read" }', "Invalid service policy: "),
        ('service "a" { policy = "read" intentions = "list" }', "Invalid service intentions policy: "),
        ('{"key":{"a":"read"}}', "Invalid key policy: "),
        ("operator = 1", 'Invalid operator policy: "1"'),
        ("operator = 0x1F", 'Invalid operator policy: "0x1F"'),
        (
            'service "a" { policy = "x" } key "\\u200b" { policy = "y" }',
            r'Invalid key policy: &acl.KeyRule{Prefix:"\u200b", Policy:"y", EnterpriseRule:acl.EnterpriseRule{}}',
        ),
        ('operator = "x" acl = "y"', 'Invalid acl policy: "y"'),
        ("operator = <<-E\n  a\n b\n  E\n", r'Invalid operator policy: "  a\n b\n"'),
        (
            '\nkey "a" { policy = 1e999 }',
            'Failed to parse ACL rules: line 2: key "a": policy: a text was expected, not 1e999',
        ),
        ('key true { policy = "read" }', "Failed to parse ACL rules: At 1:5: "),
        ('\ufeffkey "a" { policy = "read" }', "Failed to parse ACL rules: At 1:1: "),
        ('key "a\0" { policy = "read" }', "Failed to parse ACL rules: At 1:5: "),
        ('\nx = "\\q"', "Failed to parse ACL rules: At 2:7: unknown escape"),
        ('key "\\777" { policy = "read" }', "Failed to parse ACL rules: At 1:10: "),
        ('x = "${{}"', "Failed to parse ACL rules: At 1:5: "),
        ("x = <<-E\nE\n", "Failed to parse ACL rules: At 1:5: "),
        ("x = << E\na\nE\n", "Failed to parse ACL rules: At 1:5: "),
        ("x = <<E\na\nE", "Failed to parse ACL rules: At 1:5: "),
        ("x = -.5", "Failed to parse ACL rules: At 1:5: "),
        ('{\n"acl":01}', "Failed to parse ACL rules: 2:7: numbers cannot start with 0"),
        ('{"acl":"read" y}', "Failed to parse ACL rules: 1:15: illegal char: y"),
        ('{"acl":1e5}', "Failed to parse ACL rules: acl: a text was expected, not 1e5"),
        ('{"a":"\\/"}', "Failed to parse ACL rules: 1:8: unknown escape"),
        ('{"a":{"b":[1:2]}}', "Failed to parse ACL rules: 1:13: unexpected token while parsing list: COLON"),
        ('key "a" { policy = "read"', "Failed to parse ACL rules: "),
        ('key "a" policy = "read"', "Failed to parse ACL rules: "),
        ('operator "a" { policy = "read" }', "Failed to parse ACL rules: "),
        ('operator { policy = "read" }', "Failed to parse ACL rules: "),
        ("acl = true", "Failed to parse ACL rules: "),
        ('acl = ["read"]', "Failed to parse ACL rules: "),
        ('key = "a"', "Failed to parse ACL rules: "),
        ('key "a" { policy = ["read"] }', "Failed to parse ACL rules: "),
        ("[]", "Failed to parse ACL rules: "),
        ("hello", "Failed to parse ACL rules: "),
        ('"', "Failed to parse ACL rules: "),
        ("\x00", "Failed to parse ACL rules: "),
        ("}", "Failed to parse ACL rules: "),
        ("<<EOF\nEOF", "Failed to parse ACL rules: "),
        ('{"key": nonsense}', "Failed to parse ACL rules: "),
        ("{" * 100, "Failed to parse ACL rules: "),
        ('{"a":' * 100, "Failed to parse ACL rules: "),
    ],
)
def test_texts_that_are_no_policies(text: str, error: str) -> None:
    with pytest.raises(InvalidRules) as raised:
        parse(text)
    assert str(raised.value).startswith(error)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('node "a" { policy = "read" }\nkeys "a" { policy = "read" }', '"keys" in line 2 means nothing'),
        ('mesh = "read"', '"mesh" in line 1 means nothing'),
        ('acl = "READ"', 'acl = "READ" grants nothing: the verb has capitals'),
        ('key "a" { policy = "read"\n other = 1 }', '"other" in line 2 means nothing'),
        ("{", "the object is not closed"),
    ],
)
def test_what_means_nothing_is_named(text: str, warning: str) -> None:
    assert list(parse(text).warnings) == [warning]


WORDS = [
    *("key", "service_prefix", "operator", "policy", "intentions", "a", '"a"', '"read"', '"write"', "1", "true"),
    *("{", "}", "=", ",", ":", "[", "]", "\n", "#x\n", "<<E\nE\n", "/*", '"'),
]


@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_policy_or_an_error(text: str) -> None:
    for each in (text, "{" + text):
        error = ""
        try:
            parse(each)
        except InvalidRules as raised:
            error = str(raised)
        assert not error or error.startswith(("Failed to parse ACL rules: ", "Invalid "))
