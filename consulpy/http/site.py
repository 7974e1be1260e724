"""Who connects to the HTTP API: connections are counted by client, and get a channel when they need one."""

from collections.abc import Callable
from time import time  # noqa: TID251 - an answer has the date of the wall clock, as Twisted writes it
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Site

from consulpy.http import lane
from consulpy.http.channel import BEHIND_MAX_BYTES, IDLE_TIMEOUT_S, Channel, send
from consulpy.http.kept import KeptAnswers
from consulpy.http.request import ApiRequest, refusal
from consulpy.http.waiting import Waiting, WaitingRooms


class Opening(Protocol):
    """A connection until a request comes that needs a channel, which is ten times as dear.

    Many bring one request whose answer is kept, and close; others bring requests that wait, one after the other.
    """

    factory: "ApiSite"
    transport: Any

    _channel: Any = None
    _timer: Any = None
    _waiting: Waiting | None = None
    _behind = b""
    _closed = False

    def __init__(self, client: str, make_channel: Callable[[], Any]) -> None:
        self._client = client
        self._make_channel = make_channel

    def connectionMade(self) -> None:
        """Wait for the first bytes, not for ever."""
        self._timer = self.factory.reactor.callLater(IDLE_TIMEOUT_S, self._idle)

    def _idle(self) -> None:
        self._timer = None
        self.transport.loseConnection()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def dataReceived(self, data: bytes) -> None:
        """The first bytes, or those behind a request that waited."""
        if self._channel is not None:
            self._channel.dataReceived(data)
            return
        if self._closed:
            return
        if self._waiting is not None:
            self._behind += data
            if len(self._behind) > BEHIND_MAX_BYTES:
                self.transport.abortConnection()
            return
        self._stop_timer()
        if not self._answer_kept(data) and not self._waits(data):
            self._hand_over(data)

    def _hand_over(self, data: bytes) -> None:
        """A channel takes the connection with the bytes that came."""
        self._channel = self.transport.protocol = self._make_channel()
        self._channel.makeConnection(self.transport)
        self._channel.dataReceived(data)

    def _answer_kept(self, data: bytes) -> bool:
        kept, began_s = self.factory.kept, time()
        if kept is None or not kept.closes(data):
            return False
        entry = kept.find(data)
        if entry is None:
            return False
        self._closed = True
        send(self.transport, entry.at(int(began_s)))
        entry.tally[0] += 1
        entry.tally[1] += 1000 * (time() - began_s)
        self.transport.loseConnection()
        return True

    def _waits(self, data: bytes) -> bool:
        """Whether a request waits in a group now."""
        rooms = self.factory.waiting
        if rooms is None or not data.startswith(b"GET /v1/") or data.find(b"\r\n\r\n") + 4 != len(data):
            return False
        self._waiting = rooms.join(self, data)
        return self._waiting is not None

    def woken(self, answer: bytes, closes: bool) -> None:
        """The answer to the request that waited."""
        self._waiting = None
        send(self.transport, answer)
        if closes:
            self._closed = True
            self.transport.loseConnection()
            return
        self.connectionMade()
        behind, self._behind = self._behind, b""
        if behind:
            self.dataReceived(behind)

    def declined(self, head: bytes) -> None:
        """The request that waited goes the plain way."""
        self._waiting = None
        behind, self._behind = self._behind, b""
        self._hand_over(head + behind)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        if self._channel is not None:
            self._channel.connectionLost(reason)
            return
        self._stop_timer()
        if self._waiting is not None:
            self._waiting.leave()
        self.factory.left(self._client)


class _OneTooMany(Protocol):
    """A connection above the limit of its client."""

    def connectionMade(self) -> None:
        """Say so, and close."""
        transport: Any = self.transport
        transport.write(refusal("429 Too Many Requests", "Your IP is issuing too many concurrent connections."))
        transport.loseConnection()


class ApiSite(Site):
    """Makes channels, and counts them by client.

    `connections_per_client`: 0 for no limit; may be changed at any time (`limits.http_max_conns_per_client`).
    """

    displayTracebacks = False  # noqa: N815
    noisy = False
    protocol: Any = Channel

    def __init__(
        self, root: IResource, reactor: Any, connections_per_client: int, kept: KeptAnswers | None = None
    ) -> None:
        super().__init__(root, requestFactory=ApiRequest, timeout=IDLE_TIMEOUT_S, reactor=reactor)  # type: ignore[no-untyped-call]
        self.connections_per_client = connections_per_client
        #: Answers that need not be made again.
        self.kept = kept
        #: Requests that wait; None: each waits by itself.
        self.waiting: WaitingRooms | None = None
        #: The short way of writes; None: all go the plain way.
        self.lane: lane.Serve | None = None
        self.seconds = reactor.seconds
        #: Connections that were refused.
        self.refused = 0
        self._open: dict[str, int] = {}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel for a new connection."""
        client = getattr(addr, "host", "")
        count = self._open.get(client, 0)
        if client and 0 < self.connections_per_client <= count:
            self.refused += 1
            return _OneTooMany()
        self._open[client] = count + 1
        make_channel = super().buildProtocol
        opening = Opening(client, lambda: make_channel(addr))  # type: ignore[no-untyped-call]
        opening.factory = self
        return opening

    def inner_channel(self) -> Any:
        """A channel that no client has."""
        return super().buildProtocol(None)  # type: ignore[no-untyped-call]

    def left(self, client: str) -> None:
        """A connection of `client` is gone."""
        count = self._open.get(client, 0)
        if count > 1:
            self._open[client] = count - 1
        else:
            self._open.pop(client, None)

    def log(self, request: Any) -> None:
        """No line for each request; `app` has one at the debug level."""

    def startFactory(self) -> None:
        """No timer for the date of an access log that we don't write."""

    def stopFactory(self) -> None:
        """Nothing was started."""
