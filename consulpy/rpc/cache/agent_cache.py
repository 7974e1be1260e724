"""The agent cache: replies of servers, each refreshed by a blocking query for as long as it is read.

`?cached` reads it on every agent; on a client agent stale reads do too (`caching_caller`). A hit waits for no server.
While no server answers, the last reply is returned with its age. As in real agents: `X-Cache: MISS`, then `HIT` with
`Age: 0` while the refresh works; any server may answer it. Source: Consul's `agent/cache`.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import field
from functools import partial
from itertools import count
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError  # noqa: A004
from twisted.python.failure import Failure

from consulpy.backoff import backoff_s
from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import RPCError
from consulpy.rpc.cache.tag import NODE, SERVICE, CacheTag
from consulpy.rpc.call import no_server_answered
from consulpy.rpc.caller import Caller
from consulpy.rpc.limits.time_slice import slicer_on
from consulpy.shared_result import SharedResult
from consulpy.structs.options import QueryOptions, QuerySource
from consulpy.structs.requests import NodeRequest, Read, ServiceRequest

#: Entries; above it the one that was read longest ago is evicted.
ENTRIES_MAX: Final = 512
#: Hashes of requests that were seen once; above it all are removed.
SEEN_MAX: Final = 4096
#: An entry that was read within this time is not evicted, in seconds.
EVICTION_MIN_IDLE_S: Final = 10.0
#: An entry expires this long after its last read, in seconds.
TTL_S: Final = 600.0
#: The longest wait of a read with an index and without a wait, in seconds.
WAIT_S: Final = 600.0
#: `MaxQueryTime` of a refresh, in seconds: a reply's metadata is at most this old.
REFRESH_WAIT_S: Final = 60.0
#: The same for replies that depend on rights, in seconds: servers judge anew when they reply, not when rights change.
RIGHTS_WAIT_S: Final = 30.0
#: The oldest that an entry gets while its refresh works, in seconds: the wait, a server's jitter, the way.
AGE_MAX_S: Final = 2 * REFRESH_WAIT_S
#: The pause between a reply and the next refresh, in seconds: limits the cost of entries that change all the time.
PAUSE_S: Final = 0.05
#: The pause after no server could be reached, in seconds; it doubles up to the maximum.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 10.0


class RightsChanged(Exception):
    """The entry was removed, as its token has other rights now: read again."""


@dataclass(frozen=True, slots=True)
class CacheResult:
    """A reply, whether it was a hit, and its age in seconds."""

    reply: Any
    hit: bool
    age_s: float = 0.0


class Writes(Protocol):
    """Counts the writes through this agent (`consulpy.rpc.call.ClientCaller`)."""

    @property
    def catalog_writes(self) -> int:
        """Number of catalog writes so far."""


Key = tuple[str, bytes]


@dataclass(slots=True, eq=False)
class _Entry:
    key: Key
    method: str
    request: Read
    tag: CacheTag
    reply: Any = None
    used_s: float = 0.0
    #: When the last reply came, and whether the last refresh failed.
    contact_s: float = 0.0
    failing: bool = False
    running: Deferred[Any] | None = None
    #: Whether the running call is a blocking query.
    blocking: bool = False
    #: `Writes.catalog_writes` when the running call, and the call of the reply, began.
    running_writes: int = 0
    writes: int = 0
    timer: Timer | None = None
    waiting: SharedResult[Any] = field(default_factory=SharedResult)
    removed: bool = False
    #: The rights that it was read with.
    rights: Hashable = None


class AgentCache:
    """The agent cache of one agent.

    `writes`: a client that wrote through this agent reads its write; None on a server, whose reads are never behind.
    """

    def __init__(self, caller: Caller, clock: Clock, writes: Writes | None = None) -> None:
        self._caller = caller
        self._clock = clock
        self._woken = slicer_on(clock)
        self._writes = writes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        #: Hashes of requests that were seen once.
        self._seen: set[int] = set()
        self._tagged: dict[CacheTag, set[_Entry]] = {}
        self._validators: dict[CacheTag, int] = {}
        #: Tags whose validator was read since their last refresh: responses that depend on them are cached elsewhere.
        self._validated: set[CacheTag] = set()
        self._numbers = count(1)
        #: The entry that retries to reach a server, failures in a row, and when the next retry may begin.
        self._retrying: _Entry | None = None
        self._failures = 0
        self._retry_at_s = 0.0
        #: Hits and misses; hits while no server answered, and the sum of their ages in milliseconds.
        self.hits = self.misses = self.stale = 0
        self.stale_ms = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    async def read(
        self, method: str, request: Read, *, cache_first: bool = True, rights: Hashable = None
    ) -> CacheResult:
        """The reply to a read. With an index it waits for a newer one, like a blocking query.

        `rights`: the rights of the token; an entry with other rights is removed. The reply is cached from now on;
        without `cache_first` only if the request was seen before. Raises `RPCError` when there is no reply and no
        server gives one; `RightsChanged` if another read of the same came with other rights meanwhile.
        """
        entry = self._entry(method, request, cache_first)
        if entry is not None and entry.rights != rights:
            if entry.reply is not None or entry.running is not None:
                self._remove(entry, RightsChanged())
                entry = self._entry(method, request, cache_first)
            if entry is not None:
                entry.rights = rights
        if entry is None:
            self.misses += 1
            reply = await self._caller.call(method, request)
            self._bypassed(tag_of(request))
            return CacheResult(reply, hit=False)
        options = request.options
        entry.used_s = self._clock.seconds()
        hit = entry.reply is not None
        if not hit or self._too_old(entry, options):
            try:
                await self._fetch(entry)
            except RPCError as error:
                if entry.reply is None or not no_server_answered(error):
                    raise
                if options.use_cache and not self._may_be_stale(entry, options):
                    raise
        elif entry.failing:
            self._retry(entry)  # for the next read
        if options.min_query_index and entry.reply.meta.index <= options.min_query_index:
            await self._newer(entry, options)
        return self._result(entry, hit)

    def validator(self, tag: CacheTag) -> Hashable | None:
        """Equal while no entry with this tag changes; None while one of them may be stale, or there is none.

        Counts as a read of these entries: a cache that validates its responses by this reads them no other way.
        """
        number = self._validators.get(tag)
        if number is None:
            return None
        self._validated.add(tag)
        return number, self._written()

    def close(self) -> None:
        """Remove all entries and cancel their refreshes."""
        for entry in list(self._entries.values()):
            self._remove(entry)

    # -- entries

    def _entry(self, method: str, request: Read, cache_first: bool) -> _Entry | None:
        """The entry of a request, new if need be; None if it is not to be cached."""
        keyed = _cache_key_request(request)
        key = (method, keyed.pack())
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        if not cache_first and hash(key) not in self._seen:
            if len(self._seen) >= SEEN_MAX:
                self._seen.clear()
            self._seen.add(hash(key))
            return None
        if len(self._entries) >= ENTRIES_MAX and not self._evict():
            return None
        entry = self._entries[key] = _Entry(key, method, keyed, tag_of(keyed))
        self._tagged.setdefault(entry.tag, set()).add(entry)
        self._renew(entry.tag)
        return entry

    def _evict(self) -> bool:
        """Remove the entry that was read longest ago, if it is idle: a flood of requests is not cached.

        Whether it was.
        """
        oldest = next(iter(self._entries.values()))
        if oldest.waiting:
            self._entries.move_to_end(oldest.key)
            return False
        if self._clock.seconds() - oldest.used_s < EVICTION_MIN_IDLE_S:
            return False
        self._remove(oldest)
        return True

    def _remove(self, entry: _Entry, why: Exception | None = None) -> None:
        if entry.removed:
            return
        entry.removed = True
        del self._entries[entry.key]
        self._tagged[entry.tag].discard(entry)
        self._renew(entry.tag)
        self._stop(entry)
        entry.waiting.fire(Failure(why or CancelledError()))

    def _stop(self, entry: _Entry) -> None:
        cancel_timer(entry.timer)
        entry.timer = None
        if self._retrying is entry:
            self._retrying = None
        running, entry.running = entry.running, None
        if running is not None:
            running.cancel()

    def _bypassed(self, tag: CacheTag) -> None:
        """A reply was not cached: what depends on it is valid no longer."""
        if tag in self._validators:
            self._renew(tag)

    def _renew(self, tag: CacheTag) -> None:
        """Give a tag a new validator after a change; none while one of its entries may be stale."""
        entries = self._tagged.get(tag)
        if not entries:
            self._tagged.pop(tag, None)
            self._validated.discard(tag)
        if entries and all(entry.reply is not None and not entry.failing for entry in entries):
            self._validators[tag] = next(self._numbers)
        else:
            self._validators.pop(tag, None)

    # -- age

    def _written(self) -> int:
        return self._writes.catalog_writes if self._writes is not None else 0

    def _age_s(self, entry: _Entry) -> float:
        """The age of the reply, in seconds."""
        age_s: float = entry.reply.meta.last_contact / 1e9
        return age_s + self._clock.seconds() - entry.contact_s if entry.failing else age_s

    def _too_old(self, entry: _Entry, options: QueryOptions) -> bool:
        """Whether the reply is too old for these options, or older than a write through this agent."""
        if entry.writes < self._written():
            return True
        if options.use_cache:
            return 0 < options.max_age < self._age_s(entry) * 1e9
        age_s: float = entry.reply.meta.last_contact / 1e9 + self._clock.seconds() - entry.contact_s
        return 0 < options.max_stale_duration < age_s * 1e9

    def _may_be_stale(self, entry: _Entry, options: QueryOptions) -> bool:
        return not options.max_age or self._age_s(entry) * 1e9 <= options.max_age + options.stale_if_error

    def _result(self, entry: _Entry, hit: bool) -> CacheResult:
        reply, age_s = entry.reply, self._age_s(entry)
        self.hits += hit
        self.misses += not hit
        if entry.failing:
            self.stale += 1
            self.stale_ms += 1000 * age_s
            meta = dataclasses.replace(reply.meta, last_contact=int(age_s * 1e9), known_leader=False)
            reply = dataclasses.replace(reply, meta=meta)
        return CacheResult(reply, hit, age_s)

    # -- calls

    async def _newer(self, entry: _Entry, options: QueryOptions) -> None:
        """Wait until the index passes that of `options`, or its wait is over."""
        wait_s = options.max_query_time / 1e9 if options.max_query_time > 0 else WAIT_S
        until_s = self._clock.seconds() + wait_s
        while entry.reply.meta.index <= options.min_query_index:
            left_s = until_s - self._clock.seconds()
            if left_s <= 0:
                return
            reply = entry.waiting.next()
            reply.addTimeout(left_s, self._clock)  # type: ignore[arg-type]
            try:
                await reply
            except TimeoutError:
                return

    def _fetch(self, entry: _Entry) -> "Deferred[Any]":
        """Call a server now; the reply, or the error."""
        if entry.running is not None and (entry.blocking or entry.running_writes < self._written()):
            self._stop(entry)
        reply = entry.waiting.next()
        if entry.running is None:
            self._call(entry, wait=False)
        return reply

    def _call(self, entry: _Entry, *, wait: bool) -> None:
        cancel_timer(entry.timer)
        entry.timer = None
        options = dataclasses.replace(entry.request.options, allow_stale=True)
        if wait:
            options.min_query_index = max(entry.reply.meta.index, 1)
            options.max_query_time = int((REFRESH_WAIT_S if entry.rights is None else RIGHTS_WAIT_S) * 1e9)
        entry.blocking, entry.running_writes = wait, self._written()
        call = self._caller.call(entry.method, dataclasses.replace(entry.request, options=options))
        entry.running = call
        call.addCallbacks(self._received, self._failed, (entry, call), errbackArgs=(entry, call))

    def _received(self, reply: Any, entry: _Entry, call: "Deferred[Any]") -> None:
        if entry.running is not call:
            return
        entry.running = None
        entry.reply, entry.contact_s, entry.failing = reply, self._clock.seconds(), False
        entry.writes = entry.running_writes
        self._retrying, self._failures, self._retry_at_s = None, 0, 0.0
        self._renew(entry.tag)
        self._answer(entry, reply)
        self._schedule(entry, PAUSE_S)

    def _answer(self, entry: _Entry, reply: Any) -> None:
        """Give all that wait the reply, a slice of time in each turn: they may be thousands."""
        self._woken.begin()
        for done in entry.waiting.taken():
            self._woken.submit(done, partial(_give, done, reply))

    def _failed(self, failure: Failure, entry: _Entry, call: "Deferred[Any]") -> None:
        if entry.running is not call:
            return
        entry.running = None
        if entry.reply is None or not no_server_answered(failure.value):
            entry.waiting.fire(failure)  # an error of a server: the next read calls again
            self._remove(entry)
            return
        entry.failing = True
        now_s = self._clock.seconds()
        if not self._failures or self._retrying is entry:
            self._failures += 1
            self._retry_at_s = now_s + backoff_s(self._failures, RETRY_S, RETRY_MAX_S)
            self._retrying = None
        self._renew(entry.tag)
        entry.waiting.fire(failure)
        self._schedule(entry, max(self._retry_at_s - now_s, PAUSE_S))

    def _schedule(self, entry: _Entry, pause_s: float) -> None:
        if not entry.removed:
            entry.timer = self._clock.callLater(pause_s, self._refresh, entry)

    def _refresh(self, entry: _Entry) -> None:
        entry.timer = None
        if entry.tag in self._validated:
            self._validated.discard(entry.tag)
            for each in self._tagged[entry.tag]:
                each.used_s = self._clock.seconds()
        if self._clock.seconds() - entry.used_s > TTL_S and not entry.waiting:
            self._remove(entry)
        elif entry.running is not None:
            return
        elif entry.failing:
            self._retry(entry)
        else:
            self._call(entry, wait=True)

    def _retry(self, entry: _Entry) -> None:
        """Try to reach a server, unless another entry does, or did so less than the pause ago."""
        now_s = self._clock.seconds()
        if entry.running is not None:
            return
        if self._retrying is None and now_s >= self._retry_at_s:
            self._retrying = entry if self._failures else None
            self._call(entry, wait=False)
        elif entry.timer is None:
            self._schedule(entry, max(self._retry_at_s - now_s, RETRY_S))


def tag_of(request: Read) -> CacheTag:
    """The tag of a request."""
    if isinstance(request, ServiceRequest):
        return SERVICE, request.service_name.lower()
    if isinstance(request, NodeRequest):
        return NODE, request.node.lower()
    return "", ""


def _give(waiting: "Deferred[Any]", reply: Any) -> None:
    """The reply, unless the caller was cancelled meanwhile."""
    if not waiting.called:
        waiting.callback(reply)


def _cache_key_request(request: Read) -> Read:
    """A request without the options that do not change the reply."""
    options = request.options
    keyed = dataclasses.replace(request, options=QueryOptions(token=options.token, filter=options.filter))
    source = getattr(keyed, "source", None)
    if source is not None and not source.node:  # the source only matters to the order by distance
        keyed.source = QuerySource()  # type: ignore[attr-defined]
    return keyed
