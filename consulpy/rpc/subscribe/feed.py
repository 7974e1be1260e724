"""A feed: the instances of one service as one token sees them, followed by a blocking query, for all its subscribers.

    snapshot: an event of each instance, EndOfSnapshot   (after NewSnapshotToFollow, if the client had another state)
    change:   one event, or a batch of them, of what was registered or deregistered since

All clients of a service with the same token share one query, and the bytes of its events. When what they see changes
in a way that no event tells (the rights of the token, a restored snapshot), they are told to begin anew (`ABORTED`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.errors import BadRequest, NoLeader, NoServerAnswered, RPCError
from consulpy.log import Logger
from consulpy.rpc.dispatch import method_named
from consulpy.rpc.grpc.framing import Code, framed
from consulpy.rpc.subscribe.instance_message import encode_instance
from consulpy.rpc.subscribe.messages import Op, batches, end_of_snapshot, health_event, new_snapshot_to_follow
from consulpy.state.watch import Watch, WatchSet
from consulpy.structs.requests import ServiceRequest
from consulpy.structs.service import CheckServiceNode

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

_log = Logger()

#: Bytes of changes that may wait for one subscriber; above it, it must begin anew.
BACKLOG_MAX_BYTES: Final = 4 * 2**20
_METHOD: Final = "Health.ServiceNodes"
#: The text of newer servers that ends a subscription.
RESET: Final = "subscription closed by server, client must reset state and resubscribe"

_Key = tuple[str, str]


class Subscriber(Protocol):
    """Who is sent the events (`consulpy.rpc.grpc.call.Call`)."""

    waiting_bytes: int

    def stream(self, source: Iterator[bytes], count: int) -> None:
        """Send about `count` framed messages, each made when it can be taken."""

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
        self._subscribers: dict[Subscriber, None] = {}
        self._waiting: dict[Subscriber, int] = {}  # for the first reply, with the index that each has seen
        self._rows: dict[_Key, tuple[CheckServiceNode, bytes]] = {}
        #: The index of the last reply, 0 before the first one; and of the last one that changed something.
        self._index = self._changed_index = 0
        self._watch: Watch | None = None
        self._query: Deferred[Any] | None = None
        self._is_over = False

    def __len__(self) -> int:
        return len(self._subscribers) + len(self._waiting)

    def start(self) -> None:
        """Follow the service, for the subscribers that are there."""
        if self._is_over:
            return
        try:
            self._authorizer = self._watched_authorizer()
        except RPCError as error:
            self._end(code_of(error), str(error))
            return
        self._state = self._server.store.indexes
        self._ask()

    def add(self, subscriber: Subscriber, seen_index: int) -> None:
        """A new subscriber; `seen_index`: up to where it knows the service, 0 if not at all."""
        if self._index:
            self._begin(subscriber, seen_index)
        else:
            self._waiting[subscriber] = seen_index

    def remove(self, subscriber: Subscriber) -> None:
        """It wants no more."""
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
        self._take(index, reply.nodes or ())
        while self._waiting:
            subscriber = next(iter(self._waiting))
            self._begin(subscriber, self._waiting.pop(subscriber))
        self._server.clock.callLater(0, self._ask_again)  # an answer that comes at once must not become a recursion

    def _ask_again(self) -> None:
        if not self._is_over:
            self._ask()

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

    def _watched_authorizer(self) -> Any:
        """What the token may do; called back at the next change of a token, policy or role. Raises `RPCError`."""
        if not self._server.guard.is_on:
            return None
        watch = WatchSet()
        identity = self._server.guard.resolve(self._request.options.token, watch)
        self._watch = self._server.store.watchers.wait(watch, self._rights_changed)
        return identity.authorizer

    def _rights_changed(self) -> None:
        self._watch = None
        self._server.clock.callLater(0, self._check_rights)  # when the whole change is done

    def _check_rights(self) -> None:
        if self._is_over:
            return
        try:
            authorizer = self._watched_authorizer()
        except RPCError:  # the token is gone: the next subscription is told so
            authorizer = None
        if authorizer is not self._authorizer:
            self._end(Code.ABORTED, RESET)

    # -- events

    def _take(self, index: int, rows: Sequence[CheckServiceNode]) -> None:
        """The instances at `index`; what differs from before is sent to all subscribers."""
        before, self._rows = self._rows, {}
        events = []
        for row in rows:
            key = (row.node.node if row.node is not None else "", row.service.id if row.service is not None else "")
            known = before.pop(key, None)
            if known is not None and _is_same(known[0], row):
                self._rows[key] = known
                continue
            encoded = encode_instance(row)
            self._rows[key] = (row, encoded)
            if known is None or known[1] != encoded:
                events.append(health_event(index, Op.REGISTER, encoded))
        events += [health_event(index, Op.DEREGISTER, encoded) for _, encoded in before.values()]
        is_first = not self._index
        self._index = index
        if is_first:
            self._changed_index = index
        elif events:
            self._changed_index = index
            self._send([framed(batch) for batch in batches(index, events)])

    def _send(self, messages: list[bytes]) -> None:
        for subscriber in list(self._subscribers):
            subscriber.send(messages)
            if subscriber.waiting_bytes > BACKLOG_MAX_BYTES:
                self._subscribers.pop(subscriber, None)
                subscriber.finish(Code.ABORTED, RESET, at_once=True)
        if not len(self) and not self._is_over:
            self._stop()

    def _begin(self, subscriber: Subscriber, seen_index: int) -> None:
        """Send the snapshot, unless the subscriber has it."""
        self._subscribers[subscriber] = None
        if self._changed_index <= seen_index <= self._index:
            return
        rows = [encoded for _, encoded in self._rows.values()]
        subscriber.stream(_snapshot(self._changed_index, rows, is_another=bool(seen_index)), len(rows))

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
        if query is not None:
            query.cancel()
        self._over()


def _snapshot(index: int, rows: list[bytes], *, is_another: bool) -> Iterator[bytes]:
    """The framed events of a snapshot; `is_another`: the subscriber must forget the state that it has."""
    if is_another:
        yield framed(new_snapshot_to_follow())
    for encoded in rows:
        yield framed(health_event(index, Op.REGISTER, encoded))
    yield framed(end_of_snapshot(index))


def _is_same(one: CheckServiceNode, other: CheckServiceNode) -> bool:
    """Whether two rows are of the same objects of the state, which never change."""
    if one.node is not other.node or one.service is not other.service:
        return False
    left, right = one.checks or (), other.checks or ()
    return len(left) == len(right) and all(a is b for a, b in zip(left, right, strict=True))


def code_of(error: BaseException | None) -> Code:
    """The status of an error of a call, which Go's servers do not tell apart either, but for what may be retried."""
    if isinstance(error, NoLeader | NoServerAnswered):
        return Code.UNAVAILABLE
    return Code.INVALID_ARGUMENT if isinstance(error, BadRequest) else Code.UNKNOWN
