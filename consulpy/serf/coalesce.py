"""Put events together that follow each other closely, as a Serf agent does for its handlers (Consul does not).

What came is told when nothing more came for the quiescent period, or after the whole period at the latest.
Source: docs/wire/gossip.md 6.10 and 11: what was told is cleared, so that an old update is not told again and again.
"""

from collections.abc import Callable

from consulpy.clock import Clock, Timer
from consulpy.serf.events import Event, MemberEvent, MemberEventKind, UserEvent
from consulpy.serf.members import Member


class _Window:
    """When to tell: after a quiet time, or when the period is over."""

    def __init__(self, clock: Clock, period_s: float, quiescent_s: float, flush: Callable[[], None]) -> None:
        self._clock = clock
        self._period_s = period_s
        self._quiescent_s = quiescent_s
        self._flush = flush
        self._period: Timer | None = None
        self._quiet: Timer | None = None

    def touch(self) -> None:
        """Something came."""
        if self._period is None:
            self._period = self._clock.callLater(self._period_s, self.close)
        if self._quiet is not None and self._quiet.active():
            self._quiet.cancel()
        self._quiet = self._clock.callLater(self._quiescent_s, self.close)

    def close(self) -> None:
        """Tell now."""
        for timer in (self._period, self._quiet):
            if timer is not None and timer.active():
                timer.cancel()
        self._period = self._quiet = None
        self._flush()


class MemberCoalescer:
    """Of each member only the last event of a period, one event for each kind, none that says what was said last."""

    def __init__(self, clock: Clock, period_s: float, quiescent_s: float, tell: Callable[[Event], None]) -> None:
        self._window = _Window(clock, period_s, quiescent_s, self._flush)
        self._tell = tell
        self._latest: dict[str, tuple[MemberEventKind, Member]] = {}
        self._told: dict[str, MemberEventKind] = {}

    def add(self, event: MemberEvent) -> None:
        """An event happened."""
        for member in event.members:
            self._latest[member.name] = (event.kind, member)
        self._window.touch()

    def close(self) -> None:
        """Tell what is left."""
        self._window.close()

    def _flush(self) -> None:
        grouped: dict[MemberEventKind, list[Member]] = {}
        for name, (kind, member) in self._latest.items():
            if self._told.get(name) is kind and kind is not MemberEventKind.UPDATE:
                continue
            if kind is MemberEventKind.REAP:
                self._told.pop(name, None)
            else:
                self._told[name] = kind
            grouped.setdefault(kind, []).append(member)
        self._latest.clear()
        for kind, members in grouped.items():
            self._tell(MemberEvent(kind, members))


class UserCoalescer:
    """Of the user events of one name only those of the highest Lamport time; those that may not be coalesced pass."""

    def __init__(self, clock: Clock, period_s: float, quiescent_s: float, tell: Callable[[Event], None]) -> None:
        self._window = _Window(clock, period_s, quiescent_s, self._flush)
        self._tell = tell
        self._latest: dict[str, list[UserEvent]] = {}

    def add(self, event: UserEvent) -> None:
        """An event happened."""
        if not event.coalesce:
            self._tell(event)
            return
        known = self._latest.get(event.name)
        if known is None or event.ltime > known[0].ltime:
            self._latest[event.name] = [event]
        elif event.ltime == known[0].ltime:
            known.append(event)
        self._window.touch()

    def close(self) -> None:
        """Tell what is left."""
        self._window.close()

    def _flush(self) -> None:
        latest, self._latest = self._latest, {}
        for events in latest.values():
            for event in events:
                self._tell(event)
