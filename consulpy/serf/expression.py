"""Regular expressions of query filters."""

import re
from functools import lru_cache
from typing import Final

#: Look-around, comments, conditions, named back-references, numbered back-references: Go's `regexp` has none of them.
_GO_LACKS: Final = re.compile(r"\(\?(?:[=!#(]|<[=!])|\(\?P=|\\[1-9]")
LENGTH_LIMIT: Final = 512


@lru_cache(maxsize=256)
def compile_expression(expression: str) -> re.Pattern[str] | None:
    """`expression`, to `search` with; None if Go would refuse it."""
    if len(expression) > LENGTH_LIMIT or _GO_LACKS.search(expression):
        return None
    try:
        return re.compile(expression)
    except (re.error, RecursionError, OverflowError):
        return None
