"""The factory of HTTP connections: their shared objects, and the limits of their number."""

from typing import Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.web.http import HTTPFactory
from twisted.web.resource import IResource

from consulpy.connections import UNLIMITED, ConnectionTable
from consulpy.http.connection.channel import Channel
from consulpy.http.connection.dispatch import Dispatcher
from consulpy.http.connection.idle_timeout import IdleTimeouts
from consulpy.http.connection.limits import DEFAULT_LIMITS, ConnectionLimits
from consulpy.http.connection.protocol import InitialProtocol, LimitExceeded
from consulpy.rpc.spool_file import InThread

#: The name of this listener in the table of connections.
LISTENER: Final = "http"
#: Connections above the limit of their client that are told so, of all clients together; more are closed without a
#: word, and all while the table is full. Over TLS they wait for the handshake, and each takes a file descriptor.
REFUSING_MAX: Final = 32


class HttpFactory(HTTPFactory):
    """Builds the protocols of connections; in place of `twisted.web.server.Site` for Twisted's requests.

    `dispatcher`: None serves all requests by the full path. `connections_per_client`: 0 for no limit; may be changed at
    any time (`limits.http_max_conns_per_client`). `in_thread`: stores large bodies.
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
        dispatcher: Dispatcher | None = None,
        connections: ConnectionTable | None = None,
        limits: ConnectionLimits = DEFAULT_LIMITS,
        in_thread: InThread = maybeDeferred,
    ) -> None:
        super().__init__(timeout=limits.idle_s, reactor=reactor)
        self._root = root
        self.connections_per_client = connections_per_client
        self.dispatcher = dispatcher or Dispatcher(None, None, None, reactor.seconds)
        self.seconds = reactor.seconds
        #: Runs jobs that store large bodies; `uploads`: bodies that are being stored now.
        self.in_thread = in_thread
        self.uploads = 0
        #: Timeouts of connections without a channel.
        self.idle = IdleTimeouts(reactor, limits.idle_s)
        #: Of connections and requests.
        self.limits = limits
        self.dispatcher.full_path_bytes = limits.full_path_bytes
        #: Number of refused connections.
        self.refused = 0
        self._refusing = 0
        #: Connections of all clients; shared with other listeners.
        self.connections = ConnectionTable(UNLIMITED) if connections is None else connections

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """The protocol of a new connection; None refuses it."""
        client = getattr(addr, "host", "")
        if client and 0 < self.connections_per_client <= self.connections.of_client(LISTENER, client):
            self.refused += 1
            room = self.connections.total - len(self.connections)
            if self._refusing >= min(REFUSING_MAX, room):
                return None
            self._refusing += 1
            return LimitExceeded(self._refusal_ended)
        protocol = InitialProtocol(lambda: self._make_channel(addr))
        protocol.factory = self
        if not self.connections.add(protocol, LISTENER, client):
            self.refused += 1
            return None
        return protocol

    def _refusal_ended(self) -> None:
        self._refusing -= 1

    def _make_channel(self, addr: IAddress | None) -> Any:
        channel: Any = super().buildProtocol(addr)
        channel.site = self
        return channel

    def getResourceFor(self, request: Any) -> IResource:
        """The root resource, for every request."""
        request.site = self
        return self._root

    def log(self, request: Any) -> None:
        """Write no access log; `app` logs requests at the debug level."""

    def startFactory(self) -> None:
        """Start no timer for the date of an access log."""

    def stopFactory(self) -> None:
        """Cancel the idle timeouts."""
        self.idle.close()
