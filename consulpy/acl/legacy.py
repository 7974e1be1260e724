"""Rules as they were before 1.4: the words without `_prefix` meant prefixes. Source: the answers of 1.8.7."""

import dataclasses

from consulpy.acl.rules import Rules, parse


def parse_legacy(text: str) -> Rules:
    """The rules of a legacy token: every name is a prefix. Raises `InvalidRules`."""
    rules = parse(text)
    return dataclasses.replace(rules, named=tuple(dataclasses.replace(rule, is_prefix=True) for rule in rules.named))
