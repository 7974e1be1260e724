"""What the short run leaves out, and `.ci/run` does not: CONSULPY_TESTS=full.

Long tests (mark `long`); nine in ten of the cases of a test that has many; nine in ten of the examples of a property.
What is named on the command line, as a file, a test or by an expression, is run whole but for the examples.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

FULL: Final = os.environ.get("CONSULPY_TESTS") == "full"
#: One in so many cases is tried otherwise.
FRACTION: Final = 10
#: A parametrized test with more cases than this has many.
MANY: Final = 50
HOW: Final = "CONSULPY_TESTS=full runs them, as `.ci/run` does"
LONG: Final = f"long tests: {HOW}"
THINNED: Final = f"cases of tests with more than {MANY}, of which one in {FRACTION} is tried: {HOW}"

_Any = TypeVar("_Any")


class Item(Protocol):
    """What is looked at of a collected test."""

    nodeid: str
    path: Path

    def get_closest_marker(self, name: str) -> object | None:
        """The mark, if the test has it."""


_Item = TypeVar("_Item", bound=Item)


def cases(full: int) -> int:
    """How many cases of `full` this run tries; at least one."""
    return full if FULL else max(1, full // FRACTION)


def some(of: Sequence[_Any]) -> Sequence[_Any]:
    """Those of a list of cases that this run tries: all, or one in `FRACTION`, spread over the list."""
    return of if FULL else of[::FRACTION]


def named_files(arguments: Iterable[str], start: Path) -> frozenset[Path]:
    """Files that pytest's arguments name, or of which they name a test, without links. `start`: current directory."""
    found = {(start / argument.partition("::")[0]).resolve() for argument in arguments}
    return frozenset(path for path in found if path.is_file())


def short_run(items: Sequence[_Item], is_named: Callable[[_Item], bool]) -> tuple[list[_Item], Counter[str]]:
    """The tests of the short run in their order, and how many others there are, by reason."""
    sizes = Counter(_function(item) for item in items)
    seen: Counter[str] = Counter()
    chosen, left_out = [], Counter[str]()
    for item in items:
        function = _function(item)
        place = seen[function]
        seen[function] += 1
        if is_named(item):
            chosen.append(item)
        elif item.get_closest_marker("long") is not None:
            left_out[LONG] += 1
        elif sizes[function] > MANY and place % FRACTION:
            left_out[THINNED] += 1
        else:
            chosen.append(item)
    return chosen, left_out


def _function(item: Item) -> str:
    """The name that all cases of a parametrized test share."""
    return item.nodeid.partition("[")[0]
