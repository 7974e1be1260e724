"""The state machine of committed commands: the `Store`. Real servers do the same with the same entries, index by index.

A command that only newer or differently configured servers know must not be passed over, or this server's state would
silently differ: it raises `UnknownCommand`, unless its type says that it may be ignored.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from consulpy.errors import WireError
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.raft.chunks import CHECKPOINT, Chunks
from consulpy.raft.interfaces import UnknownCommand
from consulpy.raft.messages import LogEntry
from consulpy.raft.own_commands import OwnCommands
from consulpy.state.apply import CommandApplier, Say
from consulpy.state.command import IGNORE_IF_UNKNOWN
from consulpy.state.commands import COMMANDS, Command, decode
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store

#: Types that stand for entries of other kinds in a single server's log, and are never in a quorum's.
_MARKERS: Final = range(64, IGNORE_IF_UNKNOWN)


class StoreMachine:
    """A `StateMachine`. `say(level, text)`; `seconds`: the clock by which `metrics` are told how long things take."""

    def __init__(
        self,
        store: Store,
        *,
        say: Say = lambda _level, _text: None,
        metrics: Measures = NOTHING,
        seconds: Callable[[], float] = lambda: 0.0,
        restored: Callable[[], None] = lambda: None,
        own: OwnCommands | None = None,
    ) -> None:
        self.store = store
        self._applier = CommandApplier(store, say, metrics, seconds)
        self._restored = restored
        self._chunks = Chunks()
        self._own = own or OwnCommands()

    @property
    def rows(self) -> int:
        """See `StateMachine.rows`."""
        return self.store.rows

    def apply(self, entries: Sequence[LogEntry]) -> list[Any]:
        """See `StateMachine.apply`. The result of a command that was refused is its error."""
        decoded = [self._decode(entry) for entry in entries]
        return [
            None if command is None else self._applier.apply(entry.index, command)
            for entry, command in zip(entries, decoded, strict=True)
        ]

    def capture(self) -> Snapshot:
        """See `StateMachine.capture`."""
        return Snapshot.of(self.store)

    def restore(self, state: Store, index: int) -> None:
        """See `StateMachine.restore`."""
        state.index = index
        self.store.replace_by(state)
        self._chunks = Chunks()
        self._restored()

    def reset(self) -> None:
        """See `StateMachine.reset`."""
        self.restore(Store(), 0)

    def _decode(self, entry: LogEntry) -> Command | None:
        """The command of an entry; None if there is nothing to apply at its index. Raises `UnknownCommand`."""
        data = entry.data or b""
        own = self._own.take(data)
        if own is not None:
            return own
        try:
            is_part = entry.extensions and not entry.extensions.startswith(CHECKPOINT)
            whole = self._chunks.add(entry) if is_part else data
            if whole is None:
                return None
            kind = whole[0] if whole else 0
            if kind in _MARKERS or (kind not in COMMANDS and kind < IGNORE_IF_UNKNOWN):
                raise UnknownCommand(
                    f"entry {entry.index} is a command of type {kind}, which this version does not know"
                )
            return decode(whole)
        except WireError as error:
            kind = data[0] if data else -1
            raise UnknownCommand(f"entry {entry.index}, a command of type {kind}, cannot be read: {error}") from None
