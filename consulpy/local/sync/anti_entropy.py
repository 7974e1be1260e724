"""Anti-entropy: the schedule on which the catalog is synchronized with the agent's services and checks.

A *partial* sync sends changes, several together, immediately. A *full* sync reads the catalog, compares, and sends the
differences: at the start, when a server appears, after a failure, and about every minute. What is sent:
`catalog_sync`. Source: docs/wire/rpc.md section 9.
"""

import math
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.errors import NoServers, RPCError, WireError
from consulpy.local.sync.catalog_sync import CALL_TIMEOUT_S, CatalogSync
from consulpy.local.sync.sync_state import Entries
from consulpy.log import Logger
from consulpy.rpc.caller import Caller

_log = Logger()

#: Seconds between full syncs, without the random part of up to as much again.
FULL_INTERVAL_S: Final = 60.0
#: Seconds from a failed sync to the next full one, without the random part of up to as much again.
RETRY_INTERVAL_S: Final = 15.0
#: Seconds from a server's join to the full sync, at most, times `scale`.
SERVER_UP_WITHIN_S: Final = 3.0
#: Members above which the random parts grow.
SCALE_FROM: Final = 128
#: Token bucket of partial syncs, so that a stream of changes is sent in batches: seconds per sync, and burst.
PARTIAL_INTERVAL_S: Final = 0.02
PARTIAL_BURST: Final = 5


class _Local(Protocol):
    """The agent's services and checks (`consulpy.local.state.LocalState`)."""

    @property
    def entries(self) -> Entries: ...


def scale(cluster_size: int) -> int:
    """Factor of random delays: 1 up to 128 members, then ceil(log2(members / 128)) + 1."""
    return 1 if cluster_size <= SCALE_FROM else math.ceil(math.log2(cluster_size / SCALE_FROM)) + 1


class AntiEntropy:
    """Synchronizes the catalog with `local` from `start` to `stop`.

    `cluster_size()`: members of the LAN pool. `token()`: the agent's token, for its node. `default_token(from_file)`:
    for services and checks registered without a token, in a file or over HTTP.
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
        default_token: Callable[[bool], str] = lambda _from_file: "",
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._entries = local.entries
        self._catalog_sync = CatalogSync(caller, local.entries, clock, token, call_timeout_s, default_token)
        self._clock = clock
        self._rng = rng
        self._cluster_size = cluster_size
        self._full_timer: Timer | None = None
        self._full_at_s = math.inf
        self._partial_timer: Timer | None = None
        #: Tokens of the bucket at the start of the last partial sync, and its time.
        self._tokens, self._partial_started_s = float(PARTIAL_BURST), -math.inf
        self._running: Deferred[None] | None = None
        self._server_seen = False
        self._started = False
        self._has_synced = False
        #: Partial syncs started, and syncs of either kind that failed.
        self.partial_syncs = self.failures = 0

    def start(self) -> None:
        """Start with a full sync (it fails and is repeated while no server is known)."""
        self._started = True
        self._entries.changed = self.changed
        self._schedule_full(0)

    def stop(self) -> None:
        """Stop; a running sync is cancelled."""
        self._started = False
        self._entries.changed = lambda: None
        for timer in (self._full_timer, self._partial_timer):
            cancel_timer(timer)
        self._full_timer = self._partial_timer = None
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    def server_appeared(self) -> None:
        """A server joined: full sync within `SERVER_UP_WITHIN_S` (times `scale`), unless one is due earlier."""
        if self._started and not self._server_seen:
            self._server_seen = True  # servers that join until then need no sync of their own
            self._schedule_full(self._random(SERVER_UP_WITHIN_S), no_later=True)

    def catalog_replaced(self) -> None:
        """A snapshot was restored: full sync, as later registrations are missing in it."""
        if self._started:
            self._schedule_full(0.0, no_later=True)

    def tokens_changed(self) -> None:
        """The agent's tokens changed: full sync, as what was denied may be permitted now."""
        if self._started:
            self._schedule_full(0.0, no_later=True)

    def changed(self) -> None:
        """A service or check changed: schedule a partial sync."""
        if self._started and self._partial_timer is None:
            delay_s = max(0.0, (1 - self._available()) * PARTIAL_INTERVAL_S)
            self._partial_timer = self._clock.callLater(delay_s, self._partial)

    def flush(self) -> None:
        """Run a partial sync that is scheduled now, unless another sync is running."""
        timer = self._partial_timer
        if timer is not None and timer.active() and self._running is None:
            timer.cancel()
            self._partial()

    def _available(self) -> float:
        """Partial syncs that may start now; below 1: none yet."""
        elapsed_s = self._clock.seconds() - self._partial_started_s
        return min(self._tokens + elapsed_s / PARTIAL_INTERVAL_S, PARTIAL_BURST)

    def _random(self, max_s: float) -> float:
        return self._rng.uniform(0, max_s * scale(self._cluster_size()))

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
        if self._running is not None:  # a partial sync is running
            self._schedule_full(1.0)
            return
        self._run(Deferred.fromCoroutine(self._catalog_sync.sync_full()), full=True)

    def _partial(self) -> None:
        self._partial_timer = None
        if self._running is None:
            self.partial_syncs += 1
            self._tokens, self._partial_started_s = self._available() - 1, self._clock.seconds()
            self._run(Deferred.fromCoroutine(self._catalog_sync.sync_changes()), full=False)
        # else: `_succeeded` starts the next one

    def _run(self, sync: Deferred[None], *, full: bool) -> None:
        self._running = sync
        sync.addCallbacks(self._succeeded, self._failed, callbackArgs=(full,)).addErrback(self._log_bug)

    def _succeeded(self, _: None, full: bool) -> None:
        self._running = None
        self._has_synced = True
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
        is_early = failure.check(NoServers) and not self._has_synced  # the pool is not joined yet
        (_log.info if is_early else _log.warn)("anti-entropy: {error}", error=failure.getErrorMessage())
        self._schedule_full(RETRY_INTERVAL_S + self._random(RETRY_INTERVAL_S), no_later=True)

    def _log_bug(self, failure: Failure) -> None:
        """Log a bug with its traceback, and schedule the next full sync."""
        self.failures += 1
        _log.failure("anti-entropy failed", failure)
        self._schedule_full(RETRY_INTERVAL_S + self._random(RETRY_INTERVAL_S), no_later=True)

    def _pending(self) -> bool:
        """Whether anything is out of sync."""
        entries = self._entries
        return not entries.node_in_sync or bool(entries.services_out_of_sync() or entries.checks_out_of_sync())
