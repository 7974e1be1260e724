"""What the leader counts for sessions: how long each may live without a renewal, and which keys may not be locked yet.

Neither is part of the state: a new leader gives every session its whole time again, and forgets lock delays
(docs/wire/rpc.md 13).
"""

from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock, Timer
from consulpy.gocompat.duration import DurationError, parse_duration_ns
from consulpy.state.commands import Command
from consulpy.state.commands import Session as SessionCommand
from consulpy.state.store import Store
from consulpy.structs.session import DESTROY, TTL_GRACE, Session, SessionRequest

#: Keys that may be closed at a time; the delay of more is not kept.
DELAYS_LIMIT: Final = 65536


class SessionTimers:
    """TTLs and lock delays. `submit` puts a command into the log."""

    def __init__(self, datacenter: str, store: Store, clock: Clock, submit: Callable[[Command], object]) -> None:
        self._datacenter = datacenter
        self._store = store
        self._clock = clock
        self._submit = submit
        self._timers: dict[str, Timer] = {}
        self._closed: dict[str, float] = {}
        self._running = False

    def start(self) -> None:
        """Give every session its whole time."""
        self._running = True
        self._store.on_lock_delay = self.close
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for session in self._store.sessions.table.all():
            self.renew(session)

    def stop(self) -> None:
        """Count no more."""
        self._running = False
        self._store.on_lock_delay = lambda _key, _delay_ns: None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._closed.clear()

    def __len__(self) -> int:
        """How many sessions are counted down."""
        return len(self._timers)

    def renew(self, session: Session) -> None:
        """A session was made or renewed: it lives for twice its TTL from now. Without a TTL it lives on."""
        self.forget(session.id)
        ttl_s = ttl_ns(session) / 1e9
        if self._running and ttl_s > 0:
            self._timers[session.id] = self._clock.callLater(ttl_s * TTL_GRACE, self._expired, session.id)

    def forget(self, session_id: str) -> None:
        """A session ended."""
        timer = self._timers.pop(session_id, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _expired(self, session_id: str) -> None:
        del self._timers[session_id]
        if self._running and self._store.sessions.table.get(session_id.lower()) is not None:
            request = SessionRequest(datacenter=self._datacenter, op=DESTROY, session=Session(id=session_id))
            self._submit(SessionCommand(request))

    # Lock delays

    def close(self, key: str, delay_ns: int) -> None:
        """Nobody may lock `key` for this long."""
        now = self._clock.seconds()
        if len(self._closed) >= DELAYS_LIMIT:
            self._closed = {key: until for key, until in self._closed.items() if until > now}
        if len(self._closed) < DELAYS_LIMIT:
            self._closed[key] = now + delay_ns / 1e9

    def is_closed(self, key: str) -> bool:
        """Whether a lock on `key` has to wait because a session was taken from its holder."""
        until = self._closed.get(key)
        if until is None:
            return False
        if until > self._clock.seconds():
            return True
        del self._closed[key]
        return False


def ttl_ns(session: Session) -> int:
    """The TTL in ns, 0 for none."""
    try:
        return parse_duration_ns(session.ttl) if session.ttl else 0
    except DurationError:
        return 0
