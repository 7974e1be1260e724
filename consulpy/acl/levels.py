"""Levels of access, and which of two rules for the same name wins.

Source: Consul's documentation of ACL rules; seen with 1.8.7 (docs/wire/acl.md).
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final


class Level(IntEnum):
    """A level of access. Each one above `DENY` includes those below it."""

    DENY = 0
    READ = 1
    LIST = 2
    WRITE = 3


DENY, READ, LIST, WRITE = Level.DENY, Level.READ, Level.LIST, Level.WRITE

#: The verbs of rules, in lower case.
VERBS: Final = {"deny": DENY, "read": READ, "list": LIST, "write": WRITE}
#: Kinds of resources that have names. `intention` has no word of its own: services' rules carry it.
NAMED: Final = ("key", "service", "intention", "node", "agent", "session", "event", "query")
#: Kinds of resources that are one thing.
SCALARS: Final = ("acl", "operator", "keyring")


def stronger(one: Level, other: Level) -> Level:
    """The one that counts where two rules have the same kind and name: deny, then the larger one."""
    if DENY in (one, other):
        return DENY
    return max(one, other)


def decided(rules: Iterable[tuple[Level, bool]]) -> Level:
    """The one that counts of several rules for one name, each with whether it is weak (`rules.Rule`)."""
    given = list(rules)
    levels = [level for level, _ in given]
    firm = [level for level, is_weak in given if not is_weak]
    return DENY if DENY in levels else max(firm) if firm else min(levels)
