"""A stream of metrics: those of each interval, as soon as it has ended."""

from collections.abc import Callable
from typing import Final

import orjson

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.metrics.registry import Registry

#: How long after the end of an interval it is written, in seconds: clocks differ by less.
AFTER_S: Final = 0.05


class IntervalStream:
    """Writes a line of JSON for each interval that ends from now on, until `stop`."""

    def __init__(self, metrics: Registry, clock: Clock, write: Callable[[bytes], None]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._write = write
        self._timer = self._start()

    def stop(self) -> None:
        """Write no more."""
        cancel_timer(self._timer)

    def _start(self) -> Timer:
        return self._clock.callLater(self._metrics.until_next_s + AFTER_S, self._interval_ended)

    def _interval_ended(self) -> None:
        self._timer = self._start()
        self._write(orjson.dumps(self._metrics.to_json()) + b"\n")
