"""`?filter=` expressions over records: `Service.Port == 80 and "a" in Service.Tags`.

`compile_filter` reads an expression (`grammar`), checks it against a record type (`selectors`) and gives a predicate;
patterns of `matches` are those of `gocompat.regexp`. Language and texts were seen on real Consul 1.8.7.
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
    """A predicate that says for which records `text` holds.

    `lazily`: check the selectors only when the first record comes, as `/v1/agent/checks` does (then the error is
    without its introduction). Raises `FilterError` with Consul's text for an expression that can't be read or doesn't
    fit.
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
