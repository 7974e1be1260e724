"""Anti-entropy: the catalog's idea of this node is made equal to what the agent itself knows.

A *partial* sync sends what changed, at once, many changes together. A *full* sync reads what the catalog has, compares,
and sends the differences: at the start, when a server appears, after a failure, and about every minute. Here is when;
`telling` has what is sent. docs/wire/rpc.md section 9.
"""

import math
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer
from consulpy.errors import RPCError, WireError
from consulpy.local.sync.catalog_sync import CALL_TIMEOUT_S, CatalogSync
from consulpy.local.sync.sync_state import Entries
from consulpy.rpc.caller import Caller

_log = Logger()

#: Seconds between full syncs, without the random part of up to as much again.
FULL_INTERVAL_S: Final = 60.0
#: Seconds after a failed sync until a full one is tried, without the random part of up to as much again.
RETRY_INTERVAL_S: Final = 15.0
#: A new server is asked after a random part of this, in seconds.
SERVER_UP_WITHIN_S: Final = 3.0
#: Above this many members the random parts grow.
SCALE_FROM: Final = 128
#: Partial syncs of a stream of changes begin so many seconds apart, so that several changes go together; the first few
#: wait for nothing.
SPACING_S: Final = 0.02
UNSPACED: Final = 5


class _Local(Protocol):
    """What is made equal: `consulpy.local.state.LocalState`."""

    @property
    def entries(self) -> Entries: ...


def scale(cluster_size: int) -> int:
    """By how much random parts grow: 1 up to 128 members, then ceil(log2(members / 128)) + 1."""
    return 1 if cluster_size <= SCALE_FROM else math.ceil(math.log2(cluster_size / SCALE_FROM)) + 1


class AntiEntropy:
    """Keeps the catalog equal to `local` from `start` to `stop`.

    `cluster_size()`: members of the LAN pool. `token()`: the agent's own token, for its node;
    `default_token()`: for services and checks that have none of their own.
    """

    def __init__(
        self,
        caller: Caller,
        local: _Local,
        clock: Clock,
        rng: Random,
        cluster_size: Callable[[], int],
        *,
        token: Callable[[], str] = lambda: "",
        default_token: Callable[[], str] = lambda: "",
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._entries = local.entries
        self._telling = CatalogSync(caller, local.entries, clock, token, call_timeout_s, default_token)
        self._clock = clock
        self._rng = rng
        self._cluster_size = cluster_size
        self._full_timer: Timer | None = None
        self._full_at_s = math.inf
        self._partial_timer: Timer | None = None
        #: Partial syncs that may begin at once, as of when the last one began.
        self._unspaced, self._partial_began_s = float(UNSPACED), -math.inf
        self._running: Deferred[None] | None = None
        self._server_seen = False
        self._started = False
        #: How many syncs were done, and how many failed.
        self.full_syncs = self.partial_syncs = self.failures = 0

    def start(self) -> None:
        """Full sync at once (it fails and is repeated while no server is known), then whenever it is needed."""
        self._started = True
        self._entries.changed = self.changed
        self._schedule_full(0)

    def stop(self) -> None:
        """Do no more; what is under way is given up."""
        self._started = False
        self._entries.changed = lambda: None
        for timer in (self._full_timer, self._partial_timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._full_timer = self._partial_timer = None
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    def server_appeared(self) -> None:
        """A server joined: full sync within 3 s (times `scale`), unless one is due earlier."""
        if self._started and not self._server_seen:
            self._server_seen = True  # others that come meanwhile are served by the same sync
            self._schedule_full(self._random(SERVER_UP_WITHIN_S), no_later=True)

    def catalog_replaced(self) -> None:
        """A snapshot was restored: whoever came or went after it was made is missing there, or still there."""
        if self._started:
            self._schedule_full(0.0, no_later=True)

    def tokens_changed(self) -> None:
        """The agent has other tokens: what was refused may be allowed now."""
        if self._started:
            self._schedule_full(0.0, no_later=True)

    def changed(self) -> None:
        """Something changed here: partial sync, at the end of this turn of the clock, or when its time comes."""
        if self._started and self._partial_timer is None:
            delay_s = max(0.0, (1 - self._may_begin()) * SPACING_S)
            self._partial_timer = self._clock.callLater(delay_s, self._partial)

    def _may_begin(self) -> float:
        """How many partial syncs may begin at once; less than 1: none yet."""
        rested_s = self._clock.seconds() - self._partial_began_s
        return min(self._unspaced + rested_s / SPACING_S, UNSPACED)

    def _random(self, upto_s: float) -> float:
        return self._rng.uniform(0, upto_s * scale(self._cluster_size()))

    def _schedule_full(self, delay_s: float, *, no_later: bool = False) -> None:
        at_s = self._clock.seconds() + delay_s
        if self._full_timer is not None and self._full_timer.active():
            if no_later and self._full_at_s <= at_s:
                return
            self._full_timer.cancel()
        self._full_at_s = at_s
        self._full_timer = self._clock.callLater(delay_s, self._full)

    def _full(self) -> None:
        self._full_timer = None
        self._server_seen = False
        if self._running is not None:  # a partial sync is under way: right after it
            self._schedule_full(1.0)
            return
        self.full_syncs += 1
        self._run(Deferred.fromCoroutine(self._telling.everything()), full=True)

    def _partial(self) -> None:
        self._partial_timer = None
        if self._running is None:
            self.partial_syncs += 1
            self._unspaced, self._partial_began_s = self._may_begin() - 1, self._clock.seconds()
            self._run(Deferred.fromCoroutine(self._telling.changes()), full=False)
        # else: `_succeeded` starts the next one

    def _run(self, sync: Deferred[None], *, full: bool) -> None:
        self._running = sync
        sync.addCallbacks(self._succeeded, self._failed, callbackArgs=(full,)).addErrback(self._broken)

    def _succeeded(self, _: None, full: bool) -> None:
        self._running = None
        if not self._started:
            return
        if full:
            self._schedule_full(FULL_INTERVAL_S + self._random(FULL_INTERVAL_S), no_later=True)
        if self._pending():
            self.changed()

    def _failed(self, failure: Failure) -> None:
        self._running = None
        if not self._started:
            return
        failure.trap(RPCError, WireError, CancelledError, OSError)
        self.failures += 1
        _log.warn("anti-entropy: {error}", error=failure.getErrorMessage())
        self._schedule_full(RETRY_INTERVAL_S + self._random(RETRY_INTERVAL_S), no_later=True)

    def _broken(self, failure: Failure) -> None:
        """Not a peer's fault, but ours: say it all, and go on with the next full sync."""
        self.failures += 1
        _log.failure("anti-entropy failed", failure)
        self._schedule_full(RETRY_INTERVAL_S + self._random(RETRY_INTERVAL_S), no_later=True)

    def _pending(self) -> bool:
        """Whether anything changed while a sync was under way."""
        entries = self._entries
        return not entries.node_in_sync or bool(entries.services_to_tell() or entries.checks_to_tell())
