"""Forwarding of calls to the leader of the quorum (docs/wire/raft.md 18).

While there is no leader a call is held; calls without effect are repeated, and reads whose connection broke.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from consulpy.clock import Clock, pause
from consulpy.codec.record import Record
from consulpy.errors import NoLeader, RPCError, WireError
from consulpy.rpc.call import JITTER_FRACTION, Connections, may_repeat, was_not_sent
from consulpy.rpc.limits.reply_timeout import ReplyTimeout
from consulpy.rpc.messages import reply_of
from consulpy.rpc.methods import Method
from consulpy.rpc.server_metadata import ServerInfo

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: The longest pause between two attempts, in seconds.
_PAUSE_MAX_S: Final = 0.25


class LeaderForwarder:
    """Calls the leader. `leader()`: the leader; None while there is none that is reachable.

    `timeout`: limits the time of its replies; None: any time.
    """

    def __init__(
        self,
        leader: Callable[[], ServerInfo | None],
        pool: Connections,
        clock: Clock,
        rng: Random,
        hold_timeout_s: float,
        timeout: ReplyTimeout | None = None,
    ) -> None:
        self._timeout = timeout or ReplyTimeout(clock, 0.0, 0.0, 0.0)
        self._leader = leader
        self._pool = pool
        self._clock = clock
        self._rng = rng
        self._hold_timeout_s = hold_timeout_s

    def call(self, server: "Server", method: Method, request: Record) -> "Deferred[Any]":
        """The leader's reply, or that of `server` if it leads by then. Fails with `RPCError`."""
        leader = None if server.is_leader else self._leader()
        if leader is None:
            return Deferred.fromCoroutine(self._call(server, method, request, b""))
        body = request.pack()
        reply = self._timeout.limit(self._pool.call(leader, method.name, body), request)
        return reply.addCallbacks(
            self._replied,
            self._failed,
            callbackArgs=(server, method, request),
            errbackArgs=(server, method, request, body),
        )

    def _replied(self, raw: Any, server: "Server", method: Method, request: Record) -> Any:
        try:
            return reply_of(method.reply, raw)
        except WireError as error:
            failure = RPCError(f"rpc error making call: codec.decoder: {error}")
            return self._failed(Failure(failure), server, method, request, b"")

    def _failed(self, failure: Failure, server: "Server", method: Method, request: Record, body: bytes) -> Any:
        error = failure.value
        if not isinstance(error, RPCError) or not (was_not_sent(str(error)) or may_repeat(request, str(error))):
            return failure
        return Deferred.fromCoroutine(self._call(server, method, request, body, error))

    async def _call(
        self, server: "Server", method: Method, request: Record, body: bytes, failed: RPCError | None = None
    ) -> Any:
        """Call until a leader answers. `failed`: the error of the first call."""
        first_s = self._clock.seconds()
        if failed is not None:
            await self._pause()
        while True:
            if server.is_leader:
                return await server.handle(method, request)
            failure: RPCError = NoLeader()
            leader = self._leader()
            if leader is not None:
                try:
                    body = body or request.pack()
                    raw = await self._timeout.limit(self._pool.call(leader, method.name, body), request)
                    return reply_of(method.reply, raw)
                except WireError as error:
                    failure = RPCError(f"rpc error making call: codec.decoder: {error}")
                except RPCError as error:
                    failure = error
                if not (was_not_sent(str(failure)) or may_repeat(request, str(failure))):
                    raise failure
            if self._clock.seconds() - first_s >= self._hold_timeout_s:
                raise failure
            await self._pause()

    def _pause(self) -> "Deferred[None]":
        pause_s = min(self._hold_timeout_s / JITTER_FRACTION, _PAUSE_MAX_S)
        return pause(self._clock, self._rng.random() * pause_s)
