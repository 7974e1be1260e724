"""Answers that `?cached` keeps: each is kept fresh by a blocking read of our own, for as long as somebody asks for it.

A reader of a kept answer waits for no server. While no server answers, readers get what was last known, and its age.
Seen in real agents: `X-Cache: MISS`, then `HIT` with `Age: 0` while the refreshing works.
"""

import dataclasses
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, TimeoutError  # noqa: A004
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer
from consulpy.rpc.call import Caller
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import DatacentersRequest, Read

#: Different questions that are kept; the one that was asked longest ago goes first.
ENTRIES_MAX: Final = 512
#: How long a kept answer outlives the last question for it.
UNUSED_S: Final = 600.0
#: How long the list of datacenters is kept; nothing refreshes it.
DATACENTERS_S: Final = 60.0
#: The longest wait of a reader who gives an index and no wait.
WAIT_S: Final = 600.0
#: The pause after the first failed refreshing; it doubles up to the maximum.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Cached:
    """A reply, whether it was there already, and how long ago it was certain."""

    reply: Any
    hit: bool
    age_s: float = 0.0


_Key = tuple[str, bytes]


@dataclass(slots=True, eq=False)
class _Entry:
    key: _Key
    method: str
    request: Read
    reply: Any = None
    used_s: float = 0.0
    #: Since when refreshing fails; None while it works.
    stale_since_s: float | None = None
    failures: int = 0
    running: Deferred[Any] | None = None
    timer: Timer | None = None
    waiting: list[Deferred[Any]] = field(default_factory=list)
    forgotten: bool = False


class ReplyCache:
    """The kept answers of one agent."""

    def __init__(self, caller: Caller, clock: Clock) -> None:
        self._caller = caller
        self._clock = clock
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._datacenters: tuple[float, list[str]] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    async def read(self, method: str, request: Read) -> Cached:
        """The answer to a read, kept from now on. Raises `RPCError` when there is none and it can't be had.

        With an index it waits for a newer one, like a blocking read.
        """
        asked = request.options
        entry = self._entry(method, request)
        entry.used_s = self._clock.seconds()
        hit = entry.reply is not None
        if not hit or self._too_old(entry, asked):
            try:
                await self._next(entry, None)
            except Exception:
                if entry.reply is None:
                    self._forget(entry)
                if entry.reply is None or not self._may_be_stale(entry, asked):
                    raise
        if asked.min_query_index and entry.reply.meta.index <= asked.min_query_index:
            await self._newer(entry, asked)
        return Cached(entry.reply, hit, self._age_s(entry))

    def close(self) -> None:
        """Forget everything, and ask no more."""
        for entry in list(self._entries.values()):
            self._forget(entry)

    async def datacenters(self) -> tuple[list[str], float | None]:
        """The names of all datacenters, and their age in seconds if they were kept."""
        now_s = self._clock.seconds()
        if self._datacenters is not None and now_s - self._datacenters[0] < DATACENTERS_S:
            return self._datacenters[1], now_s - self._datacenters[0]
        found = await self._caller.call("Catalog.ListDatacenters", DatacentersRequest())
        self._datacenters = now_s, found
        return found, None

    def _entry(self, method: str, request: Read) -> _Entry:
        bare = dataclasses.replace(request, options=_essence(request.options))
        key = (method, bare.pack())
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(key, method, bare)
            if len(self._entries) > ENTRIES_MAX:
                self._forget(next(iter(self._entries.values())))
        self._entries.move_to_end(key)
        return entry

    def _age_s(self, entry: _Entry) -> float:
        return 0.0 if entry.stale_since_s is None else self._clock.seconds() - entry.stale_since_s

    def _too_old(self, entry: _Entry, asked: QueryOptions) -> bool:
        return 0 < asked.max_age < self._age_s(entry) * 1e9

    def _may_be_stale(self, entry: _Entry, asked: QueryOptions) -> bool:
        return self._age_s(entry) * 1e9 <= asked.max_age + asked.stale_if_error

    async def _newer(self, entry: _Entry, asked: QueryOptions) -> None:
        """Wait until the index passes the one that is known, or the time is over."""
        wait_s = asked.max_query_time / 1e9 if asked.max_query_time > 0 else WAIT_S
        until_s = self._clock.seconds() + wait_s
        while entry.reply.meta.index <= asked.min_query_index:
            left_s = until_s - self._clock.seconds()
            if left_s <= 0:
                return
            try:
                await self._next(entry, left_s)
            except TimeoutError:
                return

    def _next(self, entry: _Entry, within_s: float | None) -> "Deferred[Any]":
        """The next reply that comes, or the error."""
        told: Deferred[Any] = Deferred(lambda gone: entry.waiting.remove(gone) if gone in entry.waiting else None)
        entry.waiting.append(told)
        if within_s is not None:
            told.addTimeout(within_s, self._clock)  # type: ignore[arg-type]
        if entry.running is None:
            self._ask(entry)
        return told

    def _ask(self, entry: _Entry) -> None:
        timer, entry.timer = entry.timer, None
        if timer is not None and timer.active():
            timer.cancel()
        known = entry.reply.meta.index if entry.reply is not None and not entry.failures else 0
        options = dataclasses.replace(entry.request.options, min_query_index=known)
        if known:
            options.max_query_time = int(WAIT_S * 1e9)
        running = self._caller.call(entry.method, dataclasses.replace(entry.request, options=options))
        entry.running = running
        running.addCallbacks(self._answered, self._failed, (entry,), errbackArgs=(entry,))

    def _answered(self, reply: Any, entry: _Entry) -> None:
        entry.running = None
        entry.reply, entry.stale_since_s, entry.failures = reply, None, 0
        self._tell(entry, reply)
        # Not at once: what is answered at once again and again must not keep the reactor busy.
        self._later(entry, 0)

    def _failed(self, failure: Failure, entry: _Entry) -> None:
        entry.running = None
        if failure.check(CancelledError):
            return
        entry.failures += 1
        if entry.stale_since_s is None:
            entry.stale_since_s = self._clock.seconds()
        self._tell(entry, failure)
        if entry.reply is not None:
            self._later(entry, min(RETRY_S * 2 ** (min(entry.failures, 16) - 1), RETRY_MAX_S))

    def _tell(self, entry: _Entry, result: Any) -> None:
        waiting, entry.waiting = entry.waiting, []
        for each in waiting:
            each.callback(result) if not isinstance(result, Failure) else each.errback(result)

    def _later(self, entry: _Entry, pause_s: float) -> None:
        if not entry.forgotten:
            entry.timer = self._clock.callLater(pause_s, self._refresh, entry)

    def _refresh(self, entry: _Entry) -> None:
        entry.timer = None
        if self._clock.seconds() - entry.used_s > UNUSED_S and not entry.waiting:
            self._forget(entry)
        elif entry.running is None:
            self._ask(entry)

    def _forget(self, entry: _Entry) -> None:
        if entry.forgotten:
            return
        entry.forgotten = True
        del self._entries[entry.key]
        if entry.timer is not None and entry.timer.active():
            entry.timer.cancel()
        running, entry.running = entry.running, None
        if running is not None:
            running.cancel()
        self._tell(entry, Failure(CancelledError()))


def _essence(options: QueryOptions) -> QueryOptions:
    """The options that make a difference to what is answered."""
    return QueryOptions(token=options.token, filter=options.filter)
