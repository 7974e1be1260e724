"""Templates of prepared queries: one query for all names with its prefix.

All texts of the query's service may contain `${name.full}`, `${name.prefix}`, `${name.suffix}`, `${match(N)}` (a group
of the template's regular expression, 0 is the whole match) and `${agent.segment}`, and expressions of them
(`consulpy.filter.hil`).
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from consulpy.errors import RPCError
from consulpy.filter.hil import HilError, Template
from consulpy.gocompat.regexp import BadRegexp, Regexp, compile_regexp
from consulpy.structs.options import QuerySource
from consulpy.structs.prepared_query import PreparedQuery, QueryService

NAME_PREFIX_MATCH: Final = "name_prefix_match"

#: Renders one text: its name in the service, and the text.
Render = Callable[[str, str], str]


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
            _parsed(text)
        except HilError as error:
            raise RPCError(f"failed compiling template: Bad format '{text}' in Service{path}: {error}") from None
    try:
        render(query, query.name, QuerySource())
    except RPCError as error:
        raise RPCError(f"failed compiling template: {error}") from None


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
    functions = {"match": lambda number: groups[number] if 0 <= number < len(groups) else ""}

    def rendered(path: str, text: str) -> str:
        try:
            return _parsed(text).evaluate(variables, functions)
        except HilError as error:
            raise RPCError(f"Bad evaluation for '{text}' in Service{path}: {error}") from None

    service = _rendered(query.service, rendered)
    if query.template.remove_empty_tags:
        service.tags = [tag for tag in service.tags or () if tag]
    return dataclasses.replace(query, service=service)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Template:
    """The parsed template; cached, as each lookup renders it. Raises `HilError`."""
    return Template(text)


def _expression(regexp: str) -> Regexp | None:
    """The template's compiled regular expression, None for an empty one. Raises `BadRegexp`."""
    return compile_regexp(regexp) if regexp else None


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


def _rendered(service: QueryService, show: Render) -> QueryService:
    new = copy.deepcopy(service)
    shown = {path: show(path, text) for path, text in _texts(service)}
    new.service, new.near = shown[".Service"], shown[".Near"]
    new.tags = _list(new.tags, shown, ".Tags")
    new.failover.datacenters = _list(new.failover.datacenters, shown, ".Failover.Datacenters")
    new.node_meta = _map(new.node_meta, shown, ".NodeMeta")
    new.service_meta = _map(new.service_meta, shown, ".ServiceMeta")
    return new


def _list(texts: list[str] | None, shown: Mapping[str, str], path: str) -> list[str] | None:
    return [shown[f"{path}[{number}]"] for number in range(len(texts))] if texts is not None else None


def _map(texts: dict[str, str] | None, shown: Mapping[str, str], path: str) -> dict[str, str] | None:
    return {key: shown[f'{path}["{key}"]'] for key in texts} if texts is not None else None
