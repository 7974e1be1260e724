"""Templates of prepared queries: one query for all names with its prefix.

All texts of the query's service may contain `${name.full}`, `${name.prefix}`, `${name.suffix}`, `${match(N)}` (a group
of the template's regular expression, 0 is the whole match) and `${agent.segment}`; `$${` is a literal `${`.
"""

import copy
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Final

from consulpy.errors import RPCError
from consulpy.gocompat.regexp import BadRegexp, Regexp, compile_regexp
from consulpy.structs.options import QuerySource
from consulpy.structs.prepared_query import PreparedQuery, QueryService

NAME_PREFIX_MATCH: Final = "name_prefix_match"

_PART: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_MATCH: Final = re.compile(r"match\(\s*([0-9]{1,9})\s*\)")
_VARIABLES: Final = frozenset({"name.full", "name.prefix", "name.suffix", "agent.segment"})

Value = Callable[[str], str]


def is_template(query: PreparedQuery) -> bool:
    """Whether the query is a template."""
    return bool(query.template.type)


def check_template(query: PreparedQuery) -> None:
    """Raises `RPCError` for a template that can't be rendered."""
    if query.template.type != NAME_PREFIX_MATCH:
        raise RPCError(f"failed compiling template: Bad Template.Type '{query.template.type}'")
    try:
        _expression(query.template.regexp)
    except BadRegexp as error:
        raise RPCError(f"failed compiling template: Bad Regexp: {error}") from None
    for path, text in _texts(query.service):
        try:
            _interpolated(text, lambda _: "")
        except ValueError as error:
            raise RPCError(f"failed compiling template: Bad format '{text}' in Service{path}: {error}") from None


def render(query: PreparedQuery, name: str, source: QuerySource) -> PreparedQuery:
    """The query rendered for `name`; `source`: the requesting agent. Raises `RPCError`."""
    expression = _expression(query.template.regexp)
    groups = (expression.find(name) if expression is not None else None) or []
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
        return groups[number] if number < len(groups) else ""

    service = _rendered(query.service, lambda text: _interpolated(text, value))
    if query.template.remove_empty_tags:
        service.tags = [tag for tag in service.tags or () if tag] or None
    return dataclasses.replace(query, service=service)


def _expression(regexp: str) -> Regexp | None:
    """The template's compiled regular expression, None for an empty one. Raises `BadRegexp`."""
    return compile_regexp(regexp) if regexp else None


def _interpolated(text: str, value: Value) -> str:
    """`text` with its `${...}` replaced. Raises `ValueError` for an invalid one."""

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
    """(name, text) of all interpolated fields."""
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
