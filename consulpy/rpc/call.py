"""The callers: `ServerCaller` of a server agent, in process; `ClientCaller` of a client agent, over the wire.

Errors are `RPCError`s with Consul's texts. Source: docs/wire/rpc.md 6 and 8.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail, maybeDeferred

from consulpy.clock import Clock, pause
from consulpy.codec.record import Record
from consulpy.errors import NoServerAnswered, NoServers, RPCError, WireError
from consulpy.rpc.dependencies import DependencySet
from consulpy.rpc.dispatch import method_named
from consulpy.rpc.limits.rate_limit import RateLimiter, is_limited_by_server
from consulpy.rpc.limits.reply_timeout import ReplyTimeout
from consulpy.rpc.messages import is_large, reply_of
from consulpy.rpc.methods import Method
from consulpy.rpc.server import HOLD_TIMEOUT_S, Server
from consulpy.rpc.server_metadata import ServerInfo

#: Pauses between attempts are random, up to this fraction of the hold timeout.
JITTER_FRACTION: Final = 16
#: Part of an error's text after which any call may be repeated.
_NO_LEADER: Final = "No cluster leader"
#: Prefix of an error's text if there was no connection.
_NOT_SENT: Final = "rpc error getting client"
#: Parts of an error's text after which a read may be repeated.
_CONNECTION_CLOSED: Final = ("stream closed", "session shutdown")
_CATALOG_WRITES: Final = frozenset({"Catalog.Register", "Catalog.Deregister", "Txn.Apply"})


class ServerCaller:
    """Calls to the server in this process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        #: Number of calls.
        self.calls = 0

    def call(self, method: str, request: Record, dependencies: DependencySet | None = None) -> "Deferred[Any]":
        """See `Caller.call`."""
        self.calls += 1
        try:
            found = method_named(method)
            if self._server.request_limits is not None:
                self._server.request_limits.check(method)
        except RPCError as error:
            return fail(error)
        return self._server.handle(found, request, dependencies)


class Servers(Protocol):
    """Selects the server of a call (`consulpy.rpc.router.Router`)."""

    def find(self) -> ServerInfo | None:
        """The first server of the list; None if it is empty."""

    def failed(self, server: ServerInfo) -> None:
        """Move a server that failed a call to the end of the list."""


class Connections(Protocol):
    """Calls to one server (`consulpy.rpc.pool.ConnectionPool`)."""

    def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
        """The unpacked reply. Fails with `RPCError` and Consul's text."""


class ClientCaller:
    """Calls to the servers that the router selects, repeated where Consul repeats them.

    `log(level, text)`: one line for each failed attempt. `in_thread`: runs the decoding of a large reply. `timeout`:
    limits the time of replies; None: any time.
    """

    def __init__(
        self,
        router: Servers,
        pool: Connections,
        clock: Clock,
        rng: Random,
        *,
        log: Callable[[str, str], None] = lambda _level, _text: None,
        hold_timeout_s: float = HOLD_TIMEOUT_S,
        timeout: ReplyTimeout | None = None,
        rate: RateLimiter | None = None,
        in_thread: Callable[[Callable[[], Any]], "Deferred[Any]"] = maybeDeferred,
    ) -> None:
        self._in_thread = in_thread
        #: The rate limit of calls; may be replaced at any time.
        self.rate = rate or RateLimiter(clock)
        self._router = router
        self._pool = pool
        self._clock = clock
        self._rng = rng
        self._log = log
        self._hold_timeout_s = hold_timeout_s
        self.timeout = timeout or ReplyTimeout(clock, 0.0, 0.0, 0.0)
        #: Number of calls, and of failed ones.
        self.calls = self.failures = 0
        #: Number of calls that changed the catalog, or may have.
        self.catalog_writes = 0

    def call(
        self,
        method: str,
        request: Record,
        dependencies: DependencySet | None = None,  # noqa: ARG002 - not sent over the wire
    ) -> "Deferred[Any]":
        """See `Caller.call`."""
        self.calls += 1
        try:
            self.rate.take()
            found = method_named(method)
            if found.check_forwarded is not None:
                found.check_forwarded(request)
        except RPCError as error:
            return fail(error)
        made = Deferred.fromCoroutine(self._call(found, request))
        return made.addBoth(self._written) if found.name in _CATALOG_WRITES else made

    def _written(self, result: Any) -> Any:
        self.catalog_writes += 1
        return result

    def close(self) -> None:
        """Stop the timer of replies that take too long."""
        self.timeout.close()

    async def _call(self, method: Method, request: Record) -> Any:
        first_s = self._clock.seconds()
        body = request.pack()
        unreachable: set[str] = set()
        while True:
            server = self._router.find()
            if server is None:
                raise NoServers
            try:
                raw = await self.timeout.limit(self._pool.call(server, method.name, body), request)
                if is_large(raw):
                    return await self._in_thread(partial(reply_of, method.reply, raw))
                return reply_of(method.reply, raw)
            except WireError as error:
                failure = RPCError(f"rpc error making call: codec.decoder: {error}")
            except RPCError as error:
                failure = error
            gives_up = not may_repeat(request, str(failure)) or self._clock.seconds() - first_s >= self._hold_timeout_s
            # a server with too much to do refuses every attempt of every call: the log has those that are given up
            level = "debug" if is_limited_by_server(str(failure)) and not gives_up else "error"
            self._log(level, f"{method.name} call to server {server.name} ({server.rpc_address}) failed: {failure}")
            self._router.failed(server)
            if was_not_sent(str(failure)):  # nothing happened: another server may be called at once
                unreachable.add(server.name)
                another = self._router.find()
                if another is not None and another.name not in unreachable:
                    continue
            if gives_up:
                self.failures += 1
                raise failure
            await pause(self._clock, self._rng.random() * self._hold_timeout_s / JITTER_FRACTION)


def was_not_sent(error: str) -> bool:
    """Whether a call with this error was not sent, as there was no connection."""
    return error.startswith(_NOT_SENT)


def no_server_answered(error: BaseException | None) -> bool:
    """Whether a call failed because no server was reached, or none that knows a leader."""
    return isinstance(error, NoServerAnswered) or _NO_LEADER in str(error)


def may_repeat(request: Record, error: str) -> bool:
    """Whether a call with this error may be repeated: it had no effect, or is a read."""
    is_read = hasattr(request, "options")
    return (
        _NO_LEADER in error
        or is_limited_by_server(error)
        or (is_read and any(text in error for text in _CONNECTION_CLOSED))
    )
