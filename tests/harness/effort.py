"""How many cases the tests try that try many: a fifth, or with CONSULPY_TESTS=full, as `.ci/run` sets it, all."""

import os
from typing import Final

FULL: Final = os.environ.get("CONSULPY_TESTS") == "full"
#: One in so many cases is tried otherwise.
FRACTION: Final = 5


def cases(full: int) -> int:
    """How many cases of `full` this run tries; at least one."""
    return full if FULL else max(1, full // FRACTION)
