"""Who may do what: docs/wire/acl.md section 3, and every small policy compared with the plain reading of its rules."""

from itertools import combinations, product

import pytest

from consulpy.acl.authorizer import ALLOW_ALL, DENY_ALL, UNRESTRICTED, compile_rules
from consulpy.acl.explain import explain
from consulpy.acl.identities import agent_master, node_identity, service_identity
from consulpy.acl.legacy import parse_legacy
from consulpy.acl.levels import DENY, LIST, NAMED, READ, SCALARS, WRITE
from consulpy.acl.rules import Rule, Rules, parse


def authorizer_of(*texts: str, default_allows: bool = False):  # type: ignore[no-untyped-def]
    return compile_rules([parse(text) for text in texts], default_allows=default_allows)


NAMES = ("", "a", "aa", "ab", "b", "aab")
LEVELS = (DENY, READ, LIST, WRITE)


@pytest.mark.parametrize("default_allows", [False, True])
def test_all_pairs_of_rules_decide_as_the_plain_reading_does(default_allows: bool) -> None:
    rules = [Rule("key", name, is_prefix, level) for name, is_prefix, level in product(NAMES, (0, 1), LEVELS)]
    for pair in combinations(rules, 2):
        policies = [Rules((rule,)) for rule in pair]
        compiled = compile_rules(policies, default_allows=default_allows)
        for name in (*NAMES, "aabb", "ba", "\U0010ffff"):
            level = explain([("", each) for each in policies], "key", name, default_allows=default_allows).level
            for asked in (READ, LIST, WRITE):
                assert compiled.allows("key", name, asked) is (level >= asked), (pair, name)


def test_deep_chains_of_prefixes_decide_by_the_longest() -> None:
    prefixes = ["", "a", "ab", "abc", "abcd", "b", "ba"]
    for chosen in product((None, READ, WRITE), repeat=len(prefixes)):
        rules = Rules(
            tuple(Rule("key", p, True, level) for p, level in zip(prefixes, chosen, strict=True) if level is not None)
        )
        compiled = compile_rules([rules])
        for name in ("", "a", "abz", "abcz", "abcdz", "abcc", "az", "baz", "bz", "c"):
            assert compiled.allows("key", name, WRITE) is (explain([("", rules)], "key", name).level is WRITE)


def test_a_tree_may_be_deleted_only_where_every_rule_below_says_write() -> None:
    rules = [Rule("key", name, is_prefix, level) for name, is_prefix, level in product(NAMES, (0, 1), (READ, WRITE))]
    for chosen in combinations(rules, 2):
        policy = Rules(chosen)
        compiled = compile_rules([policy])
        for prefix in NAMES:
            below = [rule for rule in chosen if rule.name.startswith(prefix)]
            prefixes_only = Rules(tuple(rule for rule in chosen if rule.is_prefix))
            # An exact and a prefix rule given twice: what counts is the merged level.
            base = explain([("", prefixes_only)], "key", prefix).level
            merged = [
                explain([("", Rules(tuple(o for o in chosen if (o.name, o.is_prefix) == (r.name, r.is_prefix))))],
                        "key", r.name).level
                for r in below
            ]  # fmt: skip
            expected = base is WRITE and all(level is WRITE for level in merged)
            assert compiled.may_write_keys_below(prefix) is expected, (chosen, prefix)


def test_the_same_rule_twice_denies_then_writes_then_lists_then_reads() -> None:
    for one, other in product(LEVELS, repeat=2):
        compiled = compile_rules([Rules((Rule("key", "a", False, one),)), Rules((Rule("key", "a", False, other),))])
        expected = DENY if DENY in (one, other) else max(one, other)
        assert [compiled.allows("key", "a", level) for level in (READ, LIST, WRITE)] == [
            expected >= level for level in (READ, LIST, WRITE)
        ]


def test_verbs_with_capitals_count_where_no_other_rule_of_the_name_does() -> None:
    """As in 1.8.7, but for DENY: it counts there only where the rule is alone."""
    verbs = ("read", "write", "deny", "READ", "Write", "DENY")
    for one, other in product(verbs, repeat=2):
        texts = [f'key "a" {{ policy = "{verb}" }}' for verb in (one, other)]
        firm = [verb for verb in (one, other) if verb.islower()]
        if "deny" in (one.lower(), other.lower()):
            expected = DENY
        elif firm:
            expected = WRITE if "write" in firm else READ
        else:
            expected = WRITE if (one, other) == ("Write", "Write") else READ
        compiled = authorizer_of(*texts)
        explained = explain([("", parse(text)) for text in texts], "key", "a").level
        assert explained is expected, (one, other)
        assert [compiled.allows("key", "a", level) for level in (READ, WRITE)] == [
            expected >= level for level in (READ, WRITE)
        ], (one, other)
    given = authorizer_of(
        'service "w" { policy = "read" intentions = "WRITE" }', 'service "w" { policy = "read" intentions = "read" }'
    )
    assert not given.allows("intention", "w", WRITE)
    assert authorizer_of('service "w" { policy = "read" intentions = "WRITE" }').allows("intention", "w", WRITE)


def test_scalars_with_capitals_grant_nothing() -> None:
    compiled = authorizer_of('acl = "WRITE" operator = "Read" keyring = "DENY"', default_allows=True)
    assert not compiled.allows("acl", "", READ)
    assert compiled.allows("operator", "", WRITE)
    assert not compiled.allows("keyring", "", READ)


def test_scalars_are_merged_like_rules() -> None:
    assert authorizer_of('operator = "read"', 'operator = "write"').allows("operator", "", WRITE)
    assert not authorizer_of('acl = "deny"', 'acl = "write"').allows("acl", "", READ)


def test_a_longer_prefix_beats_a_deny() -> None:
    compiled = authorizer_of('key_prefix "" { policy = "deny" } key_prefix "p" { policy = "write" }')
    assert compiled.allows("key", "px", WRITE)
    assert not compiled.allows("key", "x", READ)


def test_default_allow_allows_all_but_access_control() -> None:
    compiled = authorizer_of(default_allows=True)
    assert all(compiled.allows(kind, "x", WRITE) for kind in NAMED)
    assert [word for word in SCALARS if not compiled.allows(word, "", READ)] == ["acl"]
    assert not authorizer_of('key "a" { policy = "read" }', default_allows=True).allows("key", "a", WRITE)


def test_intentions_follow_the_service_unless_they_are_given() -> None:
    implied = authorizer_of('service "w" { policy = "write" } service "d" { policy = "deny" }')
    assert implied.allows("intention", "w", READ)
    assert not implied.allows("intention", "w", WRITE)
    assert not implied.allows("intention", "d", READ)
    given = authorizer_of('service "w" { policy = "deny" }', 'service "w" { policy = "read" intentions = "write" }')
    assert given.allows("intention", "w", WRITE)
    assert not given.allows("service", "w", READ)


def test_nothing_needs_to_be_filtered_where_all_may_be_read() -> None:
    assert authorizer_of('node_prefix "" { policy = "read" }').may_read_all("node")
    assert not authorizer_of('node_prefix "" { policy = "read" } node "a" { policy = "deny" }').may_read_all("node")
    assert not authorizer_of('node "a" { policy = "write" }').may_read_all("node")
    assert authorizer_of(default_allows=True).may_read_all("service")
    assert not authorizer_of('service_prefix "x" { policy = "deny" }', default_allows=True).may_read_all("service")


def test_identities_give_what_consul_says() -> None:
    web = compile_rules([service_identity("web")])
    assert web.allows("service", "web-sidecar-proxy", WRITE)
    assert web.allows("service", "other", READ)
    assert web.allows("node", "any", READ)
    assert not web.allows("service", "webx", WRITE)
    node = compile_rules([node_identity("n1")])
    assert node.allows("node", "n1", WRITE)
    assert not node.allows("node", "n2", READ)
    assert not node.allows("agent", "n1", READ)
    own = compile_rules([agent_master("n1")])
    assert own.allows("agent", "n1", WRITE)
    assert own.allows("node", "n2", READ)
    assert not own.allows("agent", "n2", READ)


def test_words_of_later_rules_grant_nothing_to_legacy_tokens() -> None:
    text = 'key_prefix "k" { policy = "write" } key "k/a" { policy = "read" } acl = "write" operator = "read"'
    compiled = compile_rules([parse_legacy(text)])
    assert not compiled.allows("key", "k", READ)
    assert compiled.allows("key", "k/ab", READ)
    assert not compiled.allows("key", "k/a", WRITE)
    assert not compiled.allows("acl", "", READ)
    assert compiled.allows("operator", "", READ)
    parse_legacy('key_prefix "k" { policy = "bad" } acl = "bad"')


def test_legacy_rules_are_prefixes() -> None:
    compiled = compile_rules([parse_legacy('key "a" { policy = "write" } key "" { policy = "read" }')])
    assert compiled.allows("key", "ab", WRITE)
    assert compiled.allows("key", "z", READ)


def test_the_fixed_ones() -> None:
    assert not DENY_ALL.allows("key", "a", READ)
    assert not DENY_ALL.allows("acl", "", READ)
    assert ALLOW_ALL.allows("acl", "", WRITE)
    assert not ALLOW_ALL.is_unrestricted
    assert UNRESTRICTED.is_unrestricted
    assert UNRESTRICTED.may_write_keys_below("")


@pytest.mark.parametrize("default_allows", [False, True])
def test_every_service_is_written_by_who_may_write_all_and_read_by_who_may_read_any(default_allows: bool) -> None:
    rules = [
        Rule("service", name, is_prefix, READ, level)
        for name, is_prefix, level in product(("", "a", "*"), (False, True), (DENY, READ, WRITE))
    ]
    for pair in combinations(rules, 2):
        policies = [Rules((rule,)) for rule in pair]
        compiled = compile_rules(policies, default_allows=default_allows)
        level = explain([("", each) for each in policies], "intention", "*", default_allows=default_allows).level
        for asked in (READ, WRITE):
            assert compiled.allows("intention", "*", asked) is (level >= asked), pair
    only_named = authorizer_of('service "*" { policy = "write" intentions = "write" }')
    assert not only_named.allows("intention", "*", WRITE)
