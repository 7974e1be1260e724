"""Durability before effects: updates go to storage one at a time, and actions wait for theirs.

While one update is being written, all that comes goes together into the next one (group commit).
"""

from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock
from consulpy.raft.log import RaftLog
from consulpy.raft.messages import LogEntry
from consulpy.raft.storage import HardState, Storage, Update

#: Pause before a failed write is tried again, in seconds.
RETRY_S: Final = 1.0
#: Writes in one turn of the reactor where each is over at once.
IN_A_TURN_MAX: Final = 32

Action = Callable[[], None]


class Persistence:
    """Collects changes of hard state and log, writes them, and runs the actions that wait for them.

    A failed write is repeated until it succeeds; nothing that waits for it happens before. `on_error` is called for
    each failure, `on_durable` after each write.
    """

    def __init__(
        self,
        storage: Storage,
        log: RaftLog,
        clock: Clock,
        on_durable: Action,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._storage = storage
        self._log = log
        self._clock = clock
        self._on_durable = on_durable
        self._on_error = on_error
        self._next = Update()
        self._next_actions: list[Action] = []
        #: Called once when a write fails.
        self._on_failure: list[Action] = []
        self._current: Update | None = None
        self._current_actions: list[Action] = []
        self._is_closed = self._is_flushing = False
        self._began_s = 0.0
        #: How long the last write took, in seconds, and how many entries it had.
        self.last_write_s = 0.0
        self.last_count = 0
        #: The last log index that is stored.
        self.durable_index = 0
        #: Whether the last write failed.
        self.is_failing = False

    @property
    def is_idle(self) -> bool:
        """Whether everything is durable."""
        return self._current is None and self._next.is_empty

    def set_hard_state(self, state: HardState) -> None:
        """Store another term or vote."""
        self._next.hard_state = state

    def append(self, entries: list[LogEntry]) -> None:
        """Add entries to the log, and store them."""
        self._log.append(entries)
        self._next.entries += entries

    def truncate(self, index: int) -> None:
        """Cut the log from `index` on, here and in storage."""
        self._log.truncate(index)
        update = self._next
        while update.entries and update.entries[-1].index >= index:
            update.entries.pop()
        if not update.entries:  # else what is cut was never asked to be stored
            update.truncate_from = index if update.truncate_from is None else min(index, update.truncate_from)
        self.durable_index = min(self.durable_index, index - 1)

    def confirm(self, index: int, term: int) -> None:
        """The installed snapshot at this index is committed; stored with the next write."""
        self._next.confirmed = (index, term)

    def discard_all(self) -> None:
        """Drop snapshot and log, here and in storage."""
        self._log.reset(0, 0)
        self._next.entries, self._next.truncate_from, self._next.discards_all = [], None, True
        self.durable_index = 0

    def discard(self) -> None:
        """Discard the entries that are not durable, here and in pending updates. No other server may have them."""
        self._log.truncate(self.durable_index + 1)
        for update in (self._current, self._next):
            if update is not None:
                update.entries = []

    def after(self, action: Action) -> None:
        """Run `action` once all that was changed so far is durable; at once if it is."""
        if not self._next.is_empty:
            self._next_actions.append(action)
        elif self._current is not None:
            self._current_actions.append(action)
        else:
            action()

    def after_or_failed(self, action: Action, failed: Action) -> None:
        """The same; `failed` as soon as a write fails before, or if the last one did. `action` may follow it."""
        if self.is_idle:
            action()
        elif self.is_failing:
            failed()
        else:
            self.after(action)
            self._on_failure.append(failed)

    def flush(self) -> None:
        """Begin to write what was collected, unless a write is running.

        A write may be over when `Storage.write` returns, and its callbacks may propose the next one: these follow in
        the loop here, not deeper and deeper in the stack, and after `IN_A_TURN_MAX` of them in the next turn.
        """
        if self._is_flushing:
            return
        self._is_flushing = True
        try:
            for _ in range(IN_A_TURN_MAX):
                if self._current is not None or self._next.is_empty or self._is_closed:
                    return
                self._current, self._next = self._next, Update()
                self._current_actions, self._next_actions = self._next_actions, []
                self._write()
        finally:
            self._is_flushing = False
        self._clock.callLater(0, self.flush)

    def close(self) -> None:
        """Write no more; nothing that waits happens."""
        self._is_closed = True
        self._next_actions, self._current_actions, self._on_failure = [], [], []

    def _write(self) -> None:
        update = self._current
        if update is None or self._is_closed:
            return
        self._began_s = self._clock.seconds()
        self._storage.write(update, self._written)

    def _written(self, error: Exception | None) -> None:
        update = self._current
        if update is None or self._is_closed:
            return
        if error is not None:
            self.is_failing = True
            self._on_error(error)
            failed, self._on_failure = self._on_failure, []
            for action in failed:
                action()
            if update.is_empty:  # given up
                self._current, self._current_actions, self.is_failing = None, [], False
                self.flush()
            else:
                self._clock.callLater(RETRY_S, self._write)
            return
        self.is_failing = False
        if self._next.is_empty:
            self._on_failure.clear()
        self.last_write_s = self._clock.seconds() - self._began_s
        self.last_count = len(update.entries)
        if update.entries and not self._next.discards_all:
            durable = update.entries[-1].index
            if self._next.truncate_from is not None:
                durable = min(durable, self._next.truncate_from - 1)
            self.durable_index = durable
        self._current = None
        actions, self._current_actions = self._current_actions, []
        for action in actions:
            action()
        self._log.evict(self.durable_index)
        self._on_durable()
        self.flush()
