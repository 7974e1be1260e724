"""A feed: the instances of one service as one token sees them, followed by a blocking query, for all its subscribers.

    snapshot: an event of each instance, EndOfSnapshot   (after NewSnapshotToFollow, if the client had another state)
    change:   one event, or a batch of them, of what was registered or deregistered since

All clients of a service with the same token share one query, and the bytes of its events. When what they see changes
in a way that no event tells (the rights of the token, a restored snapshot), they are told to begin anew (`ABORTED`).
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.errors import BadRequest, NoLeader, NoServerAnswered, RPCError
from consulpy.log import Logger
from consulpy.rpc.acl.resolver import Identity
from consulpy.rpc.dispatch import method_named
from consulpy.rpc.grpc.framing import Code, framed
from consulpy.rpc.subscribe.messages import Op, batches, health_event
from consulpy.rpc.subscribe.snapshot import Row, Snapshot
from consulpy.state.watch import Watch, WatchSet
from consulpy.structs.requests import ServiceRequest
from consulpy.structs.service import CheckServiceNode

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

_log = Logger()

#: Bytes of changes that may wait for one subscriber; above it, it must begin anew.
BACKLOG_MAX_BYTES: Final = 4 * 2**20
#: How long a subscriber may take for its snapshot while the service changes, in seconds.
SNAPSHOT_MAX_S: Final = 60.0
#: Time of one turn for the subscribers of a feed, in seconds.
SLICE_S: Final = 0.01
#: Pause after a reply that changed nothing, in seconds: queries about a service without instances are woken by every
#: change of the catalog.
NO_CHANGE_PAUSE_S: Final = 0.05
_METHOD: Final = "Health.ServiceNodes"
#: The text of newer servers that ends a subscription.
RESET: Final = "subscription closed by server, client must reset state and resubscribe"

_Key = tuple[str, str]


class Subscriber(Protocol):
    """Receiver of the events of a subscription (`consulpy.rpc.grpc.call.Call`)."""

    waiting_bytes: int

    @property
    def is_streaming(self) -> bool:
        """Whether messages of `stream` are still to come."""

    def stream(self, source: Iterator[bytes], count: int) -> None:
        """Send about `count` parts, each of whole framed messages, made when it can be taken."""

    def send(self, messages: list[bytes]) -> None:
        """Send framed messages when it can take them."""

    def finish(self, code: Code, text: str = "", *, at_once: bool = False) -> None:
        """End the subscription."""


class Feed:
    """One service, as one token sees it. `request`: without an index. `over()` is called when it has ended."""

    def __init__(self, server: "Server", request: ServiceRequest, over: Callable[[], None]) -> None:
        self._server = server
        self._request = request
        self._over = over
        self._subscribers: dict[Subscriber, float] = {}  # and when each began, in seconds of the clock
        self._waiting: dict[Subscriber, int] = {}  # for the first reply, with the index that each has seen
        self._rows: dict[_Key, Row] = {}
        self._snapshot: Snapshot | None = None
        self._deliveries: Iterator[Subscriber] = iter(())
        #: The index of the last reply, 0 before the first one; and of the last one that changed something.
        self._index = self._changed_index = 0
        self._watch: Watch | None = None
        self._query: Deferred[Any] | None = None
        self._resolving: Deferred[None] | None = None
        self._pause_s = 0.0
        self._is_over = False

    def __len__(self) -> int:
        return len(self._subscribers) + len(self._waiting)

    def start(self) -> None:
        """Follow the service, for the subscribers that are there."""
        if not self._is_over:
            self._resolve(self._first())

    def add(self, subscriber: Subscriber, seen_index: int) -> None:
        """A new subscriber; `seen_index`: up to where it knows the service, 0 if not at all."""
        if self._index:
            self._begin(subscriber, seen_index)
        else:
            self._waiting[subscriber] = seen_index

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        self._subscribers.pop(subscriber, None)
        self._waiting.pop(subscriber, None)
        if not len(self) and not self._is_over:
            self._stop()

    # -- the query

    def _ask(self) -> None:
        request = self._request.copied()
        request.options = request.options.copied()
        request.options.min_query_index = self._index
        method = method_named(_METHOD)
        self._query = query = self._server.handle(method, request)
        query.addCallbacks(self._replied, self._failed)
        query.addErrback(self._broken)

    def _replied(self, reply: Any) -> None:
        self._query = None
        if self._is_over:
            return
        index = max(reply.meta.index, 1)
        if self._server.store.indexes is not self._state or index < self._index:
            self._end(Code.ABORTED, RESET)
            return
        is_first = not self._index
        messages = self._take(index, reply.nodes or ())
        self._pause_s = 0.0 if messages or is_first else NO_CHANGE_PAUSE_S
        self._deliveries = self._deliver(messages)
        self._server.clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        """Deliver, a slice of time in each turn, then ask again: a service that changes faster goes in larger steps."""
        try:
            if self._is_over:
                return
            if self._deliver_some():
                self._server.clock.callLater(0, self._go_on)
            elif not self._is_over:
                self._server.clock.callLater(self._pause_s, self._ask_again)
        except Exception:
            self._broken(Failure())

    def _ask_again(self) -> None:
        if not self._is_over:
            self._ask()

    def _deliver_some(self) -> bool:
        """Deliver for a slice of time; whether there is more."""
        seconds = self._server.clock.seconds
        ends_s = seconds() + SLICE_S
        for _ in self._deliveries:
            if self._is_over:
                return False
            if seconds() > ends_s:
                return True
        return False

    def _failed(self, failure: Failure) -> None:
        self._query = None
        if failure.check(CancelledError):
            return
        error = failure.value
        if not isinstance(error, RPCError):
            failure.raiseException()
        self._end(code_of(error), str(error))

    def _broken(self, failure: Failure) -> None:
        _log.failure("a subscription failed", failure)
        self._end(Code.INTERNAL, f"internal error: {type(failure.value).__name__}")

    # -- rights

    def _resolve(self, resolving: Coroutine[Any, Any, None]) -> None:
        self._resolving = Deferred.fromCoroutine(resolving)
        self._resolving.addErrback(self._failed).addErrback(self._broken)

    async def _first(self) -> None:
        """Learn the rights of the token, then ask. Raises `RPCError`."""
        self._authorizer = await self._watched_authorizer()
        self._state = self._server.store.indexes
        self._ask()

    async def _watched_authorizer(self) -> Any:
        """The token's rights, with a callback at the next change of a token, policy or role. Raises `RPCError`."""
        guard, token = self._server.guard, self._request.options.token
        if not guard.is_on:
            return None
        identity = guard.identify(token)
        if not isinstance(identity, Identity):
            await identity
            self._resolving = None
        watch = WatchSet()
        authorizer = guard.resolve(token, watch).authorizer
        self._watch = self._server.store.watchers.wait(watch, self._rights_changed)
        return authorizer

    def _rights_changed(self) -> None:
        self._watch = None
        self._server.clock.callLater(0, self._check_rights)  # when the whole change is done

    def _check_rights(self) -> None:
        if not self._is_over:
            self._resolve(self._compare_rights())

    async def _compare_rights(self) -> None:
        try:
            authorizer = await self._watched_authorizer()
        except RPCError:  # the token is gone: the next subscription is told so
            authorizer = None
        if authorizer is not self._authorizer:
            self._end(Code.ABORTED, RESET)

    # -- events

    def _take(self, index: int, instances: Sequence[CheckServiceNode]) -> list[bytes]:
        """The instances at `index`; the framed events of what differs from before."""
        before, self._rows = self._rows, {}
        events = []
        for instance in instances:
            node, service = instance.node, instance.service
            key = (node.node if node is not None else "", service.id if service is not None else "")
            known = before.pop(key, None)
            if known is not None and known.is_same(instance):
                self._rows[key] = known
                continue
            row = self._rows[key] = Row(instance)
            if self._index:
                events.append(health_event(index, Op.REGISTER, row.encoded()))
        events += [health_event(index, Op.DEREGISTER, row.encoded()) for row in before.values()]
        if events or not self._index:
            self._changed_index = index
            self._snapshot = None
        self._index = index
        return [framed(batch) for batch in batches(index, events)]

    def _deliver(self, messages: list[bytes]) -> Iterator[Subscriber]:
        """Send these messages to subscribers that are up to date, and the snapshot to those that wait for it."""
        for subscriber in list(self._subscribers) if messages else ():
            if subscriber in self._subscribers:
                self._send(subscriber, messages)
                yield subscriber
        while self._waiting:
            subscriber = next(iter(self._waiting))
            self._begin(subscriber, self._waiting.pop(subscriber))
            yield subscriber

    def _send(self, subscriber: Subscriber, messages: list[bytes]) -> None:
        subscriber.send(messages)
        is_slow = subscriber.is_streaming and self._since_begun_s(subscriber) > SNAPSHOT_MAX_S
        if is_slow or subscriber.waiting_bytes > BACKLOG_MAX_BYTES:
            self.remove(subscriber)
            subscriber.finish(Code.ABORTED, RESET, at_once=True)

    def _since_begun_s(self, subscriber: Subscriber) -> float:
        now_s = self._server.clock.seconds()
        return now_s - self._subscribers.get(subscriber, now_s)

    def _begin(self, subscriber: Subscriber, seen_index: int) -> None:
        """Send the snapshot, unless the subscriber has it."""
        self._subscribers[subscriber] = self._server.clock.seconds()
        if self._changed_index <= seen_index <= self._index:
            return
        if self._snapshot is None:
            self._snapshot = Snapshot(self._changed_index, list(self._rows.values()))
        subscriber.stream(self._snapshot.parts(is_another=bool(seen_index)), len(self._snapshot))

    # -- the end

    def _end(self, code: Code, text: str) -> None:
        subscribers = [*self._subscribers, *self._waiting]
        self._subscribers, self._waiting = {}, {}
        if not self._is_over:
            self._stop()
        for subscriber in subscribers:
            subscriber.finish(code, text, at_once=True)

    def _stop(self) -> None:
        self._is_over = True
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
        query, self._query = self._query, None
        for pending in (query, self._resolving):
            if pending is not None:
                pending.cancel()
        self._over()


def code_of(error: BaseException | None) -> Code:
    """The status of an error of a call, which Go's servers do not tell apart either, but for what may be retried."""
    if isinstance(error, NoLeader | NoServerAnswered):
        return Code.UNAVAILABLE
    return Code.INVALID_ARGUMENT if isinstance(error, BadRequest) else Code.UNKNOWN
