"""The text of a policy -> its rules.

    key_prefix "app/" { policy = "write" }
    service "web" { policy = "read", intentions = "write" }
    operator = "read"

HCL or JSON; what is accepted and the errors are those of Consul 1.8.7 (seen). Words that mean nothing are no errors,
but `Rules.warnings` names them.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final

from consulpy.acl.lenient_json import JsonMistake
from consulpy.acl.lenient_json import parse_all as parse_json
from consulpy.acl.levels import LIST, READ, SCALARS, VERBS, Level
from consulpy.codec.lazy_dataclass import dataclass

#: The words of rules that name something -> the kind, and whether the name is a prefix.
WORDS: Final = {
    f"{kind}{suffix}": (kind, bool(suffix))
    for kind in ("agent", "key", "node", "service", "session", "event", "query")
    for suffix in ("", "_prefix")
}
#: Characters that Go's %q writes in another way.
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
#: Members of rules that mean something, or that the open-source Consul ignores on purpose.
_MEMBERS: Final = {"policy", "intentions", "sentinel"}


class InvalidRules(ValueError):
    """A text that is no policy; the words are Consul's."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the level on a name, or on all names with a prefix. `intentions`: of a service rule, if given."""

    kind: str
    name: str
    is_prefix: bool
    level: Level
    intentions: Level | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one policy. `scalars`: what is granted on `acl`, `operator` and `keyring`, where it is given.

    `warnings`: what was accepted and means nothing, a sentence each.
    """

    named: tuple[Rule, ...] = ()
    scalars: tuple[tuple[str, Level], ...] = ()
    warnings: tuple[str, ...] = ()


def parse(text: str, words: Collection[str] = WORDS.keys() | set(SCALARS)) -> Rules:
    """The rules in a text. `words`: those that mean something. Raises `InvalidRules`."""
    from consulpy.codec import hcl  # most agents at rest parse no rules

    is_json = text.lstrip(" \t\r\n").startswith("{")
    lines: dict[tuple[str, ...], int] = {}
    try:
        if is_json:
            tree = parse_json(text)
        else:
            document = hcl.parse_all(text)
            tree, lines = document.tree, document.lines
        return _rules(tree, words, lines, [] if not is_json else _json_warnings(text))
    except hcl.HclSyntaxError as error:
        raise InvalidRules(f"Failed to parse ACL rules: line {error.line}: {error}") from None
    except JsonMistake as error:
        raise InvalidRules(f"Failed to parse ACL rules: {error}") from None


def _rules(
    tree: dict[str, Any], words: Collection[str], lines: dict[tuple[str, ...], int], warnings: list[str]
) -> Rules:
    named: list[Rule] = []
    scalars: dict[str, Level] = {}
    for word, values in tree.items():
        known = word.lower()
        if known not in words:
            warnings.append(_warning(word, lines.get((word,))))
        elif known in WORDS:
            kind, is_prefix = WORDS[known]
            for label, members in _blocks(known, values):
                named.append(_rule(known, kind, is_prefix, label, members))
                unknown = [each for each in members if each.lower() not in _MEMBERS]
                warnings += [_warning(each, lines.get((word, label, each))) for each in unknown]
        else:
            verb = [_text(known, value) if value is not None else "" for value in values][-1]
            if verb:
                scalars[known] = _level(known, verb, may_list=False, shown=_quoted(verb))
    return Rules(tuple(named), tuple(scalars.items()), tuple(warnings))


def _blocks(word: str, values: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(label, members) of each rule. A block without a label has its members for labels."""
    for value in values:
        if value == []:
            continue
        if not isinstance(value, dict):
            raise InvalidRules(f"Failed to parse ACL rules: {word}: blocks with names were expected")
        for label, inner in value.items():
            for members in inner:
                if isinstance(members, dict):
                    yield label, members
                elif isinstance(members, list):
                    raise InvalidRules(f"Failed to parse ACL rules: {word} {_quoted(label)}: a block was expected")
                else:
                    yield label, {label: [members]}


def _rule(word: str, kind: str, is_prefix: bool, label: str, members: dict[str, Any]) -> Rule:
    texts = {"policy": "", "intentions": ""}
    for name, values in members.items():
        if name.lower() in texts and (name.lower() == "policy" or kind == "service"):
            texts[name.lower()] = [_text(f"{word} {_quoted(label)}", value) for value in values][-1]
    shown = _go_rule(kind, label, texts)
    level = _level(word, texts["policy"], may_list=kind == "key", shown=shown)
    intentions = None
    if texts["intentions"]:
        intentions = _level(f"{word} intentions", texts["intentions"], may_list=False, shown=shown)
    return Rule(kind, label, is_prefix, level, intentions)


#: How Go names the rules of each kind, and their names.
_GO_RULES: Final = {
    "agent": ("AgentRule", "Node"),
    "event": ("EventRule", "Event"),
    "key": ("KeyRule", "Prefix"),
    "node": ("NodeRule", "Name"),
    "query": ("PreparedQueryRule", "Prefix"),
    "service": ("ServiceRule", "Name"),
    "session": ("SessionRule", "Node"),
}


def _go_rule(kind: str, label: str, texts: dict[str, str]) -> str:
    """A rule as Consul's errors show it."""
    struct, name = _GO_RULES[kind]
    intentions = f", Intentions:{_quoted(texts['intentions'])}" if kind == "service" else ""
    more = ", EnterpriseRule:acl.EnterpriseRule{}" if kind in ("key", "node", "service") else ""
    return f"&acl.{struct}{{{name}:{_quoted(label)}, Policy:{_quoted(texts['policy'])}{intentions}{more}}}"


def _level(word: str, verb: str, *, may_list: bool, shown: str) -> Level:
    level = VERBS.get(verb.lower())
    if level is None or (level is LIST and not may_list):
        raise InvalidRules(f"Invalid {word} policy: {shown}")
    return level


def _text(where: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidRules(f"Failed to parse ACL rules: {where}: a text was expected")


def _quoted(text: str) -> str:
    return '"' + text.translate(_ESCAPES) + '"'


def _warning(word: str, line: int | None) -> str:
    where = f" in line {line}" if line is not None else ""
    return f"{_quoted(word)}{where} means nothing"


def _json_warnings(text: str) -> list[str]:
    return [] if text.rstrip().endswith("}") else ["the object is not closed"]


def implied_intentions(level: Level) -> Level:
    """The level on intentions of a service rule without `intentions`: read, if the service may be read."""
    return READ if level >= READ else level
