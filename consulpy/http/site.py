"""Who connects to the HTTP API: connections are counted by client, and get a channel when they need one."""

from collections.abc import Callable
from time import time  # noqa: TID251 - an answer has the date of the wall clock, as Twisted writes it
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPFactory
from twisted.web.resource import IResource

from consulpy.connections import UNLIMITED, ConnectionTable, close_now
from consulpy.http import lane
from consulpy.http.accepting import Accepted, send
from consulpy.http.channel import IDLE_TIMEOUT_S, Channel
from consulpy.http.idle import IdleConnections
from consulpy.http.kept import KeptAnswers
from consulpy.http.maywait import MayWait
from consulpy.http.refusing import refusal
from consulpy.http.waiting import WaitingRooms

#: The name of this listener in the table of connections.
LISTENER: Final = "http"


class Opening(MayWait, Protocol):
    """A connection until a request comes that needs a channel, which is ten times as dear.

    Many bring one request whose answer is kept, and close; others bring requests that wait, one after the other.
    """

    factory: "ApiSite"

    _channel: Any = None
    _closed = False

    def __init__(self, make_channel: Callable[[], Any]) -> None:
        self._make_channel = make_channel

    def connectionMade(self) -> None:
        """Read the first bytes if they are here."""
        self._rest()
        if isinstance(self.transport, Accepted):
            self.transport.begin()

    def _rest(self) -> None:
        """Wait for the next bytes, not for ever."""
        self.factory.idle.rest(self)
        self.factory.connections.touch(self)

    def idled(self) -> None:
        """Nothing came."""
        self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """The first bytes, or those behind a request that waited."""
        if self._channel is not None:
            self._channel.dataReceived(data)
            return
        if self._closed or self._held_back(data):
            return
        self.factory.idle.stir(self)
        if not self._answer_kept(data) and not self._waits(data):
            self._go_plain(data)

    def _go_plain(self, data: bytes) -> None:
        """A channel takes the connection with the bytes that came."""
        self._channel = self.transport.protocol = self._make_channel()
        self.factory.connections.replace(self, self._channel)
        self._channel.makeConnection(self.transport)
        self._channel.dataReceived(data)

    def _answer_kept(self, data: bytes) -> bool:
        kept, began_s = self.factory.kept, self.factory.seconds()
        if kept is None or not kept.closes(data):
            return False
        entry = kept.find(data)
        if entry is None:
            return False
        send(self.transport, entry.at(int(time())))
        entry.tally[0] += 1
        entry.tally[1] += 1000 * (self.factory.seconds() - began_s)
        self._end()
        return True

    def _waits(self, head: bytes) -> bool:
        is_one_read = head.startswith(b"GET /v1/") and head.find(b"\r\n\r\n") + 4 == len(head)
        return is_one_read and super()._waits(head)

    def _end(self) -> None:
        self._closed = True
        if isinstance(self.transport, Accepted):
            self.transport.end()
        else:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        if self._channel is not None:
            self._channel.connectionLost(reason)
            return
        self.factory.idle.stir(self)
        self._leave()
        self.factory.connections.leave(self)

    def is_idle(self) -> bool:
        """Whether no answer is waited for (`ConnectionTable`)."""
        return not (self._closed or self._waiting is not None)

    def evict(self) -> None:
        """Others need the place."""
        close_now(self.transport)


class _OneTooMany(Protocol):
    """A connection above the limit of its client."""

    def connectionMade(self) -> None:
        """Say so, and close."""
        transport: Any = self.transport
        transport.write(refusal("429 Too Many Requests", "Your IP is issuing too many concurrent connections."))
        transport.loseConnection()


class ApiSite(HTTPFactory):
    """Makes channels, and counts them by client; to requests it is what `twisted.web.server.Site` would be.

    `connections_per_client`: 0 for no limit; may be changed at any time (`limits.http_max_conns_per_client`).
    """

    displayTracebacks = False  # noqa: N815
    noisy = False
    protocol: Any = Channel
    _parsePOSTFormSubmission = False  # noqa: N815 - newer Twisted's requests look here

    def __init__(
        self,
        root: IResource,
        reactor: Any,
        connections_per_client: int,
        kept: KeptAnswers | None = None,
        connections: ConnectionTable | None = None,
    ) -> None:
        super().__init__(timeout=IDLE_TIMEOUT_S, reactor=reactor)
        self._root = root
        self.connections_per_client = connections_per_client
        #: Answers that need not be made again.
        self.kept = kept
        #: Requests that wait; None: each waits by itself.
        self.waiting: WaitingRooms | None = None
        #: The short way of plain requests; None: all go through Twisted.
        self.lane: lane.Serve | None = None
        self.seconds = reactor.seconds
        #: Connections that rest and have no channel.
        self.idle = IdleConnections(reactor, IDLE_TIMEOUT_S)
        #: Connections that were refused.
        self.refused = 0
        #: Connections of all clients; shared with other listeners.
        self.connections = ConnectionTable(UNLIMITED) if connections is None else connections

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel for a new connection."""
        client = getattr(addr, "host", "")
        if client and 0 < self.connections_per_client <= self.connections.of_client(LISTENER, client):
            self.refused += 1
            return _OneTooMany()
        opening = Opening(lambda: self._make_channel(addr))
        opening.factory = self
        if not self.connections.enter(opening, LISTENER, client):
            self.refused += 1
            return None
        return opening

    def _make_channel(self, addr: IAddress | None) -> Any:
        channel: Any = super().buildProtocol(addr)
        channel.site = self
        return channel

    def getResourceFor(self, request: Any) -> IResource:
        """Twisted's requests ask this: one resource answers all."""
        request.site = self
        return self._root

    def log(self, request: Any) -> None:
        """No line for each request; `app` has one at the debug level."""

    def startFactory(self) -> None:
        """No timer for the date of an access log that we don't write."""

    def stopFactory(self) -> None:
        """No connection is ended any more for being idle."""
        self.idle.close()
