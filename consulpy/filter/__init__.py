"""`?filter=` expressions on records: `Service.Port == 80 and "a" in Service.Tags`.

`compile_filter` parses an expression (`grammar`), checks it against a record type and creates a predicate (`evaluate`);
patterns of `matches` are those of `gocompat.regexp`. Language and error texts were recorded from real Consul 1.8.7.
"""

from collections.abc import Callable
from typing import TypeVar

from consulpy.codec.record import Record
from consulpy.filter.errors import FilterError
from consulpy.filter.evaluate import predicate
from consulpy.filter.grammar import parse

__all__ = ["FilterError", "compile_filter"]

Row = TypeVar("Row", bound=Record)


def compile_filter(text: str, record: type[Row], *, lazily: bool = False) -> Callable[[Row], bool]:
    """A predicate for records that match `text`.

    `lazily`: check selectors only at the first record, as `/v1/agent/checks` does (then the error has no introduction).
    Raises `FilterError` with Consul's text for an invalid expression, or one that does not fit the record type.
    """
    try:
        expression = parse(text)
        if not lazily:
            return predicate(expression, record)
    except FilterError as error:
        raise FilterError(f"Failed to create boolean expression evaluator: {error}") from None
    compiled: list[Callable[[Row], bool]] = []

    def holds(row: Row) -> bool:
        if not compiled:
            compiled.append(predicate(expression, record))
        return compiled[0](row)

    return holds
