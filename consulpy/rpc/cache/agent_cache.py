"""Copies of replies, each kept fresh by a blocking read of our own for as long as somebody asks for it.

`?cached` reads them on every agent; on a client agent also whoever takes a stale answer (`caching_caller`).
A reader of a copy waits for no server. While no server answers, readers get what was last known, and its age.
Seen in real agents: `X-Cache: MISS`, then `HIT` with `Age: 0` while the refreshing works; any server may refresh.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError  # noqa: A004
from twisted.python.failure import Failure

from consulpy.backoff import backoff_s
from consulpy.clock import Clock, Timer
from consulpy.errors import RPCError
from consulpy.rpc.call import Caller, nobody_answered
from consulpy.structs.options import QueryOptions, QuerySource
from consulpy.structs.requests import NodeRequest, Read, ServiceRequest

#: Different questions that are kept; the one that was asked longest ago goes first.
ENTRIES_MAX: Final = 512
#: Questions of which is known that they were asked once; all are forgotten when there are more.
ONCE_MAX: Final = 4096
#: Whose copy was asked for in the last so many seconds keeps it although there is no room for another one.
IDLE_S: Final = 10.0
#: How long a copy outlives the last question for it, in seconds.
UNUSED_S: Final = 600.0
#: The longest wait of a reader who gives an index and no wait, in seconds.
WAIT_S: Final = 600.0
#: How long one refreshing read waits for a change, in seconds: so often what a server says of itself is news.
REFRESH_WAIT_S: Final = 60.0
#: How old a copy can be while its refreshing works, in seconds: the wait, what servers add to it, and the way.
AGE_MAX_S: Final = 2 * REFRESH_WAIT_S
#: The pause between a reply and the next refreshing read, in seconds: what changes all the time costs only so much.
PAUSE_S: Final = 0.05
#: The pause after no server could be reached, in seconds; it doubles up to the maximum.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 10.0

#: What a question is about: `NODE` or `SERVICE` and its name in lower case; two empty texts for all else.
Subject = tuple[str, str]
NODE: Final = "node"
SERVICE: Final = "service"


@dataclass(frozen=True, slots=True)
class CacheResult:
    """A reply, whether it was there already, and how long ago it was certain."""

    reply: Any
    hit: bool
    age_s: float = 0.0


class Writes(Protocol):
    """Knows what was written through this agent (`consulpy.rpc.call.ClientCaller`)."""

    @property
    def catalog_writes(self) -> int:
        """Changes of the catalog that went through this agent so far."""


Key = tuple[str, bytes]


@dataclass(slots=True, eq=False)
class _Entry:
    key: Key
    method: str
    request: Read
    subject: Subject
    reply: Any = None
    used_s: float = 0.0
    #: When the last reply came, and whether the last try to get another one failed.
    contact_s: float = 0.0
    failing: bool = False
    running: Deferred[Any] | None = None
    #: Whether what is running waits for a change.
    blocking: bool = False
    #: How much this agent had written when what is running, and the reply, were asked for.
    running_writes: int = 0
    writes: int = 0
    timer: Timer | None = None
    waiting: list[Deferred[Any]] = field(default_factory=list)
    forgotten: bool = False
    #: For whose rights it was made.
    rights: Hashable = None


class AgentCache:
    """The copies of one agent. `writes`: who sees his own registrations at once; None where reads are never behind."""

    def __init__(self, caller: Caller, clock: Clock, writes: Writes | None = None) -> None:
        self._caller = caller
        self._clock = clock
        self._writes = writes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        #: Questions that were asked once, by hash.
        self._once: set[int] = set()
        self._subjects: dict[Subject, set[_Entry]] = {}
        self._versions: dict[Subject, int] = {}
        #: What answers that were made from copies, and kept, were asked about.
        self._asked: set[Subject] = set()
        self._numbers = count(1)
        #: Who tries to reach a server again, how often that failed in a row, and until when nobody tries.
        self._trying: _Entry | None = None
        self._failures = 0
        self._quiet_until_s = 0.0
        #: Answers from a copy and not; of the former, those while no server answered, and their ages together (ms).
        self.hits = self.misses = self.stale = 0
        self.stale_ms = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    async def read(
        self, method: str, request: Read, *, keep_first: bool = True, rights: Hashable = None
    ) -> CacheResult:
        """The answer to a read. With an index it waits for a newer one, like a blocking read.

        `rights`: what the reader may see; a copy that was made for other rights is forgotten.
        It is kept from now on; without `keep_first` only if the same was asked before. Raises `RPCError` when there is
        no answer and none can be had.
        """
        entry = self._entry(method, request, keep_first)
        if entry is not None and entry.rights != rights:
            if entry.reply is not None or entry.running is not None:
                self._forget(entry)
                entry = self._entry(method, request, keep_first)
            if entry is not None:
                entry.rights = rights
        if entry is None:
            self.misses += 1
            reply = await self._caller.call(method, request)
            self._pass_by(subject_of(request))
            return CacheResult(reply, hit=False)
        asked = request.options
        entry.used_s = self._clock.seconds()
        hit = entry.reply is not None
        if not hit or self._too_old(entry, asked):
            try:
                await self._fresh(entry)
            except RPCError as error:
                if entry.reply is None or not nobody_answered(error):
                    raise
                if asked.use_cache and not self._may_be_stale(entry, asked):
                    raise
        elif entry.failing:
            self._retry(entry)  # for the next reader
        if asked.min_query_index and entry.reply.meta.index <= asked.min_query_index:
            await self._newer(entry, asked)
        return self._copy(entry, hit)

    def version(self, subject: Subject) -> Hashable | None:
        """Equal as long as nothing changed in the copies about something; None while they aren't certain, or none.

        To ask for it is to use the copies: who keeps answers that were made from them asks them for nothing else.
        """
        number = self._versions.get(subject)
        if number is None:
            return None
        self._asked.add(subject)
        return number, self._written()

    def close(self) -> None:
        """Forget everything, and ask no more."""
        for entry in list(self._entries.values()):
            self._forget(entry)

    # -- entries

    def _entry(self, method: str, request: Read, keep_first: bool) -> _Entry | None:
        """Where the answer is kept; None if it isn't going to be."""
        bare = _bare(request)
        key = (method, bare.pack())
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        if not keep_first and hash(key) not in self._once:
            if len(self._once) >= ONCE_MAX:
                self._once.clear()
            self._once.add(hash(key))
            return None
        if len(self._entries) >= ENTRIES_MAX and not self._make_room():
            return None
        entry = self._entries[key] = _Entry(key, method, bare, subject_of(bare))
        self._subjects.setdefault(entry.subject, set()).add(entry)
        self._renew(entry.subject)
        return entry

    def _make_room(self) -> bool:
        """Forget the copy that was asked for longest ago, unless that was a moment ago: a flood gets no copies."""
        oldest = next(iter(self._entries.values()))
        if oldest.waiting:
            self._entries.move_to_end(oldest.key)
            return False
        if self._clock.seconds() - oldest.used_s < IDLE_S:
            return False
        self._forget(oldest)
        return True

    def _forget(self, entry: _Entry) -> None:
        if entry.forgotten:
            return
        entry.forgotten = True
        del self._entries[entry.key]
        self._subjects[entry.subject].discard(entry)
        self._renew(entry.subject)
        self._stop(entry)
        _tell(entry, Failure(CancelledError()))

    def _stop(self, entry: _Entry) -> None:
        timer, entry.timer = entry.timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if self._trying is entry:
            self._trying = None
        running, entry.running = entry.running, None
        if running is not None:
            running.cancel()

    def _pass_by(self, subject: Subject) -> None:
        """Somebody was answered without a copy: nothing will say when that answer changes."""
        if subject in self._versions:
            self._renew(subject)

    def _renew(self, subject: Subject) -> None:
        """Something about a subject changed: a new version, if all that is known of it is certain."""
        entries = self._subjects.get(subject)
        if not entries:
            self._subjects.pop(subject, None)
            self._asked.discard(subject)
        if entries and all(entry.reply is not None and not entry.failing for entry in entries):
            self._versions[subject] = next(self._numbers)
        else:
            self._versions.pop(subject, None)

    # -- how old

    def _written(self) -> int:
        return self._writes.catalog_writes if self._writes is not None else 0

    def _age_s(self, entry: _Entry) -> float:
        """How long ago this was certain, in seconds."""
        age_s: float = entry.reply.meta.last_contact / 1e9
        return age_s + self._clock.seconds() - entry.contact_s if entry.failing else age_s

    def _too_old(self, entry: _Entry, asked: QueryOptions) -> bool:
        """Whether a reader must not get this without asking a server."""
        if entry.writes < self._written():
            return True  # who writes wants to read it
        if asked.use_cache:
            return 0 < asked.max_age < self._age_s(entry) * 1e9
        age_s: float = entry.reply.meta.last_contact / 1e9 + self._clock.seconds() - entry.contact_s
        return 0 < asked.max_stale_duration < age_s * 1e9

    def _may_be_stale(self, entry: _Entry, asked: QueryOptions) -> bool:
        return not asked.max_age or self._age_s(entry) * 1e9 <= asked.max_age + asked.stale_if_error

    def _copy(self, entry: _Entry, hit: bool) -> CacheResult:
        reply, age_s = entry.reply, self._age_s(entry)
        self.hits += hit
        self.misses += not hit
        if entry.failing:
            self.stale += 1
            self.stale_ms += 1000 * age_s
            meta = dataclasses.replace(reply.meta, last_contact=int(age_s * 1e9), known_leader=False)
            reply = dataclasses.replace(reply, meta=meta)
        return CacheResult(reply, hit, age_s)

    # -- asking

    async def _newer(self, entry: _Entry, asked: QueryOptions) -> None:
        """Wait until the index passes the one that is known, or the time is over."""
        wait_s = asked.max_query_time / 1e9 if asked.max_query_time > 0 else WAIT_S
        until_s = self._clock.seconds() + wait_s
        while entry.reply.meta.index <= asked.min_query_index:
            left_s = until_s - self._clock.seconds()
            if left_s <= 0:
                return
            told = self._next(entry)
            told.addTimeout(left_s, self._clock)  # type: ignore[arg-type]
            try:
                await told
            except TimeoutError:
                return

    def _fresh(self, entry: _Entry) -> "Deferred[Any]":
        """A reply that is asked for now, or the error."""
        if entry.running is not None and (entry.blocking or entry.running_writes < self._written()):
            self._stop(entry)
        told = self._next(entry)
        if entry.running is None:
            self._ask(entry, wait=False)
        return told

    def _next(self, entry: _Entry) -> "Deferred[Any]":
        """The next reply that comes, or the error."""
        told: Deferred[Any] = Deferred(lambda gone: entry.waiting.remove(gone) if gone in entry.waiting else None)
        entry.waiting.append(told)
        return told

    def _ask(self, entry: _Entry, *, wait: bool) -> None:
        timer, entry.timer = entry.timer, None
        if timer is not None and timer.active():
            timer.cancel()
        options = dataclasses.replace(entry.request.options, allow_stale=True)
        if wait:
            options.min_query_index = max(entry.reply.meta.index, 1)
            options.max_query_time = int(REFRESH_WAIT_S * 1e9)
        entry.blocking, entry.running_writes = wait, self._written()
        asked = self._caller.call(entry.method, dataclasses.replace(entry.request, options=options))
        entry.running = asked
        asked.addCallbacks(self._answered, self._failed, (entry, asked), errbackArgs=(entry, asked))

    def _answered(self, reply: Any, entry: _Entry, asked: "Deferred[Any]") -> None:
        if entry.running is not asked:
            return
        entry.running = None
        entry.reply, entry.contact_s, entry.failing = reply, self._clock.seconds(), False
        entry.writes = entry.running_writes
        self._trying, self._failures, self._quiet_until_s = None, 0, 0.0
        self._renew(entry.subject)
        _tell(entry, reply)
        self._later(entry, PAUSE_S)

    def _failed(self, failure: Failure, entry: _Entry, asked: "Deferred[Any]") -> None:
        if entry.running is not asked:
            return
        entry.running = None
        if entry.reply is None or not nobody_answered(failure.value):
            _tell(entry, failure)  # a server's own answer: whoever asks next gets it first hand
            self._forget(entry)
            return
        entry.failing = True
        now_s = self._clock.seconds()
        if not self._failures or self._trying is entry:
            self._failures += 1
            self._quiet_until_s = now_s + backoff_s(self._failures, RETRY_S, RETRY_MAX_S)
            self._trying = None
        self._renew(entry.subject)
        _tell(entry, failure)
        self._later(entry, max(self._quiet_until_s - now_s, PAUSE_S))

    def _later(self, entry: _Entry, pause_s: float) -> None:
        if not entry.forgotten:
            entry.timer = self._clock.callLater(pause_s, self._refresh, entry)

    def _refresh(self, entry: _Entry) -> None:
        entry.timer = None
        if entry.subject in self._asked:
            self._asked.discard(entry.subject)
            for each in self._subjects[entry.subject]:
                each.used_s = self._clock.seconds()
        if self._clock.seconds() - entry.used_s > UNUSED_S and not entry.waiting:
            self._forget(entry)
        elif entry.running is not None:
            return
        elif entry.failing:
            self._retry(entry)
        else:
            self._ask(entry, wait=True)

    def _retry(self, entry: _Entry) -> None:
        """Try to reach a server, unless another copy does, or did a moment ago."""
        now_s = self._clock.seconds()
        if entry.running is not None:
            return
        if self._trying is None and now_s >= self._quiet_until_s:
            self._trying = entry if self._failures else None
            self._ask(entry, wait=False)
        elif entry.timer is None:
            self._later(entry, max(self._quiet_until_s - now_s, RETRY_S))


def subject_of(request: Read) -> Subject:
    """What a question is about."""
    if isinstance(request, ServiceRequest):
        return SERVICE, request.service_name.lower()
    if isinstance(request, NodeRequest):
        return NODE, request.node.lower()
    return "", ""


def _tell(entry: _Entry, result: Any) -> None:
    waiting, entry.waiting = entry.waiting, []
    for each in waiting:
        each.callback(result) if not isinstance(result, Failure) else each.errback(result)


def _bare(request: Read) -> Read:
    """A question without what makes no difference to what is answered."""
    asked = request.options
    bare = dataclasses.replace(request, options=QueryOptions(token=asked.token, filter=asked.filter))
    source = getattr(bare, "source", None)
    if source is not None and not source.node:  # who asks matters to the order by distance only
        bare.source = QuerySource()  # type: ignore[attr-defined]
    return bare
