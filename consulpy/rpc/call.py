"""`call`: the one seam through which everything above reads and writes, in process or over the wire.

A server agent has a `ServerCaller`, a client agent a `ClientCaller`; HTTP, DNS and anti-entropy cannot tell which.
Errors are `RPCError`s whose text is what Consul shows. Source: docs/wire/rpc.md 6 and 8.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail, maybeDeferred

from consulpy.clock import Clock
from consulpy.codec.record import Record
from consulpy.errors import NoServerAnswered, NoServers, RPCError, WireError
from consulpy.rpc.dependencies import DependencySet
from consulpy.rpc.dispatch import method_named
from consulpy.rpc.limits.rate_limit import RateLimiter
from consulpy.rpc.messages import is_large, reply_of
from consulpy.rpc.methods import Method
from consulpy.rpc.server import HOLD_TIMEOUT_S, Server
from consulpy.rpc.server_metadata import ServerInfo

#: Pauses between tries are random, up to this part of the hold timeout.
JITTER_FRACTION: Final = 16
#: In an error's text: any call may be repeated.
_NO_LEADER: Final = "No cluster leader"
#: How an error begins where no connection could be made.
_NOT_SENT: Final = "rpc error getting client"
#: In an error's text: a read may be repeated.
_CONNECTION_CLOSED: Final = ("stream closed", "session shutdown")
_CATALOG_WRITES: Final = frozenset({"Catalog.Register", "Catalog.Deregister", "Txn.Apply"})


class ServerCaller:
    """Calls to the server in this process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        #: Calls so far.
        self.calls = 0

    def call(self, method: str, request: Record, dependencies: DependencySet | None = None) -> "Deferred[Any]":
        """See `Caller.call`."""
        self.calls += 1
        try:
            found = method_named(method)
        except RPCError as error:
            return fail(error)
        return self._server.handle(found, request, dependencies)


class Servers(Protocol):
    """Which server to ask (`consulpy.rpc.router.Router`)."""

    def find(self) -> ServerInfo | None:
        """The server whose turn it is; None if we know none."""

    def failed(self, server: ServerInfo) -> None:
        """It failed a call: ask another one next time."""


class Connections(Protocol):
    """Calls to one server (`consulpy.rpc.pool.ConnectionPool`)."""

    def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
        """The unpacked reply. Fails with `RPCError`, the text as Consul shows it."""


class ClientCaller:
    """Calls to whichever server is there, repeated where Consul repeats them.

    `log(level, text)` gets one line for each failed try. `in_thread`: runs the decoding of a large reply.
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
        rate: RateLimiter | None = None,
        in_thread: Callable[[Callable[[], Any]], "Deferred[Any]"] = maybeDeferred,
    ) -> None:
        self._in_thread = in_thread
        #: How many calls may be made; another one may be put here at any time.
        self.rate = rate or RateLimiter(clock)
        self._router = router
        self._pool = pool
        self._clock = clock
        self._rng = rng
        self._log = log
        self._hold_timeout_s = hold_timeout_s
        #: Calls so far, and those of them that failed.
        self.calls = self.failures = 0
        #: Calls that changed the catalog, or may have.
        self.catalog_writes = 0

    def call(
        self,
        method: str,
        request: Record,
        dependencies: DependencySet | None = None,  # noqa: ARG002 - no server says them over the wire
    ) -> "Deferred[Any]":
        """See `Caller.call`."""
        self.calls += 1
        try:
            self.rate.take()
            found = method_named(method)
        except RPCError as error:
            return fail(error)
        made = Deferred.fromCoroutine(self._call(found, request))
        return made.addBoth(self._written) if found.name in _CATALOG_WRITES else made

    def _written(self, result: Any) -> Any:
        self.catalog_writes += 1
        return result

    async def _call(self, method: Method, request: Record) -> Any:
        first_s = self._clock.seconds()
        body = request.pack()
        unreachable: set[str] = set()
        while True:
            server = self._router.find()
            if server is None:
                raise NoServers
            try:
                raw = await self._pool.call(server, method.name, body)
                if is_large(raw):
                    return await self._in_thread(partial(reply_of, method.reply, raw))
                return reply_of(method.reply, raw)
            except WireError as error:
                failure = RPCError(f"rpc error making call: codec.decoder: {error}")
            except RPCError as error:
                failure = error
            self._log("error", f"{method.name} call to server {server.name} ({server.rpc_address}) failed: {failure}")
            self._router.failed(server)
            if was_not_sent(str(failure)):  # nothing happened: whoever else is there may be asked at once
                unreachable.add(server.name)
                another = self._router.find()
                if another is not None and another.name not in unreachable:
                    continue
            if not may_repeat(request, str(failure)) or self._clock.seconds() - first_s >= self._hold_timeout_s:
                self.failures += 1
                raise failure
            await pause(self._clock, self._rng.random() * self._hold_timeout_s / JITTER_FRACTION)


def was_not_sent(error: str) -> bool:
    """Whether a call failed with this text because there was no connection."""
    return error.startswith(_NOT_SENT)


def no_server_answered(error: BaseException | None) -> bool:
    """Whether a call failed because no server could be asked, or none that knows a leader."""
    return isinstance(error, NoServerAnswered) or _NO_LEADER in str(error)


def may_repeat(request: Record, error: str) -> bool:
    """Whether a call that failed with this text is tried again: nothing happened yet, or nothing can have happened."""
    is_read = hasattr(request, "options")
    return _NO_LEADER in error or (is_read and any(text in error for text in _CONNECTION_CLOSED))


def pause(clock: Clock, pause_s: float) -> "Deferred[None]":
    """Fires after so many seconds."""
    done: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = clock.callLater(pause_s, done.callback, None)
    return done
