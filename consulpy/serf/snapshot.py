"""The snapshot: alive members and clocks, for a rejoin after a restart.

A text file to which lines are appended, in real agents' format. Source: docs/wire/gossip.md 6.11 and
tests/vectors/gossip/snapshots.json. Pure: the file is a `SnapshotStore`.
"""

from collections.abc import Iterable
from dataclasses import field
from typing import Final, Protocol

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import WireError
from consulpy.memberlist.member import Address
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.lamport import PLAUSIBLE_MAX, is_newer

#: The file is compacted when it is larger than this, and than `COMPACT_BYTES_PER_MEMBER` per alive member.
COMPACT_MIN_BYTES: Final = 128 * 1024
COMPACT_BYTES_PER_MEMBER: Final = 256


class SnapshotStore(Protocol):
    """Stores a snapshot's lines (`consulpy.serf.disk.SnapshotFile`)."""

    def read(self) -> str:
        """The whole text; empty at first. Raises `ConfigError` if it can't be read or written."""

    def append(self, text: str) -> None:
        """Append whole lines; they may be buffered until `flush`."""

    def flush(self) -> None:
        """Write buffered lines to the operating system; called every half second."""

    def replace(self, text: str) -> None:
        """Replace everything by `text`, atomically."""

    def sync(self) -> None:
        """Make everything so far durable."""

    def set_aside(self, why: str) -> None:
        """Rename an unreadable snapshot and start a new one."""

    def close(self) -> None:
        """Write buffered lines and close."""


class SnapshotDamaged(WireError):
    """The snapshot is binary, or no line of it is valid."""


@dataclass(slots=True)
class Replayed:
    """Content of a snapshot."""

    alive: dict[str, Address] = field(default_factory=dict)
    clock: int = 0
    event_clock: int = 0
    query_clock: int = 0
    #: Lines that are invalid.
    ignored: list[str] = field(default_factory=list)
    #: Clocks with a forged time, which were reset.
    reset_clocks: list[str] = field(default_factory=list)


def format_address(address: Address) -> str:
    """Format an address: `10.0.0.1:7946`, `[::1]:7946`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str) -> Address:
    """Parse what `format_address` gives. Raises `ValueError`."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no address")
    return host.removeprefix("[").removesuffix("]"), int(port)


def replay(text: str, rejoin_after_leave: bool) -> Replayed:
    """Parse a snapshot. An incomplete last line is ignored. Raises `SnapshotDamaged`."""
    if "\0" in text:
        raise SnapshotDamaged("it is a binary file")
    found = Replayed()
    understood = 0
    lines = text.split("\n")[:-1]
    for line in lines:
        try:
            _replay_line(found, line, rejoin_after_leave)
            understood += 1
        except ValueError:
            found.ignored.append(line)
    if lines and not understood:
        raise SnapshotDamaged("it has no line that is understood")
    for clock in ("clock", "event_clock", "query_clock"):
        if getattr(found, clock) >= PLAUSIBLE_MAX:
            setattr(found, clock, 0)
            found.reset_clocks.append(clock.replace("_", "-"))
    return found


def _replay_line(found: Replayed, line: str, rejoin_after_leave: bool) -> None:
    """Apply one line. Raises `ValueError`."""
    key, _, rest = line.partition(": ")
    match key:
        case "alive":
            name, separator, address = rest.rpartition(" ")
            if not separator or not name:
                raise ValueError(line)
            found.alive[name] = parse_address(address)
        case "not-alive":
            found.alive.pop(rest, None)
        case "clock":
            found.clock = _ltime(rest)
        case "event-clock":
            found.event_clock = _ltime(rest)
        case "query-clock":
            found.query_clock = _ltime(rest)
        case "leave":
            if not rejoin_after_leave:
                found.alive.clear()
                found.clock = found.event_clock = found.query_clock = 0
        case "coordinate":
            pass  # written by old versions
        case _ if line.startswith("#") or not line:
            pass
        case _:
            raise ValueError(line)


def _ltime(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**64:
        raise ValueError(text)
    return value


class Snapshot:
    """Appends changes to the snapshot, and compacts it."""

    def __init__(self, store: SnapshotStore, rejoin_after_leave: bool) -> None:
        self._store = store
        self._rejoin_after_leave = rejoin_after_leave
        self._alive: dict[str, Address] = {}
        self._clock = self._event_clock = self._query_clock = 0
        self._size = 0
        self._leaving = False

    def load(self) -> Replayed:
        """Read the snapshot; a damaged one is set aside. Raises `ConfigError`."""
        text = self._store.read()
        try:
            replayed = replay(text, self._rejoin_after_leave)
        except SnapshotDamaged as error:
            self._store.set_aside(str(error))
            text, replayed = "", Replayed()
        self._alive = dict(replayed.alive)
        self._clock, self._event_clock = replayed.clock, replayed.event_clock
        self._query_clock = replayed.query_clock
        self._size = len(text.encode("utf-8", "surrogateescape"))
        if text and not text.endswith("\n"):
            self._compact()
        return replayed

    def member_event(self, event: MemberEvent, clock: int) -> None:
        """Append a member event; `clock`: the time of the member clock."""
        if self._leaving:
            return
        members = [member for member in event.members if "\n" not in member.name]  # it would forge a line
        if event.kind is MemberEventKind.JOIN:
            for member in members:
                self._alive[member.name] = (member.address, member.port)
                self._append(f"alive: {member.name} {format_address((member.address, member.port))}\n")
        elif event.kind in (MemberEventKind.LEAVE, MemberEventKind.FAILED):
            for member in members:
                self._alive.pop(member.name, None)
                self._append(f"not-alive: {member.name}\n")
        self.update_clock(clock)

    def update_clock(self, clock: int) -> None:
        """Append the member clock's last seen time; `clock`: its current time."""
        if is_newer(clock - 1, self._clock) and not self._leaving:
            self._clock = clock - 1
            self._append(f"clock: {self._clock}\n")

    def user_event(self, ltime: int) -> None:
        """Append the Lamport time of a delivered user event."""
        if is_newer(ltime, self._event_clock) and not self._leaving:
            self._event_clock = ltime
            self._append(f"event-clock: {ltime}\n")

    def query(self, ltime: int) -> None:
        """Append the Lamport time of a delivered query."""
        if is_newer(ltime, self._query_clock) and not self._leaving:
            self._query_clock = ltime
            self._append(f"query-clock: {ltime}\n")

    def flush(self) -> None:
        """Write appended lines to the file."""
        self._store.flush()

    def leave(self) -> None:
        """Append the leave; further changes are ignored."""
        if self._leaving:
            return
        self._append("leave\n")
        self._leaving = True
        self._store.sync()

    def close(self) -> None:
        """Make the file durable and close it."""
        self._store.sync()
        self._store.close()

    def _append(self, text: str) -> None:
        self._store.append(text)
        self._size += len(text.encode("utf-8", "surrogateescape"))
        if self._size > max(COMPACT_MIN_BYTES, COMPACT_BYTES_PER_MEMBER * len(self._alive)):
            self._compact()

    def _compact(self) -> None:
        text = "".join(self._state_lines())
        self._size = len(text.encode("utf-8", "surrogateescape"))
        self._store.replace(text)

    def _state_lines(self) -> Iterable[str]:
        for name, address in self._alive.items():
            yield f"alive: {name} {format_address(address)}\n"
        yield f"clock: {self._clock}\n"
        yield f"event-clock: {self._event_clock}\n"
        yield f"query-clock: {self._query_clock}\n"
