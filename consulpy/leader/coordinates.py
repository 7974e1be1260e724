"""Batches of coordinate updates: one command in each period instead of one per agent and update.

Agents send an update every 15 to 30 seconds (docs/wire/rpc.md 10).
"""

from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.state.commands import Command, CoordinateBatchUpdate
from consulpy.structs.coordinate import Coordinate
from consulpy.structs.requests import CoordinateUpdateRequest

PERIOD_S: Final = 5.0
#: Maximum coordinates in one command, and commands in one period.
BATCH_SIZE: Final = 128
BATCHES: Final = 5


class CoordinateBatches:
    """Collects updates; every 5 s submits the last one of each node."""

    def __init__(self, clock: Clock, submit: Callable[[Command], object]) -> None:
        self._clock = clock
        self._submit = submit
        self._updates: dict[tuple[str, str], Coordinate] = {}
        self._timer: Timer | None = None
        #: Number of updates dropped above the limits of a period.
        self.dropped = 0

    def add(self, update: CoordinateUpdateRequest) -> None:
        """Add an update; it replaces an earlier one of the same node."""
        key = (update.node, update.segment)
        if key not in self._updates and len(self._updates) >= BATCH_SIZE * BATCHES:
            self.dropped += 1
            return
        self._updates[key] = Coordinate(node=update.node, segment=update.segment, coord=update.coord)

    def start(self) -> None:
        """Start."""
        self._timer = self._clock.callLater(PERIOD_S, self._flush)

    def stop(self) -> None:
        """Stop; collected updates are dropped, as agents send them again."""
        cancel_timer(self._timer)
        self._timer = None
        self._updates.clear()

    def _flush(self) -> None:
        self._timer = self._clock.callLater(PERIOD_S, self._flush)
        updates = list(self._updates.values())
        self._updates.clear()
        for start in range(0, len(updates), BATCH_SIZE):
            self._submit(CoordinateBatchUpdate(updates[start : start + BATCH_SIZE]))
