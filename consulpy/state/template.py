"""Templates of prepared queries: one query that answers for every name with its prefix.

Every text of the query's service may hold `${name.full}`, `${name.prefix}`, `${name.suffix}`, `${match(N)}` (a group of
the template's regular expression, 0 is all of it) and `${agent.segment}`; `$${` stands for `${` itself.
"""

import copy
import dataclasses
import re
from collections.abc import Callable, Iterator
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

from consulpy.errors import RPCError
from consulpy.filter.errors import FilterError
from consulpy.filter.pattern import compile_pattern
from consulpy.structs.options import QuerySource
from consulpy.structs.query import PreparedQuery, QueryService

NAME_PREFIX_MATCH: Final = "name_prefix_match"

#: A longer name is not matched with an expression, in characters: no name of DNS is longer.
LONGEST_NAME: Final = 255
#: Unbounded repetitions in one expression: Python's matcher takes time to this power.
MOST_REPEATS: Final = 4

_PART: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_MATCH: Final = re.compile(r"match\(\s*([0-9]{1,9})\s*\)")
_VARIABLES: Final = frozenset({"name.full", "name.prefix", "name.suffix", "agent.segment"})

Value = Callable[[str], str]


def is_template(query: PreparedQuery) -> bool:
    """Whether the query answers for many names."""
    return bool(query.template.type)


def check_template(query: PreparedQuery) -> None:
    """Raises `RPCError` for a template that cannot be rendered."""
    if query.template.type != NAME_PREFIX_MATCH:
        raise RPCError(f"failed compiling template: Bad Template.Type '{query.template.type}'")
    try:
        _expression(query.template.regexp)
    except (ValueError, re.error, RecursionError, OverflowError, FilterError) as error:
        text = str(error).partition(f'"{query.template.regexp}": ')[2] or str(error)
        raise RPCError(f"failed compiling template: Bad Regexp: {text}") from None
    for path, text in _texts(query.service):
        try:
            _interpolated(text, lambda _: "")
        except ValueError as error:
            raise RPCError(f"failed compiling template: Bad format '{text}' in Service{path}: {error}") from None


def render(query: PreparedQuery, name: str, source: QuerySource) -> PreparedQuery:
    """The query that `name` means; `source`: the agent that asks. Raises `RPCError`."""
    expression = _expression(query.template.regexp)
    found = expression.search(name) if expression is not None and len(name) <= LONGEST_NAME else None
    variables = {
        "name.full": name,
        "name.prefix": query.name,
        "name.suffix": name[len(query.name) :],
        "agent.segment": source.segment,
    }

    def value(what: str) -> str:
        group = _MATCH.fullmatch(what)
        if group is None:
            return variables[what]
        number = int(group[1])
        return (found[number] or "") if found is not None and number <= found.re.groups else ""

    service = _rendered(query.service, lambda text: _interpolated(text, value))
    if query.template.remove_empty_tags:
        service.tags = [tag for tag in service.tags or () if tag] or None
    return dataclasses.replace(query, service=service)


def _expression(regexp: str) -> "re.Pattern[str] | None":
    """The expression, None for an empty one. Raises `ValueError`, `re.error`."""
    if not regexp:
        return None
    compile_pattern(regexp)  # Go's syntax, and Go's words for what is wrong with it
    repeats, nested = _repeats(_parser.parse(regexp), inside=False)
    if nested or repeats > MOST_REPEATS:
        raise ValueError(f"too many repetitions in `{regexp}`")
    return re.compile(regexp)


def _repeats(tree: Any, *, inside: bool) -> tuple[int, bool]:
    """(how many unbounded repetitions there are, whether one stands in another)."""
    count, nested = 0, False
    for node in tree:
        if not isinstance(node, tuple):
            continue
        kind, arguments = node
        is_repeat = kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT) and arguments[1] > 1
        count += is_repeat
        nested = nested or (is_repeat and inside)
        for part in _inner(arguments):
            more, deeper = _repeats(part, inside=inside or is_repeat)
            count, nested = count + more, nested or deeper
    return count, nested


def _inner(arguments: Any) -> Iterator[Any]:
    """The parts of an expression inside one of its nodes."""
    if isinstance(arguments, _parser.SubPattern):
        yield arguments
    elif isinstance(arguments, list | tuple):
        for each in arguments:
            yield from _inner(each)


def _interpolated(text: str, value: Value) -> str:
    """`text` with its `${...}` replaced. Raises `ValueError` for what is none."""

    def replaced(part: "re.Match[str]") -> str:
        if part[0] == "$${":
            return "${"
        if part[1] is None:
            raise ValueError("expected expression but found end of text")
        what = part[1].strip()
        if what not in _VARIABLES and _MATCH.fullmatch(what) is None:
            raise ValueError(f"unknown variable accessed: {what}")
        return value(what)

    return _PART.sub(replaced, text)


def _texts(service: QueryService) -> Iterator[tuple[str, str]]:
    """(where, text) of everything that may be interpolated."""
    yield ".Service", service.service
    yield ".Near", service.near
    for number, datacenter in enumerate(service.failover.datacenters or ()):
        yield f".Failover.Datacenters[{number}]", datacenter
    for number, tag in enumerate(service.tags or ()):
        yield f".Tags[{number}]", tag
    for key, text in sorted((service.node_meta or {}).items()):
        yield f'.NodeMeta["{key}"]', text
    for key, text in sorted((service.service_meta or {}).items()):
        yield f'.ServiceMeta["{key}"]', text


def _rendered(service: QueryService, show: Callable[[str], str]) -> QueryService:
    new = copy.deepcopy(service)
    new.service, new.near = show(new.service), show(new.near)
    new.tags = [show(tag) for tag in new.tags] if new.tags is not None else None
    datacenters = new.failover.datacenters
    new.failover.datacenters = [show(each) for each in datacenters] if datacenters is not None else None
    new.node_meta = {key: show(text) for key, text in new.node_meta.items()} if new.node_meta is not None else None
    meta = new.service_meta
    new.service_meta = {key: show(text) for key, text in meta.items()} if meta is not None else None
    return new
