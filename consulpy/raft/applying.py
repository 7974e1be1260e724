"""Applies committed entries to the state, a limited number in each turn, so that heartbeats never wait behind them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from consulpy.clock import Timer, cancel_timer
from consulpy.raft.interfaces import Finished, UnknownCommand
from consulpy.raft.messages import COMMAND, ENTRY_TYPES, LogEntry

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer

#: Bytes read from storage at a time.
_READ_BYTES = 1 << 20


class Applying:
    """Applies entries in order, once each. `index`: the last one that the state contains."""

    def __init__(self, raft: "RaftServer") -> None:
        self._raft = raft
        self.index = 0
        self._timer: Timer | None = None
        self._is_reading = self._is_running = False
        self._generation = 0
        self._waiting: list[tuple[int, Finished]] = []
        #: Number of entries that were applied together last.
        self.last_count = 0
        #: Time at which the entries to be applied next were requested from storage.
        self._asked_s = 0.0

    def run(self) -> None:
        """Apply committed entries; a large number over several turns."""
        if self._is_reading or self._is_running or self._timer is not None or self._raft.halted:
            return
        self._is_running = True
        try:
            self._run_some()
        finally:
            self._is_running = False
        if self.index < self._raft.commit_index and not self._is_reading and not self._raft.halted:
            self._timer = self._raft.clock.callLater(0, self._next_turn)

    def when_applied(self, index: int, finished: Finished) -> None:
        """Call `finished(None)` once the state contains `index`."""
        if index <= self.index:
            finished(None)
        else:
            self._waiting.append((index, finished))

    def replaced(self, index: int) -> None:
        """The state was replaced by one at `index`."""
        self.index = index
        self._generation += 1
        self._is_reading = False
        self._release()
        self.run()

    def stop(self) -> None:
        """Apply no further entries."""
        self._generation += 1
        self._is_reading = True
        cancel_timer(self._timer)

    def _next_turn(self) -> None:
        self._timer = None
        self.run()

    def _run_some(self) -> None:
        raft = self._raft
        count = min(raft.settings.apply_entries, raft.commit_index - self.index)
        if count <= 0:
            return
        self._asked_s = raft.clock.seconds()
        entries = raft.log.cached(self.index + 1, count, _READ_BYTES)
        if entries is None:
            self._is_reading = True
            generation = self._generation
            count = min(count, raft.log.stored_count(self.index + 1))
            raft.storage.read(self.index + 1, count, _READ_BYTES, lambda found: self._found(generation, found))
        else:
            self._apply(entries)

    def _found(self, generation: int, entries: list[LogEntry] | Exception) -> None:
        if generation != self._generation:
            return
        self._is_reading = False
        if isinstance(entries, Exception):
            self._raft.halt(f"entry {self.index + 1} cannot be read: {entries}")
        else:
            self._apply(entries)
            self.run()

    def _apply(self, entries: list[LogEntry]) -> None:
        raft = self._raft
        commands = [entry for entry in entries if entry.type == COMMAND]
        if len(commands) < len(entries):
            strange = next((entry for entry in entries if entry.type not in ENTRY_TYPES), None)
            if strange is not None:
                raft.halt(f"entry {strange.index} is of the unknown type {strange.type}")
                return
        began_s = raft.clock.seconds()
        raft.observer.timed("raft.fsm.enqueue", began_s - self._asked_s)
        try:
            results = raft.state_machine.apply(commands) if commands else []
        except UnknownCommand as error:
            raft.halt(str(error))
            return
        if commands:
            raft.observer.timed("raft.fsm.apply", raft.clock.seconds() - began_s, len(commands))
        self.index = entries[-1].index
        self.last_count = len(entries)
        if raft.waiting:
            self._respond(entries, iter(results))
        self._release()
        raft.snapshots.applied()

    def _respond(self, entries: list[LogEntry], results: Iterator[Any]) -> None:
        waiting = self._raft.waiting
        for entry in entries:
            result = next(results) if entry.type == COMMAND else None
            finished = waiting.pop(entry.index, None)
            if finished is not None:
                finished(result)

    def _release(self) -> None:
        if self._waiting:
            due = [finished for index, finished in self._waiting if index <= self.index]
            self._waiting = [each for each in self._waiting if each[0] > self.index]
            for finished in due:
                finished(None)
