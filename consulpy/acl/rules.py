"""The text of a policy -> its rules.

    key_prefix "app/" { policy = "write" }
    service "web" { policy = "read", intentions = "write" }
    operator = "read"

HCL or JSON; what is accepted and the errors are those of Consul 1.8.7 (seen). Words that mean nothing are no errors,
but `Rules.warnings` names them.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from consulpy.acl.levels import DENY, LIST, READ, SCALARS, VERBS, Level
from consulpy.codec.blocks import Block, Label
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.gocompat.literals import quoted as _quoted

#: The words of rules that name something -> the kind, and whether the name is a prefix.
WORDS: Final = {
    f"{kind}{suffix}": (kind, bool(suffix))
    for kind in ("agent", "key", "node", "service", "session", "event", "query")
    for suffix in ("", "_prefix")
}
#: The order in which Consul looks at the verbs of a policy.
_ORDER: Final = {
    word: place
    for place, word in enumerate((
        "acl", "agent", "agent_prefix", "key", "key_prefix", "node", "node_prefix", "service", "service_prefix",
        "session", "session_prefix", "event", "event_prefix", "keyring", "query", "query_prefix", "operator",
    ))
}  # fmt: skip
#: Blanks before the brace of JSON.
_BLANKS: Final = " \t\r\n"
#: Members of rules that mean something, or that the open-source Consul ignores on purpose.
_MEMBERS: Final = {"policy", "intentions", "sentinel"}


class InvalidRules(ValueError):
    """A text that is no policy; the words are Consul's."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the level on a name, or on all names with a prefix. `intentions`: of a service rule, if given.

    `is_weak`, `is_weak_in_intentions`: the verb has capitals; it counts only where no rule of the name has one without.
    """

    kind: str
    name: str
    is_prefix: bool
    level: Level
    intentions: Level | None = None
    is_weak: bool = False
    is_weak_in_intentions: bool = False


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
    from consulpy.acl import lenient_json  # most agents at rest parse no rules
    from consulpy.codec import hcl

    is_json = text.lstrip(_BLANKS).startswith("{")
    lines: dict[tuple[str, ...], int] = {}
    try:
        if is_json:
            tree = lenient_json.parse_all(text)
        else:
            document = hcl.parse_all(text)
            tree, lines = document.tree, document.lines
    except hcl.HclSyntaxError as error:
        raise InvalidRules(f"Failed to parse ACL rules: At {error.line}:{error.column}: {error}") from None
    except lenient_json.JsonMistake as error:
        raise InvalidRules(f"Failed to parse ACL rules: {error}") from None
    reader = _Reader(words, lines)
    if is_json and not text.rstrip().endswith("}"):
        reader.warnings.append("the object is not closed")
    reader.read(tree)
    return reader.rules()


class _Reader:
    """Makes rules of the tree of a text. `lines`: where its words are, by their path."""

    def __init__(self, words: Collection[str], lines: dict[tuple[str, ...], int]) -> None:
        self._words = words
        self._lines = lines
        self.warnings: list[str] = []
        #: (word, label, verb of `policy`, verb of `intentions`) of each rule.
        self._found: list[tuple[str, str, str, str]] = []
        self._scalars: dict[str, str] = {}

    def read(self, tree: dict[str, Any]) -> None:
        """Read the rules of the tree. Raises `InvalidRules` where there is something else than a rule."""
        for word, values in tree.items():
            known = word.lower()
            if known not in self._words:
                self._warn(word)
            elif known in WORDS:
                for label, members in _blocks(self._where(known, (word,)), values):
                    self._read_rule(known, label, members, (word, label))
            else:
                where = self._where(known, (word,))
                self._scalars[known] = [_text(where, value) for value in values][-1]

    def _read_rule(self, word: str, label: str, members: dict[str, Any], path: tuple[str, ...]) -> None:
        texts = {"policy": "", "intentions": ""}
        for name, values in members.items():
            known = name.lower()
            if known in texts and (known == "policy" or WORDS[word][0] == "service"):
                for value in values:
                    if type(value) is str:
                        texts[known] = value
                    else:
                        where = self._where(f"{word} {_quoted(label)}", path)
                        texts[known] = _text(f"{where}: {known}", value)
            elif known not in _MEMBERS:
                self._warn(name, (*path, name))
        self._found.append((word, label, texts["policy"], texts["intentions"]))

    def rules(self) -> Rules:
        """The rules that were read. Raises `InvalidRules` for the first verb that is none, in Consul's order."""
        given = [(_ORDER[word], word, verb) for word, verb in self._scalars.items()]
        checks: list[tuple[int, Any]] = [(place, (word, verb)) for place, word, verb in given]
        checks += [(_ORDER[each[0]], each) for each in self._found]
        named: list[Rule] = []
        scalars: list[tuple[str, Level]] = []
        for _, each in sorted(checks, key=lambda check: check[0]):
            if len(each) == 4:
                named.append(_rule(*each))
                continue
            word, verb = each
            if not verb:
                continue
            level = VERBS.get(verb.lower())
            if level is None or level is LIST:
                raise InvalidRules(f"Invalid {word} policy: {_quoted(verb)}")
            if verb.islower() or level is DENY:
                scalars.append((word, level))
            else:
                self.warnings.append(f"{word} = {_quoted(verb)} grants nothing: the verb has capitals")
        return Rules(tuple(named), tuple(scalars), tuple(self.warnings))

    def _where(self, what: str, path: tuple[str, ...]) -> str:
        line = self._lines.get(path)
        return f"line {line}: {what}" if line is not None else what

    def _warn(self, word: str, path: tuple[str, ...] = ()) -> None:
        line = self._lines.get(path or (word,))
        where = f" in line {line}" if line is not None else ""
        self.warnings.append(f"{_quoted(word)}{where} means nothing")


def _blocks(where: str, values: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(label, members) of each rule. A block without a label has its members for labels."""
    for value in values:
        if value == []:
            continue
        if not isinstance(value, dict):
            raise InvalidRules(f"Failed to parse ACL rules: {where}: blocks with names were expected")
        for label, inner in value.items():
            for members in inner:
                if isinstance(members, dict):
                    for each in _members(members):
                        yield label, each
                elif isinstance(members, list):
                    raise InvalidRules(
                        f"Failed to parse ACL rules: {where} {_quoted(label)}: a block was expected, not a list"
                    )
                else:
                    yield label, {label: [members]}


def _members(members: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The members of each block behind a label. As in Consul, further labels are ignored if there are several."""
    if type(members) is Block:
        return (members,)
    behind = list(_labelled(members, 0))
    if not behind or any(depth < 2 for depth, _ in behind):
        return (members,)
    return [block for _, block in behind]


def _labelled(members: dict[str, Any], depth: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of labels, members) of each block below; an object of objects in JSON is one with labels."""
    inner = [each for values in members.values() for each in values]
    is_label = isinstance(members, Label) if isinstance(members, Block) else all(isinstance(i, dict) for i in inner)
    if is_label and inner:
        for each in inner:
            yield from _labelled(each, depth + 1)
    else:
        yield depth, members


def _rule(word: str, label: str, policy: str, verb: str) -> Rule:
    """`policy`, `verb`: the verbs of the rule and of its intentions ("": not given)."""
    kind, is_prefix = WORDS[word]
    level = VERBS.get(policy.lower())
    intentions = VERBS.get(verb.lower()) if verb else None
    if level is None or (level is LIST and kind != "key"):
        raise InvalidRules(f"Invalid {word} policy: {_go_rule(kind, label, policy, verb)}")
    if verb and (intentions is None or intentions is LIST):
        raise InvalidRules(f"Invalid {word} intentions policy: {_go_rule(kind, label, policy, verb)}")
    return Rule(kind, label, is_prefix, level, intentions, not policy.islower(), bool(verb) and not verb.islower())


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


def _go_rule(kind: str, label: str, policy: str, intentions: str) -> str:
    """A rule as Consul's errors show it."""
    struct, name = _GO_RULES[kind]
    more = f", Intentions:{_quoted(intentions)}" if kind == "service" else ""
    if kind in ("key", "node", "service"):
        more += ", EnterpriseRule:acl.EnterpriseRule{}"
    return f"&acl.{struct}{{{name}:{_quoted(label)}, Policy:{_quoted(policy)}{more}}}"


def _text(where: str, value: Any) -> str:
    """A verb; null is none. Whole numbers count as texts."""
    if value is None:
        return ""
    if isinstance(value, str) and getattr(value, "is_whole", True):
        return value[:]
    raise InvalidRules(f"Failed to parse ACL rules: {where}: a text was expected, not {_kind_of(value)}")


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a block"
    return "a list" if isinstance(value, list) else str(value)


def implied_intentions(level: Level) -> Level:
    """The level on intentions of a service rule without `intentions`: read, if the service may be read."""
    return READ if level >= READ else level
