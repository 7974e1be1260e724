"""The protocol of a new connection, until a request needs a `Channel`, which costs ten times as much memory.

Many clients send one request whose response is cached, and close; others send one blocking query after the other.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.connections import close_now
from consulpy.http.cache.blocking_groups import BlockedRequest, BlockingRead
from consulpy.http.connection.dispatch import Cached
from consulpy.http.connection.transport import EagerTransport, close_when_written
from consulpy.http.errors import error_response
from consulpy.tls.try_write import try_write

if TYPE_CHECKING:
    from consulpy.http.connection.channel import Channel


@implementer(IHalfCloseableProtocol)
class InitialProtocol(Protocol):
    """A connection without a channel. `make_channel()`: builds the channel that takes it over."""

    factory: Any
    transport: Any

    _channel: "Channel | None" = None
    _closed = False
    #: The blocking query that waits in a group.
    _blocked: BlockedRequest | None = None

    def __init__(self, make_channel: "Callable[[], Channel]") -> None:
        self._make_channel = make_channel

    def connectionMade(self) -> None:
        """Read the first bytes without waiting for the reactor; a connection that they end needs no idle timeout."""
        if isinstance(self.transport, EagerTransport):
            self.transport.begin()
            if self._closed or self._blocked is not None or self._channel is not None:
                return
        self.factory.idle.start(self)

    def _start_idle_timer(self) -> None:
        self.factory.idle.start(self)
        self.factory.connections.record_activity(self)

    def timed_out(self) -> None:
        """Close the connection: it was idle for the whole timeout."""
        self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Dispatch a request, or buffer bytes behind a blocking query."""
        if self._channel is not None:
            self._channel.dataReceived(data)
            return
        if self._closed:
            return
        if self._blocked is not None:
            if not self._blocked.hold(data):
                self.transport.abortConnection()
            return
        self.factory.idle.cancel(self)
        decision = self.factory.dispatcher.decide(data)
        if isinstance(decision, Cached) and decision.closes:
            try_write(self.transport, decision.response)
            self._close()
        elif isinstance(decision, BlockingRead):
            self._blocked = self.factory.dispatcher.groups.join(self, decision)
        else:
            self._hand_over().perform(decision)

    def _hand_over(self) -> "Channel":
        """Replace this protocol by a channel."""
        channel = self._channel = self.transport.protocol = self._make_channel()
        self.factory.connections.replace(self, channel)
        channel.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        return channel

    def respond(self, response: bytes, pipelined: bytes, closes: bool) -> None:
        """Write the response to the blocking query; `pipelined`: the bytes behind it."""
        self._blocked = None
        try_write(self.transport, response)
        if closes:
            self._close()
            return
        self._start_idle_timer()
        if pipelined:
            self.dataReceived(pipelined)

    def fall_back(self, data: bytes) -> None:
        """Serve the blocking query and the bytes behind it by the full path."""
        self._blocked = None
        self._hand_over().parse(data)

    def readConnectionLost(self) -> None:
        """The client sends nothing more; only a blocking query may be pending, and most such clients have gone."""
        if self._channel is not None:
            self._channel.readConnectionLost()
        else:
            close_when_written(self.transport)

    def writeConnectionLost(self) -> None:
        """Nothing ends only the own side."""

    def _close(self) -> None:
        self._closed = True
        if isinstance(self.transport, EagerTransport):
            self.transport.close()
        else:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel the idle timeout and the blocking query."""
        self._closed = True
        if self._channel is not None:
            self._channel.connectionLost(reason)
            return
        self.factory.idle.cancel(self)
        if self._blocked is not None:
            self._blocked.cancel()
        self.factory.connections.remove(self)

    def is_idle(self) -> bool:
        """Whether no response is due (`ConnectionTable`)."""
        return not (self._closed or self._blocked is not None)

    def evict(self) -> None:
        """Close at once: the table of connections is full."""
        close_now(self.transport)


class LimitExceeded(Protocol):
    """A connection above the limit of its client: 429, then closed. `ended`: called when it is."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """The connection is closed."""
        self._ended()

    def connectionMade(self) -> None:
        """Write the error and close."""
        transport: Any = self.transport
        transport.write(error_response("429 Too Many Requests", "Your IP is issuing too many concurrent connections."))
        transport.loseConnection()
