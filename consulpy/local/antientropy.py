"""Anti-entropy: the catalog's idea of this node is made equal to what the agent itself knows.

A *partial* sync sends what changed, at once, many changes together. A *full* sync reads what the catalog has, compares,
and sends the differences: at the start, when a server appears, after a failure, and about every minute.
docs/wire/rpc.md section 9; tests/vectors/rpc/Catalog.Register.json.
"""

import math
from collections.abc import Callable, Coroutine, Iterator
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer
from consulpy.errors import NoLeader, NoServers, RPCError, WireError
from consulpy.local.compare import compare
from consulpy.local.entries import CheckEntry, Entries, ServiceEntry
from consulpy.structs.node import Node
from consulpy.structs.options import QueryOptions
from consulpy.structs.record import Record
from consulpy.structs.requests import (
    DeregisterRequest,
    HealthChecksReply,
    NodeRequest,
    NodeServiceListReply,
    RegisterRequest,
)

_log = Logger()

#: Seconds between full syncs, without the random part of up to as much again.
FULL_INTERVAL_S: Final = 60.0
#: Seconds after a failed sync until a full one is tried, without the random part of up to as much again.
RETRY_INTERVAL_S: Final = 15.0
#: A new server is asked after a random part of this, in seconds.
SERVER_UP_WITHIN_S: Final = 3.0
#: Above this many members the random parts grow.
SCALE_FROM: Final = 128
#: What a sync may read that is this old, in nanoseconds.
_MAX_STALE_NS: Final = 2_000_000_000
#: A call that is not answered after this many seconds is given up; the next full sync repairs what it left.
CALL_TIMEOUT_S: Final = 120.0
#: Partial syncs begin at least so many seconds apart: one alone waits for nothing, a stream of changes goes together.
SPACING_S: Final = 0.02
#: How many calls of one sync are under way at once: the servers store together what comes together.
PARALLEL: Final = 8
#: After so many refusals in one sync the rest waits for the next one.
MAX_REFUSED: Final = 16


class _Caller(Protocol):
    def call(self, method: str, request: Record) -> Deferred[Any]: ...


class _Local(Protocol):
    """What is made equal: `consulpy.local.state.LocalState`."""

    @property
    def entries(self) -> Entries: ...


def scale(cluster_size: int) -> int:
    """By how much random parts grow: 1 up to 128 members, then ceil(log2(members / 128)) + 1."""
    return 1 if cluster_size <= SCALE_FROM else math.ceil(math.log2(cluster_size / SCALE_FROM)) + 1


class AntiEntropy:
    """Keeps the catalog equal to `local` from `start` to `stop`.

    `cluster_size()`: members of the LAN pool. `token()`: the agent's own token, for what has none of its own.
    """

    def __init__(
        self,
        caller: _Caller,
        local: _Local,
        clock: Clock,
        rng: Random,
        cluster_size: Callable[[], int],
        *,
        token: Callable[[], str] = lambda: "",
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._caller = caller
        self._entries = local.entries
        self._clock = clock
        self._rng = rng
        self._cluster_size = cluster_size
        self._token = token
        self._call_timeout_s = call_timeout_s
        self._full_timer: Timer | None = None
        self._full_at_s = math.inf
        self._partial_timer: Timer | None = None
        self._partial_began_s = -math.inf
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

    def changed(self) -> None:
        """Something changed here: partial sync, at the end of this turn of the clock, or `SPACING_S` after the last."""
        if self._started and self._partial_timer is None:
            delay_s = max(0.0, self._partial_began_s + SPACING_S - self._clock.seconds())
            self._partial_timer = self._clock.callLater(delay_s, self._partial)

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
        self._run(Deferred.fromCoroutine(self._sync_full()), full=True)

    def _partial(self) -> None:
        self._partial_timer = None
        if self._running is None:
            self.partial_syncs += 1
            self._partial_began_s = self._clock.seconds()
            self._run(Deferred.fromCoroutine(self._sync_changes()), full=False)
        # else: `_ended` starts the next one

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

    async def _call(self, method: str, request: Record) -> Any:
        waiting = self._caller.call(method, request)
        timer = self._clock.callLater(self._call_timeout_s, waiting.cancel)
        try:
            return await waiting
        finally:
            if timer.active():
                timer.cancel()

    async def _sync_full(self) -> None:
        services: NodeServiceListReply = await self._call("Catalog.NodeServiceList", self._read())
        checks: HealthChecksReply = await self._call("Health.NodeChecks", self._read())
        theirs = services.node_services
        compare(self._entries, theirs.node, theirs.services or (), checks.health_checks or ())
        await self._sync_changes()

    def _read(self) -> NodeRequest:
        node = self._entries.node
        options = QueryOptions(token=self._token(), allow_stale=True, max_stale_duration=_MAX_STALE_NS)
        return NodeRequest(datacenter=node.datacenter, node=node.node, options=options)

    async def _sync_changes(self) -> None:
        """Send everything that is not in sync: services with their checks, other checks, the node by itself last.

        What the servers refuse does not keep the rest from being sent; the first refusal is raised at the end.
        """
        entries = self._entries
        refused: list[RPCError] = []
        await self._all(
            self._or_refused(self._tell_service(service_id, service), [service], refused)
            for service_id, service in list(entries.services_to_tell().items())
        )
        await self._all(
            self._or_refused(self._tell_check(check_id, check), [check], refused)
            for check_id, check in list(entries.checks_to_tell().items())
        )
        if not entries.node_in_sync:
            await self._call("Catalog.Register", self._registration(self._token()))
            entries.node_in_sync = True
        if refused:
            raise refused[0]

    async def _all(self, changes: Iterator[Coroutine[Any, Any, None]]) -> None:
        """Await all of them, some at once; the first that raises ends all. Each is made when its turn comes."""
        if not self._entries.node_in_sync:
            for change in changes:  # it tells of the node, too
                await change
                break
        workers = [Deferred.fromCoroutine(_one_by_one(changes)) for _ in range(PARALLEL)]
        try:
            await gatherResults(workers, consumeErrors=True)
        except FirstError as error:
            for worker in workers:
                worker.cancel()
            error.subFailure.raiseException()

    async def _tell_service(self, service_id: str, entry: ServiceEntry) -> None:
        if self._entries.services.get(service_id) is entry and not entry.in_sync:
            await (self._deregister_service if entry.deleted else self._register_service)(service_id)

    async def _tell_check(self, check_id: str, entry: CheckEntry) -> None:
        if self._entries.checks.get(check_id) is entry and not entry.in_sync:
            await (self._deregister_check if entry.deleted else self._register_check)(check_id)

    async def _or_refused(self, change: Coroutine[Any, Any, None], told: list[Any], refused: list[RPCError]) -> None:
        """Await `change`. What a token may not do is not tried again before it changes; other refusals are noted."""
        try:
            await change
        except (NoServers, NoLeader):
            raise
        except RPCError as error:
            if any(text in str(error) for text in ("Permission denied", "ACL not found")):
                _log.warn("anti-entropy: {error}", error=str(error))
                for entry in told:
                    entry.in_sync = True
            elif "No cluster leader" in str(error) or len(refused) >= MAX_REFUSED:
                raise
            else:
                refused.append(error)

    def _registration(self, token: str) -> RegisterRequest:
        node: Node = self._entries.node
        return RegisterRequest(
            datacenter=node.datacenter,
            id=node.id,
            node=node.node,
            address=node.address,
            tagged_addresses=node.tagged_addresses,
            node_meta=node.meta,
            skip_node_update=self._entries.node_in_sync,
            token=token or self._token(),
        )

    async def _register_service(self, service_id: str) -> None:
        entry = self._entries.services[service_id]
        request = self._registration(entry.token)
        request.service = entry.service
        checks = [
            check
            for check in self._entries.checks_of(service_id)
            if not (check.in_sync or check.deleted) and check.token == entry.token
        ]
        if len(checks) == 1:
            request.check = checks[0].check
        elif checks:
            request.checks = [check.check for check in checks]
        await self._send(request, [entry, *checks])

    async def _register_check(self, check_id: str) -> None:
        entry = self._entries.checks[check_id]
        request = self._registration(entry.token)
        request.service = self._entries.service(entry.check.service_id)
        request.check = entry.check
        await self._send(request, [entry])

    async def _send(self, request: RegisterRequest, told: list[Any]) -> None:
        """Register; what was told is in sync if it did not change meanwhile."""
        before = [_content(entry) for entry in told]
        await self._call("Catalog.Register", request)
        self._entries.node_in_sync = True
        for entry, content in zip(told, before, strict=True):
            if _content(entry) is content and not entry.deleted:
                entry.in_sync = True

    async def _deregister_service(self, service_id: str) -> None:
        entry = self._entries.services[service_id]
        await self._deregister(entry.token, service_id=service_id)
        if self._entries.services.get(service_id) is entry:
            self._entries.forget_service(service_id)

    async def _deregister_check(self, check_id: str) -> None:
        entry = self._entries.checks[check_id]
        await self._deregister(entry.token, check_id=check_id)
        if self._entries.checks.get(check_id) is entry:
            self._entries.forget_check(check_id)

    async def _deregister(self, token: str, service_id: str = "", check_id: str = "") -> None:
        node = self._entries.node
        request = DeregisterRequest(
            datacenter=node.datacenter,
            node=node.node,
            service_id=service_id,
            check_id=check_id,
            token=token or self._token(),
        )
        try:
            await self._call("Catalog.Deregister", request)
        except RPCError as error:
            if "Unknown service" not in str(error) and "Unknown check" not in str(error):
                raise


async def _one_by_one(changes: Iterator[Coroutine[Any, Any, None]]) -> None:
    for change in changes:
        await change


def _content(entry: Any) -> Any:
    return entry.check if isinstance(entry, CheckEntry) else entry.service
