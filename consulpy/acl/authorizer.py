"""Authorizers: rules are compiled once; a check takes time that does not grow with their number.

For each kind of resource: an exact rule for the name, else the rule with the longest prefix of it, else the default
policy. The same rule from several policies: `levels.stronger`. Source: docs/wire/acl.md section 3; seen with 1.8.7.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from consulpy.acl.levels import DENY, NAMED, READ, SCALARS, WRITE, Level, stronger
from consulpy.acl.rules import Rules, implied_intentions

Name = TypeVar("Name")

#: The name of all services in intentions. No rule is for it: to write it one has to write all, to read it, any.
EVERY_SERVICE: Final = "*"


class NameRules:
    """The rules of one kind. `default`: what holds for names that no rule is for."""

    __slots__ = (
        "_exact",
        "_levels",
        "_parents",
        "_prefixes",
        "_refusing",
        "default",
        "grants_anything",
        "grants_reading",
    )

    def __init__(self, exact: dict[str, Level], prefixes: dict[str, Level], default: Level) -> None:
        self.default = default
        self._exact = exact
        self._prefixes = sorted(prefixes)
        self._levels = [prefixes[prefix] for prefix in self._prefixes]
        self._parents = _ancestors(self._prefixes)
        #: Names of all rules, exact or prefix, that do not grant writing.
        self._refusing = sorted(
            name for rules in (exact, prefixes) for name, level in rules.items() if level is not WRITE
        )
        #: Whether any name may be read.
        self.grants_anything = prefixes.get("", default) >= READ or any(
            level >= READ for rules in (exact, prefixes) for level in rules.values()
        )
        #: Whether every name may be read.
        everything = prefixes.get("", default) >= READ
        self.grants_reading = everything and all(
            level >= READ for rules in (exact, prefixes) for level in rules.values()
        )

    def level(self, name: str) -> Level:
        """The level granted on one name."""
        found = self._exact.get(name)
        return found if found is not None else self.level_of_prefix(name)

    def level_of_prefix(self, name: str) -> Level:
        """The level of the longest prefix rule for a name; exact rules are not looked at."""
        at = bisect_right(self._prefixes, name) - 1
        if at < 0:
            return self.default
        if name.startswith(self._prefixes[at]):
            return self._levels[at]
        # All rules that match are prefixes of the one found: of those, the longest that the name begins with.
        ancestors = self._parents[at]
        fitting = bisect_left(ancestors, True, key=lambda index: not name.startswith(self._prefixes[index]))
        return self._levels[ancestors[fitting - 1]] if fitting else self.default

    def may_write_below(self, prefix: str) -> bool:
        """Whether all names with a prefix may be written: no rule below it says anything else."""
        if self.level_of_prefix(prefix) is not WRITE:
            return False
        at = bisect_left(self._refusing, prefix)
        return at == len(self._refusing) or not self._refusing[at].startswith(prefix)


def _ancestors(prefixes: list[str]) -> list[tuple[int, ...]]:
    """For each of the sorted prefixes, the positions of the others that it begins with, shortest first."""
    found: list[tuple[int, ...]] = []
    open_: list[int] = []
    for index, prefix in enumerate(prefixes):
        while open_ and not prefix.startswith(prefixes[open_[-1]]):
            open_.pop()
        found.append(tuple(open_))
        open_.append(index)
    return found


class Authorizer:
    """The rights of a token. `named`: rules by kind; `scalars`: the levels on `acl`, `operator` and `keyring`."""

    __slots__ = ("_named", "_scalars", "is_unrestricted")

    def __init__(self, named: dict[str, NameRules], scalars: dict[str, Level], *, is_unrestricted: bool) -> None:
        self._named = named
        self._scalars = scalars
        #: Everything is allowed whatever is asked: access control is switched off.
        self.is_unrestricted = is_unrestricted

    def allows(self, kind: str, name: str, level: Level) -> bool:
        """Whether this may be done with the resource of this name (`""` for those that have none)."""
        rules = self._named.get(kind)
        if rules is None:
            return self._scalars[kind] >= level
        if name == EVERY_SERVICE and kind == "intention":
            return rules.may_write_below("") if level is WRITE else rules.grants_anything
        return rules.level(name) >= level

    @property
    def default_allows(self) -> bool:
        """Whether what no rule names is allowed."""
        return self._named["intention"].default is WRITE

    def may_read_all(self, kind: str) -> bool:
        """Whether every name of a kind may be read: nothing needs to be filtered."""
        return self._named[kind].grants_reading

    def may_write_keys_below(self, prefix: str) -> bool:
        """Whether a whole tree of keys may be deleted."""
        return self._named["key"].may_write_below(prefix)


def compile_rules(policies: Iterable[Rules], *, default_allows: bool = False) -> Authorizer:
    """The authorizer of all these policies together; `default_allows`: the default policy.

    Access control itself is never allowed by default. Of weak rules of one name the one that grants least counts, where
    no other is for it; one that denies counts always.
    """
    exact: dict[str, dict[str, Level]] = {kind: {} for kind in NAMED}
    prefixes: dict[str, dict[str, Level]] = {kind: {} for kind in NAMED}
    intentions: dict[tuple[str, bool], Level] = {}
    scalars: dict[str, Level] = {}
    weak: list[tuple[dict[Any, Level], Any, Level]] = []
    for policy in policies:
        for rule in policy.named:
            table = (prefixes if rule.is_prefix else exact)[rule.kind]
            if rule.is_weak:
                weak.append((table, rule.name, rule.level))
            else:
                _merge(table, rule.name, rule.level)
            if rule.intentions is None:
                continue
            if rule.is_weak_in_intentions:
                weak.append((intentions, (rule.name, rule.is_prefix), rule.intentions))
            else:
                _merge(intentions, (rule.name, rule.is_prefix), rule.intentions)
        for word, level in policy.scalars:
            _merge(scalars, word, level)
    for table, name, level in sorted(weak, key=lambda each: each[2]):
        if level is DENY or name not in table:
            table[name] = level
    for tables, is_prefix in ((exact, False), (prefixes, True)):
        tables["intention"] = {
            name: intentions.get((name, is_prefix), implied_intentions(level))
            for name, level in tables["service"].items()
        }
    default = WRITE if default_allows else DENY
    named = {kind: NameRules(exact[kind], prefixes[kind], default) for kind in NAMED}
    for word in SCALARS:
        scalars.setdefault(word, DENY if word == "acl" else default)
    return Authorizer(named, scalars, is_unrestricted=False)


def _merge(table: dict[Name, Level], name: Name, level: Level) -> None:
    known = table.get(name)
    table[name] = level if known is None else stronger(known, level)


def _everything(level: Level, *, is_unrestricted: bool) -> Authorizer:
    named = {kind: NameRules({}, {}, level) for kind in NAMED}
    return Authorizer(named, dict.fromkeys(SCALARS, level), is_unrestricted=is_unrestricted)


#: Access control is off.
UNRESTRICTED: Final = _everything(WRITE, is_unrestricted=True)
#: Nothing is allowed.
DENY_ALL: Final = _everything(DENY, is_unrestricted=False)
#: Everything is allowed: a down policy.
ALLOW_ALL: Final = _everything(WRITE, is_unrestricted=False)
