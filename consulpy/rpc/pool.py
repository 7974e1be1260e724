"""The connection pool: one connection to each server, with streams that are reused (docs/wire/rpc.md 3 and 8).

Pure: `dial` opens the connection. One dial at a time for each server; further calls wait for it. A stream serves one
call at a time; the last released one is the first to be reused. After an error a stream is closed.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.errors import NoServerAnswered, RPCError, WireError
from consulpy.rpc.acl.denied import remote_error
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.rpc.stream import Channel, ClientStream, ConnectionGone, RemoteError

#: A connection without calls is closed after this time, in seconds (Consul: 127 on clients, 120 on servers).
IDLE_TIMEOUT_S: Final = 127.0
#: Idle streams of one connection that stay open for reuse, on clients and on servers, whose clients' writes go through
#: them to the leader (Consul: 32 and 64).
IDLE_STREAMS: Final = 32
SERVER_IDLE_STREAMS: Final = 128


class Link(Protocol):
    """A multiplexed connection to a server (`consulpy.rpc.net.dialer.DialedProtocol`)."""

    on_closed: Callable[[], None]

    @property
    def is_usable(self) -> bool:
        """Whether streams can be opened."""

    def open(self, end: ClientStream) -> Channel:
        """Open a stream for `end`. Raises `WireError`."""

    def close(self) -> None:
        """Close the connection."""


Dial = Callable[[ServerInfo], "Deferred[Link]"]


class DialFailed(RPCError):
    """The connection failed; the text is Go's ("dial tcp 127.0.0.1:0->127.0.0.2:8300: connect: connection refused")."""


class ConnectionPool:
    """Connections by server (name and address)."""

    def __init__(
        self,
        dial: Dial,
        clock: Clock,
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        idle_streams: int = IDLE_STREAMS,
    ) -> None:
        self._dial = dial
        self._clock = clock
        self._idle_timeout_s = idle_timeout_s
        self._idle_streams = idle_streams
        self._connections: dict[tuple[str, str], _Connection] = {}
        self._dialing: dict[tuple[str, str], list[Deferred[_Connection]]] = {}
        self._seq = 0
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._connections)

    def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
        """The unpacked reply to one call. Fails with `RPCError` and Consul's text. Cancelling closes its stream."""
        connection = self._connections.get((server.name, server.rpc_address))
        if connection is not None and connection.is_usable:
            return self._call_on(connection, method, body)
        return Deferred.fromCoroutine(self._dial_and_call(server, method, body))

    def close(self) -> None:
        """Close all connections and open no new ones."""
        self._is_closed = True
        for connection in list(self._connections.values()):
            connection.close()

    async def _dial_and_call(self, server: ServerInfo, method: str, body: bytes) -> Any:
        try:
            connection = await self._connected(server)
        except DialFailed as error:
            raise NoServerAnswered(f"rpc error getting client: failed to get conn: {error}") from None
        return await self._call_on(connection, method, body)

    def _call_on(self, connection: "_Connection", method: str, body: bytes) -> "Deferred[Any]":
        try:
            end = connection.acquire()
        except WireError as error:
            return fail(NoServerAnswered(f"rpc error getting client: failed to start stream: {error}"))
        self._seq += 1
        reply = end.call(self._seq, method, body)
        return reply.addCallbacks(_replied, _failed, callbackArgs=(connection, end), errbackArgs=(connection, end))

    def _connected(self, server: ServerInfo) -> "Deferred[_Connection]":
        key = (server.name, server.rpc_address)
        ready: Deferred[_Connection] = Deferred()
        connection = self._connections.get(key)
        if connection is not None and connection.is_usable:
            ready.callback(connection)
        elif self._is_closed:
            ready.errback(DialFailed("rpc error: session shutdown"))
        elif key in self._dialing:
            self._dialing[key].append(ready)
        else:
            self._dialing[key] = [ready]
            self._dial(server).addCallbacks(self._dialed, self._dial_failed, callbackArgs=(key,), errbackArgs=(key,))
        return ready

    def _dialed(self, link: Link, key: tuple[str, str]) -> None:
        waiting = self._dialing.pop(key)
        if self._is_closed:
            link.close()
            self._refuse(waiting, DialFailed("rpc error: session shutdown"))
            return
        connection = _Connection(link, self._clock, self._idle_timeout_s, self._idle_streams)
        self._connections[key] = connection

        def gone() -> None:
            connection.cancel_idle_timer()
            if self._connections.get(key) is connection:
                del self._connections[key]

        link.on_closed = gone
        connection.start_idle_timer()
        for ready in waiting:
            if not ready.called:
                ready.callback(connection)

    def _dial_failed(self, failure: Failure, key: tuple[str, str]) -> None:
        error = failure.value if isinstance(failure.value, DialFailed) else DialFailed(str(failure.value))
        self._refuse(self._dialing.pop(key), error)

    def _refuse(self, waiting: "list[Deferred[_Connection]]", error: DialFailed) -> None:
        """Fail the calls that wait for a dial: the first with its error, the others with Consul's text for them."""
        for number, ready in enumerate(waiting):
            if not ready.called:
                follower = DialFailed("rpc error: lead thread didn't get connection")
                ready.errback(follower if number else error)


def _replied(reply: Any, connection: "_Connection", end: ClientStream) -> Any:
    connection.release(end)
    return reply


def _failed(failure: Failure, connection: "_Connection", end: ClientStream) -> Failure:
    connection.release(end)
    error = failure.value
    if isinstance(error, ConnectionGone):
        return Failure(NoServerAnswered(f"rpc error making call: {error}"))
    if isinstance(error, RemoteError):
        return Failure(remote_error(f"rpc error making call: {error}", error.body))
    return failure


class _Connection:
    """One connection and its streams."""

    def __init__(self, link: Link, clock: Clock, idle_timeout_s: float, idle_streams: int) -> None:
        self._link = link
        self._clock = clock
        self._idle_timeout_s = idle_timeout_s
        self._idle_streams = idle_streams
        self._idle: list[ClientStream] = []
        self._calls = 0
        self._timer: Timer | None = None

    @property
    def is_usable(self) -> bool:
        return self._link.is_usable

    def acquire(self) -> ClientStream:
        """A stream for one call; release it afterwards. Raises `WireError`."""
        self.cancel_idle_timer()
        while self._idle:
            end = self._idle.pop()
            if not end.is_broken:
                self._calls += 1
                return end
        end = ClientStream()
        try:
            end.channel = self._link.open(end)
        except WireError:
            self.start_idle_timer()
            raise
        self._calls += 1
        return end

    def release(self, end: ClientStream) -> None:
        """Reuse or close the stream of a finished call."""
        self._calls -= 1
        if not end.is_broken:
            if len(self._idle) < self._idle_streams:
                self._idle.append(end)
            else:
                end.close()
        self.start_idle_timer()

    def start_idle_timer(self) -> None:
        """Start the idle timeout, if there are no calls."""
        if not self._calls and self._timer is None and self.is_usable:
            self._timer = self._clock.callLater(self._idle_timeout_s, self.close)

    def cancel_idle_timer(self) -> None:
        """Cancel the idle timeout."""
        cancel_timer(self._timer)
        self._timer = None

    def close(self) -> None:
        self.cancel_idle_timer()
        self._link.close()
