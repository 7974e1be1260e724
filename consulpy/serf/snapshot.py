"""The snapshot: who was here and how late it was, so that an agent finds its cluster again after a restart.

A text file to which lines are appended, the very one that real agents write, so that either reads the other's.
Source: docs/wire/gossip.md 6.11 and tests/vectors/gossip/snapshots.json. Pure: the file is a `SnapshotStore`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from consulpy.errors import WireError
from consulpy.memberlist.member import Address
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.lamport import HONEST_MAX, is_newer

#: A file is rewritten when it is larger than this, or than `COMPACT_BYTES_PER_MEMBER` for each member.
COMPACT_MIN_BYTES: Final = 128 * 1024
COMPACT_BYTES_PER_MEMBER: Final = 256


class SnapshotStore(Protocol):
    """Where the lines are kept (`consulpy.serf.disk.SnapshotFile`)."""

    def read(self) -> str:
        """All that was kept; empty at first. Raises `ConfigError` if it can neither be read nor written."""

    def append(self, text: str) -> None:
        """Add whole lines; they may wait for `flush`."""

    def flush(self) -> None:
        """Hand what waits to the operating system; called every half second."""

    def replace(self, text: str) -> None:
        """Put `text` in place of everything, at once or not at all."""

    def sync(self) -> None:
        """Everything so far survives a power cut."""

    def set_aside(self, why: str) -> None:
        """Keep what cannot be read under another name and begin anew."""

    def close(self) -> None:
        """Write what is left."""


class SnapshotDamaged(WireError):
    """A snapshot that is none: binary, or without one line that is understood."""


@dataclass(slots=True)
class Replayed:
    """What a snapshot says."""

    alive: dict[str, Address] = field(default_factory=dict)
    clock: int = 0
    event_clock: int = 0
    query_clock: int = 0
    #: Lines that were not understood.
    ignored: list[str] = field(default_factory=list)
    #: The clocks whose times were forged, and are forgotten.
    forgotten: list[str] = field(default_factory=list)


def format_address(address: Address) -> str:
    """`10.0.0.1:7946`, `[::1]:7946`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str) -> Address:
    """The other way. Raises `ValueError`."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no address")
    return host.removeprefix("[").removesuffix("]"), int(port)


def replay(text: str, rejoin_after_leave: bool) -> Replayed:
    """What `text` says. An unfinished last line is dropped. Raises `SnapshotDamaged`."""
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
        if getattr(found, clock) >= HONEST_MAX:
            setattr(found, clock, 0)
            found.forgotten.append(clock.replace("_", "-"))
    return found


def _replay_line(found: Replayed, line: str, rejoin_after_leave: bool) -> None:
    """Take one line. Raises `ValueError`."""
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
    """Writes down what happens, and rewrites the file when it has grown."""

    def __init__(self, store: SnapshotStore, rejoin_after_leave: bool) -> None:
        self._store = store
        self._rejoin_after_leave = rejoin_after_leave
        self._alive: dict[str, Address] = {}
        self._clock = self._event_clock = self._query_clock = 0
        self._size = 0
        self._leaving = False

    def load(self) -> Replayed:
        """What the file says; a damaged one is set aside. Raises `ConfigError`."""
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
        """Members came or went; `clock`: the member clock's time."""
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
        """The member clock shows `clock`: whatever is before it was seen."""
        if is_newer(clock - 1, self._clock) and not self._leaving:
            self._clock = clock - 1
            self._append(f"clock: {self._clock}\n")

    def user_event(self, ltime: int) -> None:
        """A user event of this time was told."""
        if is_newer(ltime, self._event_clock) and not self._leaving:
            self._event_clock = ltime
            self._append(f"event-clock: {ltime}\n")

    def query(self, ltime: int) -> None:
        """A query of this time was told."""
        if is_newer(ltime, self._query_clock) and not self._leaving:
            self._query_clock = ltime
            self._append(f"query-clock: {ltime}\n")

    def flush(self) -> None:
        """What was written down reaches the file."""
        self._store.flush()

    def leave(self) -> None:
        """We leave: after this nothing is written any more."""
        if self._leaving:
            return
        self._append("leave\n")
        self._leaving = True
        self._store.sync()

    def close(self) -> None:
        """We stop."""
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
