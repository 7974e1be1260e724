"""Interface of a server's storage, as the machine calls it; `persistence.py` decides what waits for it.

Writes happen in the order in which they are asked for, one at a time. A crash may lose what was not reported as done,
but never part of one update.
"""

from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Any, Protocol, runtime_checkable

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.raft.configuration import Configuration
from consulpy.raft.messages import LogEntry

Done = Callable[[Exception | None], None]


@dataclass(slots=True, frozen=True)
class HardState:
    """The current term, and the last vote with its term."""

    term: int = 0
    voted_term: int = 0
    voted_for: str = ""


@dataclass(slots=True, frozen=True)
class SnapshotMeta:
    """Contents of a snapshot of the state: everything up to `index`, and the configuration of that moment."""

    index: int
    term: int
    configuration: Configuration
    configuration_index: int


@dataclass(slots=True)
class Update:
    """One atomic write: first the hard state, then the cut, then the new entries.

    `discards_all`: the snapshot goes as well, and all entries. `confirmed`: index and term of an installed snapshot
    that is known to be committed now.
    """

    hard_state: HardState | None = None
    truncate_from: int | None = None
    entries: list[LogEntry] = field(default_factory=list)
    discards_all: bool = False
    confirmed: tuple[int, int] | None = None

    def is_one_row(self, rows: int) -> bool:
        """Whether the entries, which are encoded as `rows` rows, are all that there is to write."""
        return (
            rows == 1
            and self.hard_state is None
            and self.truncate_from is None
            and not self.discards_all
            and self.confirmed is None
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write; what is confirmed can wait for another write."""
        return self.hard_state is None and self.truncate_from is None and not self.entries and not self.discards_all


@dataclass(slots=True)
class StoredState:
    """The stored state at the start. `entries`: all that are stored, in order; `state`: of the newest snapshot.

    `unconfirmed`: index and term of the newest snapshot that was put in the place of entries, unless it was confirmed.
    """

    hard_state: HardState = HardState()
    snapshot: SnapshotMeta | None = None
    state: Any = None
    entries: Iterable[LogEntry] = ()
    unconfirmed: tuple[int, int] = (0, 0)


class SnapshotReader(Protocol):
    """A stored snapshot that is being sent; `meta`, and the `size` of its state on the wire in bytes."""

    meta: SnapshotMeta
    size: int

    def read(self, done: Callable[[bytes | Exception], None]) -> None:
        """The next part of the state, b"" at its end. One at a time."""

    def close(self) -> None:
        """Release it."""


@runtime_checkable
class SnapshotWriter(Protocol):
    """The state of a snapshot that is being received, for `Storage.install_snapshot`."""

    def write(self, piece: bytes, taken: Callable[[], None]) -> None:
        """Write the next part of the state; `taken` when another one may come. Errors come with the installation."""

    def close(self) -> None:
        """Discard it: it is not installed."""


class Storage(Protocol):
    """Durable storage of one server. The callbacks come in the machine's thread, at once or later."""

    def load(self) -> StoredState:
        """The stored state."""

    def write(self, update: Update, done: Done) -> None:
        """Make an update durable."""

    def read(
        self, first: int, most_entries: int, most_bytes: int, done: Callable[[list[LogEntry] | Exception], None]
    ) -> None:
        """Entries from `first` on, at least one, which must exist."""

    def save_snapshot(self, meta: SnapshotMeta, state: Any, keep_from: int, done: Done) -> None:
        """Store what the state machine captured, then drop the entries before `keep_from`.

        If `keep_from` is beyond `meta.index`, the snapshot goes in the place of all entries, and is unconfirmed.
        """

    def receive_snapshot(self, index: int) -> SnapshotWriter:
        """A snapshot up to `index` that a leader is going to send."""

    def install_snapshot(
        self, meta: SnapshotMeta, body: Any, *, keep_entries: bool, done: Callable[[Any], None]
    ) -> None:
        """Put a received snapshot, whole by now, in the place of the entries up to its index, or of all entries.

        It is unconfirmed then.

        `body`: its `SnapshotWriter`. `done` gets the state for the state machine, or an exception when it is none or is
        not stored.
        """

    def open_snapshot(self, done: Callable[["SnapshotReader | Exception"], None]) -> None:
        """The newest snapshot, to send it."""
