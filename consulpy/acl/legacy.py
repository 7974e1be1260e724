"""Rules as they were before 1.4: the words without `_prefix` meant prefixes. Source: the answers of 1.8.7."""

import dataclasses
from typing import Final

from consulpy.acl.rules import WORDS, Rules, parse

#: Words that legacy rules have; those that came later (`key_prefix`, `acl`) are accepted and grant nothing.
_WORDS: Final = frozenset(
    {"keyring", "operator", *(word for word, (_kind, is_prefix) in WORDS.items() if not is_prefix)}
)


def parse_legacy(text: str) -> Rules:
    """The rules of a legacy token: every name is a prefix. Raises `InvalidRules`."""
    rules = parse(text, _WORDS)
    return dataclasses.replace(rules, named=tuple(dataclasses.replace(rule, is_prefix=True) for rule in rules.named))
