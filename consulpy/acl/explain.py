"""Explanation of a decision: all rules are read one by one, to show the one that decides.

`consulpy.acl.authorizer` answers the same from tables; the two are compared over all small policies in its tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consulpy.acl.authorizer import EVERY_SERVICE
from consulpy.acl.levels import DENY, READ, SCALARS, WRITE, Level, decided, stronger
from consulpy.acl.rules import Rule, Rules, implied_intentions


@dataclass(frozen=True, slots=True)
class Decision:
    """A granted level, with the rule (as it would be written) and its policy; without a rule: the default policy."""

    level: Level
    rule: str = ""
    policy: str = ""


def explain(policies: Sequence[tuple[str, Rules]], kind: str, name: str, *, default_allows: bool = False) -> Decision:
    """The decision that these policies, each with its name, give together on a resource."""
    if kind in SCALARS:
        return _scalar(policies, kind, default_allows and kind != "acl")
    if kind == "intention" and name == EVERY_SERVICE:
        return _every_service(policies, default_allows)
    found = _candidates(policies, kind, name)
    if not found:
        return Decision(WRITE if default_allows else DENY)
    best = max((not rule.is_prefix, len(rule.name)) for _, rule in found)
    deciding = [each for each in found if (not each[1].is_prefix, len(each[1].name)) == best]
    if kind == "intention":
        return _intention(deciding)
    level = decided((rule.level, rule.is_weak) for _, rule in deciding)
    policy, rule = next(each for each in deciding if each[1].level is level)
    return Decision(level, shown(rule), policy)


def _every_service(policies: Sequence[tuple[str, Rules]], default_allows: bool) -> Decision:
    """The level on all services: write if all may be written, read if any may be read."""
    names = {(rule.name, rule.is_prefix) for _, rules in policies for rule in rules.named if rule.kind == "service"}
    each = [
        _intention([(policy, rule) for policy, rules in policies for rule in rules.named
                    if rule.kind == "service" and (rule.name, rule.is_prefix) == name])
        for name in sorted(names)
    ]  # fmt: skip
    if ("", True) not in names:
        each.append(Decision(WRITE if default_allows else DENY))
    least = min(each, key=lambda decision: decision.level)
    most = max(each, key=lambda decision: decision.level)
    if least.level is WRITE:
        return least
    return Decision(READ, most.rule, most.policy) if most.level >= READ else Decision(DENY, least.rule, least.policy)


def shown(rule: Rule) -> str:
    """The rule as it would be written."""
    word = f"{rule.kind}_prefix" if rule.is_prefix else rule.kind
    intentions = f', intentions = "{rule.intentions.name.lower()}"' if rule.intentions is not None else ""
    return f'{word} "{rule.name}" {{ policy = "{rule.level.name.lower()}"{intentions} }}'


def _candidates(policies: Sequence[tuple[str, Rules]], kind: str, name: str) -> list[tuple[str, Rule]]:
    wanted = "service" if kind == "intention" else kind
    return [
        (policy, rule)
        for policy, rules in policies
        for rule in rules.named
        if rule.kind == wanted and (name.startswith(rule.name) if rule.is_prefix else name == rule.name)
    ]


def _intention(deciding: list[tuple[str, Rule]]) -> Decision:
    """Explicit `intentions` of rules of one name count together; without any, what the services' verbs imply."""
    given = [(policy, rule, rule.intentions) for policy, rule in deciding if rule.intentions is not None]
    if given:
        level = decided((each, rule.is_weak_in_intentions) for _, rule, each in given)
        policy, rule = next((policy, rule) for policy, rule, each in given if each is level)
        return Decision(level, shown(rule), policy)
    level = decided((rule.level, rule.is_weak) for _, rule in deciding)
    policy, rule = next(each for each in deciding if each[1].level is level)
    return Decision(implied_intentions(level), shown(rule), policy)


def _scalar(policies: Sequence[tuple[str, Rules]], word: str, default_allows: bool) -> Decision:
    given = [(policy, level) for policy, rules in policies for known, level in rules.scalars if known == word]
    if not given:
        return Decision(WRITE if default_allows else DENY)
    level = given[0][1]
    for _, other in given:
        level = stronger(level, other)
    policy = next(policy for policy, each in given if each is level)
    return Decision(level, f'{word} = "{level.name.lower()}"', policy)
