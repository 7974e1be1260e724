"""Coalescing of member and user events, as a Serf agent does for its event handlers (Consul does not).

Events are delivered when none came for the quiescent period, or after the whole coalesce period at the latest. Source:
docs/wire/gossip.md 6.10 and 11: delivered events are cleared, so that an old update is not delivered again.
"""

from collections.abc import Callable

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.serf.events import Event, MemberEvent, MemberEventKind, UserEvent
from consulpy.serf.members import Member


class _Window:
    """The coalesce and quiescent timers; `flush()` is called at the end of either."""

    def __init__(self, clock: Clock, period_s: float, quiescent_s: float, flush: Callable[[], None]) -> None:
        self._clock = clock
        self._period_s = period_s
        self._quiescent_s = quiescent_s
        self._flush = flush
        self._period: Timer | None = None
        self._quiet: Timer | None = None

    def restart_quiescent_timer(self) -> None:
        """An event came: restart the quiescent timer, and start the coalesce timer if it is not running."""
        if self._period is None:
            self._period = self._clock.callLater(self._period_s, self.close)
        cancel_timer(self._quiet)
        self._quiet = self._clock.callLater(self._quiescent_s, self.close)

    def close(self) -> None:
        """Flush now and stop the timers."""
        for timer in (self._period, self._quiet):
            cancel_timer(timer)
        self._period = self._quiet = None
        self._flush()


class MemberCoalescer:
    """Coalesces member events: the last event of each member, grouped by kind; one like the last
    delivered is dropped.
    """

    def __init__(self, clock: Clock, period_s: float, quiescent_s: float, deliver: Callable[[Event], None]) -> None:
        self._window = _Window(clock, period_s, quiescent_s, self._flush)
        self._deliver = deliver
        self._latest: dict[str, tuple[MemberEventKind, Member]] = {}
        self._last_kind: dict[str, MemberEventKind] = {}

    def add(self, event: MemberEvent) -> None:
        """Add an event."""
        for member in event.members:
            self._latest[member.name] = (event.kind, member)
        self._window.restart_quiescent_timer()

    def close(self) -> None:
        """Deliver pending events."""
        self._window.close()

    def _flush(self) -> None:
        grouped: dict[MemberEventKind, list[Member]] = {}
        for name, (kind, member) in self._latest.items():
            if self._last_kind.get(name) is kind and kind is not MemberEventKind.UPDATE:
                continue
            if kind is MemberEventKind.REAP:
                self._last_kind.pop(name, None)
            else:
                self._last_kind[name] = kind
            grouped.setdefault(kind, []).append(member)
        self._latest.clear()
        for kind, members in grouped.items():
            self._deliver(MemberEvent(kind, members))


class UserCoalescer:
    """Coalesces user events: of each name those of the highest Lamport time. Events without the flag are passed
    through.
    """

    def __init__(self, clock: Clock, period_s: float, quiescent_s: float, deliver: Callable[[Event], None]) -> None:
        self._window = _Window(clock, period_s, quiescent_s, self._flush)
        self._deliver = deliver
        self._latest: dict[str, list[UserEvent]] = {}

    def add(self, event: UserEvent) -> None:
        """Add an event."""
        if not event.coalesce:
            self._deliver(event)
            return
        known = self._latest.get(event.name)
        if known is None or event.ltime > known[0].ltime:
            self._latest[event.name] = [event]
        elif event.ltime == known[0].ltime:
            known.append(event)
        self._window.restart_quiescent_timer()

    def close(self) -> None:
        """Deliver pending events."""
        self._window.close()

    def _flush(self) -> None:
        latest, self._latest = self._latest, {}
        for events in latest.values():
            for event in events:
                self._deliver(event)
