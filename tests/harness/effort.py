"""How many cases the tests try that try many: a tenth, or with CONSULPY_TESTS=full, as `.ci/run` sets it, all."""

import os
from typing import Final

import pytest

FULL: Final = os.environ.get("CONSULPY_TESTS") == "full"
#: One in so many cases is tried otherwise.
FRACTION: Final = 10

#: Marks a system test that costs much, beside others of its kind that always run.
thorough: Final = pytest.mark.skipif(not FULL, reason="long: CONSULPY_TESTS=full runs it, as `.ci/run` does")


def cases(full: int) -> int:
    """How many cases of `full` this run tries; at least one."""
    return full if FULL else max(1, full // FRACTION)
