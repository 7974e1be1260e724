"""TTL timers of sessions.

They are not part of the state: a new leader gives every session its whole TTL again (docs/wire/rpc.md 13).
"""

from collections.abc import Callable

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.gocompat.duration import DurationError, parse_duration_ns
from consulpy.leader.lock_delays import LockDelays
from consulpy.state.commands import Command
from consulpy.state.commands import Session as SessionCommand
from consulpy.state.store import Store
from consulpy.structs.session import DESTROY, TTL_GRACE, Session, SessionRequest


class SessionTimers:
    """TTL timers and lock delays. `submit(command)`: writes to the log. `delays`: counted by this server before."""

    def __init__(
        self,
        datacenter: str,
        store: Store,
        clock: Clock,
        submit: Callable[[Command], object],
        delays: LockDelays | None = None,
    ) -> None:
        self._datacenter = datacenter
        self._store = store
        self._clock = clock
        self._submit = submit
        self._timers: dict[str, Timer] = {}
        self._delays = delays or LockDelays(clock)
        self._running = False

    def start(self) -> None:
        """Start the timers of all sessions."""
        self._running = True
        self._store.on_lock_delay = self._delays.start
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for session in self._store.sessions.table.all():
            self.renew(session)

    def stop(self) -> None:
        """Cancel all timers."""
        self._running = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def __len__(self) -> int:
        """Number of sessions with a timer."""
        return len(self._timers)

    def renew(self, session: Session) -> None:
        """A session was created or renewed: restart its timer with twice its TTL. Without a TTL it has none."""
        self.cancel(session.id)
        ttl_s = ttl_ns(session) / 1e9
        if self._running and ttl_s > 0:
            self._timers[session.id] = self._clock.callLater(ttl_s * TTL_GRACE, self._expired, session.id)

    def cancel(self, session_id: str) -> None:
        """A session was destroyed: cancel its timer."""
        cancel_timer(self._timers.pop(session_id, None))

    def _expired(self, session_id: str) -> None:
        del self._timers[session_id]
        if self._running and self._store.sessions.table.get(session_id.lower()) is not None:
            request = SessionRequest(datacenter=self._datacenter, op=DESTROY, session=Session(id=session_id))
            self._submit(SessionCommand(request))

    def forget_lock_delays(self) -> None:
        """End all lock delays."""
        self._delays.clear()

    def has_lock_delay(self, key: str) -> bool:
        """Whether a lock delay of `key` is running."""
        return self._delays.has(key)


def ttl_ns(session: Session) -> int:
    """The TTL in ns, 0 for none."""
    try:
        return parse_duration_ns(session.ttl) if session.ttl else 0
    except DurationError:
        return 0
