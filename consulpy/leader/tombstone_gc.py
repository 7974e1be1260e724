"""Garbage collection of tombstones by the leader.

A tombstone is removed 15 to 15.5 minutes after its deletion, by a log entry (docs/wire/rpc.md 13).
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.state.commands import Command, Tombstone
from consulpy.state.indexes import Indexes
from consulpy.state.store import Store
from consulpy.state.tombstone import TOMBSTONES
from consulpy.structs.kv import TombstoneRequest

#: Seconds for which a tombstone is stored, and between two rounds.
TOMBSTONE_TTL_S: Final = 15 * 60.0
PERIOD_S: Final = 30.0


class TombstoneReaper:
    """Records every 30 s the index of the last deletion; 15 minutes later tombstones up to it are removed."""

    def __init__(self, datacenter: str, store: Store, clock: Clock, submit: Callable[[Command], object]) -> None:
        self._datacenter = datacenter
        self._store = store
        self._clock = clock
        self._submit = submit
        self._noted: deque[tuple[float, int]] = deque()
        self._epoch: Indexes | None = None
        self._timer: Timer | None = None

    def start(self) -> None:
        """Start; existing tombstones count as created now."""
        self.stop()
        self._look()

    def stop(self) -> None:
        """Stop."""
        cancel_timer(self._timer)
        self._timer = None
        self._noted.clear()

    def _look(self) -> None:
        self._timer = self._clock.callLater(PERIOD_S, self._look)
        now = self._clock.seconds()
        if self._store.indexes is not self._epoch:  # the whole state was replaced
            self._epoch = self._store.indexes
            self._noted.clear()
        newest = self._store.indexes.get(TOMBSTONES)
        if len(self._store.kv.tombstones.table) and (not self._noted or self._noted[-1][1] < newest):
            self._noted.append((now + TOMBSTONE_TTL_S, newest))
        index = 0
        while self._noted and self._noted[0][0] <= now:
            index = self._noted.popleft()[1]
        if index:
            self._submit(Tombstone(TombstoneRequest(datacenter=self._datacenter, reap_index=index)))
