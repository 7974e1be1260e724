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
        ('key a { policy = "WRITE" }', [Rule("key", "a", False, WRITE)]),
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
