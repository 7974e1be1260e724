"""Python's garbage collector while a simulation runs, which has millions of objects that stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Thresholds of the three generations meanwhile.
_SELDOM: Final = (50_000, 20, 1000)


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Collect seldom, then as before."""
    before = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
