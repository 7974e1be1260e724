"""The log of commands: every change of the state is submitted here, stored in order, then applied.

`submit(command, done)` calls `done` with the command's result once it is stored and applied, or with an error. What is
applied is what was stored: the command decoded from its bytes, so that a replay cannot differ.

`MemoryLog` is for `-dev`: nothing is stored. `consulpy.raft.replicated_log` is the log of servers with a disk.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from consulpy.metrics.registry import NOTHING, Measures
from consulpy.state.apply import CommandApplier, Say
from consulpy.state.commands import Command
from consulpy.state.store import Store

Done = Callable[[Any], None]


class Log(Protocol):
    """Where commands are submitted."""

    store: Store

    def submit(self, command: Command, done: Done) -> None:
        """Store and apply `command`; then call `done` with its result, or with the exception that stopped it."""

    def restore(self, new: Store, done: Done) -> None:
        """Put `new` in the place of the whole state, at an index of its own; then call `done` as `submit` does.

        What was submitted before may be lost, what is submitted after happens on top of it.
        """

    def close(self) -> None:
        """Store what is pending and stop."""


def index_after(store: Store, new: Store) -> int:
    """The index of a state that replaces another: beyond everything that either had."""
    return max(store.index, new.index) + 1


class MemoryLog:
    """A log that stores nothing. `seconds`: clock of `metrics`."""

    def __init__(
        self,
        store: Store,
        *,
        say: Say = lambda _level, _text: None,
        metrics: Measures = NOTHING,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.store = store
        self._say = say
        self._metrics = metrics
        self._applier = CommandApplier(store, say, metrics, seconds)
        self._queue: deque[tuple[bytes, Done]] = deque()
        self._busy = False

    def submit(self, command: Command, done: Done) -> None:
        """Apply at once; a command submitted by a `done` waits for its turn."""
        self._queue.append((command.encode(sparse=True), done))
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                data, done = self._queue.popleft()
                self._metrics.incr("raft.apply")
                self._answer(done, self._applier.apply(self.store.index + 1, data))
        finally:
            self._busy = False

    def restore(self, new: Store, done: Done) -> None:
        """See `Log.restore`."""
        new.index = index_after(self.store, new)
        self.store.replace_by(new)
        self._answer(done, None)

    def close(self) -> None:
        """Nothing is pending, nothing to store."""

    def _answer(self, done: Done, result: Any) -> None:
        try:
            done(result)
        except Exception as error:
            self._say("error", f"the receiver of a command's result failed: {type(error).__name__}: {error}")
