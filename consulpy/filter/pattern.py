"""Patterns of `matches`."""

import re
from collections.abc import Callable

from consulpy.filter.errors import FilterError
from consulpy.filter.literals import quoted


def compile_pattern(text: str) -> Callable[[str], bool]:
    """Whether the pattern is found somewhere in a text. Raises `FilterError`."""
    try:
        found = re.compile(text).search
    except re.error as error:
        raise FilterError(
            f"Failed to compile regular expression {quoted(text)}: error parsing regexp: {error}"
        ) from None
    return lambda value: found(value) is not None
