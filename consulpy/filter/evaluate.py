"""Compiles a syntax tree for a record type into a predicate; checks selectors and operators.

| type of the selected value | operators | |---|---| | text | == != in contains matches | | number, boolean | == != | |
list of texts, map | in contains, is empty | | list of records | is empty; a longer selector matches if any element does
| | record | none |

Indexes, opaque configuration and check definitions can't be selected. A missing key of a map is unequal to everything,
contains nothing, and both matches and doesn't match any pattern. Source: answers of real Consul 1.8.7.
"""

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any, Final

from consulpy.codec.record import Record, camel
from consulpy.filter.errors import FilterError
from consulpy.filter.grammar import (
    EQUAL,
    IN,
    IS_EMPTY,
    IS_NOT_EMPTY,
    MATCHES,
    NOT_EQUAL,
    NOT_IN,
    NOT_MATCHES,
    All,
    AnyOf,
    Expression,
    Match,
    Not,
)
from consulpy.gocompat.literals import boolean, integer, quoted
from consulpy.gocompat.regexp import BadRegexp, Regexp, compile_regexp

Predicate = Callable[[Any], bool]

_SCALAR: Final = frozenset((EQUAL, NOT_EQUAL))
_TEXT: Final = _SCALAR | {IN, NOT_IN, MATCHES, NOT_MATCHES}
_EMPTINESS: Final = frozenset((IS_EMPTY, IS_NOT_EMPTY))
_MANY: Final = _EMPTINESS | {IN, NOT_IN}
#: Result of each operator if a map lacks the key.
_OF_MISSING: Final = {
    EQUAL: False, NOT_EQUAL: True, IN: False, NOT_IN: True, MATCHES: True, NOT_MATCHES: True, IS_NOT_EMPTY: False,
}  # fmt: skip
_OPPOSITE: Final = {NOT_EQUAL: EQUAL, NOT_IN: IN, NOT_MATCHES: MATCHES, IS_NOT_EMPTY: IS_EMPTY}
_NO_SELECTORS: Final = frozenset(("CreateIndex", "ModifyIndex", "Definition"))


def predicate(expression: Expression, record: type[Record]) -> Predicate:
    """The predicate of `expression` for records of this type. Raises `FilterError`."""
    if isinstance(expression, Match):
        return _walk(expression, record, 0)
    if isinstance(expression, Not):
        operand = predicate(expression.operand, record)
        return lambda row: not operand(row)
    operands = [predicate(each, record) for each in expression.operands]
    if isinstance(expression, All):
        return lambda row: all(holds(row) for holds in operands)
    assert isinstance(expression, AnyOf)
    return lambda row: any(holds(row) for holds in operands)


def _walk(match: Match, kind: Any, depth: int) -> Predicate:
    """The predicate on a value of type `kind`, which the first `depth` steps of the selector lead to."""
    if depth == len(match.selector):
        return _compare(match, kind)
    step = match.selector[depth]
    if _is_record(kind):
        found = _selectors(kind).get(step)
        if found is not None:
            return _through_field(found[0], _walk(match, found[1], depth + 1))
    elif typing.get_origin(kind) is dict:
        value = typing.get_args(kind)[1]
        return _through_key(step, _walk(match, value, depth + 1), _OF_MISSING.get(match.operator, True))
    elif typing.get_origin(kind) is list and _is_record(typing.get_args(kind)[0]):
        each = _walk(match, typing.get_args(kind)[0], depth)
        return lambda values: any(each(value) for value in values or ())
    raise FilterError(f"Selector {quoted('.'.join(match.selector[: depth + 1]))} is not valid")


def _through_field(name: str, inner: Predicate) -> Predicate:
    return lambda row: inner(None if row is None else getattr(row, name))


def _through_key(key: str, inner: Predicate, of_missing: bool) -> Predicate:
    return lambda values: inner(values[key]) if values and key in values else of_missing


def _compare(match: Match, kind: Any) -> Predicate:
    operator, value = match.operator, match.value
    selector = ".".join(match.selector)
    if operator not in _operators(kind):
        raise FilterError(f"Invalid match operator {quoted(operator)} for selector {quoted(selector)}")
    if operator in _OPPOSITE:
        opposite = _compare(Match(match.selector, _OPPOSITE[operator], value), kind)
        return lambda found: not opposite(found)
    if operator == IS_EMPTY:
        return lambda found: not found
    assert value is not None
    if operator == MATCHES:
        matches = _pattern(value).matches
        return lambda found: matches(_text(found))
    if operator == IN:
        if kind is str:
            return lambda found: value in _text(found)
        return lambda found: bool(found) and value in found
    if kind is str:
        return lambda found: _text(found) == value
    return _equal(kind, value, selector)


def _equal(kind: Any, value: str, selector: str) -> Predicate:
    try:
        wanted = boolean(value) if kind is bool else integer(value)
    except ValueError as error:
        raise FilterError(f"Failed to coerce value {quoted(value)} for selector {quoted(selector)}: {error}") from None
    return lambda found: (found or 0) == wanted


def _text(found: Any) -> str:
    """Decode a text that is still bytes, as in opaque structs."""
    if isinstance(found, bytes):
        return found.decode("utf-8", "surrogateescape")
    return found or ""


def _operators(kind: Any) -> frozenset[str]:
    if kind is str:
        return _TEXT
    if kind in (int, bool):
        return _SCALAR
    if typing.get_origin(kind) is dict:
        return _MANY
    if typing.get_origin(kind) is list:
        return _EMPTINESS if _is_record(typing.get_args(kind)[0]) else _MANY
    return frozenset()


def _selectors(kind: type[Record]) -> dict[str, tuple[str, Any]]:
    """Go name -> attribute and type of a record's selectable fields."""
    hints = typing.get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(typing.cast(Any, kind)):
        name = field.metadata.get("go") or camel(field.name)
        hidden = field.metadata.get("json") == "-" or name in _NO_SELECTORS
        inner = _without_none(hints[field.name])
        if Any not in (inner, *typing.get_args(inner)) and not hidden:  # opaque values have no known fields
            found[name] = (field.name, inner)
    return found


def _without_none(kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _pattern(text: str) -> Regexp:
    """Compile the regular expression of `matches`. Raises `FilterError`."""
    try:
        return compile_regexp(text)
    except BadRegexp as error:
        raise FilterError(f"Failed to compile regular expression {quoted(text)}: {error}") from None
