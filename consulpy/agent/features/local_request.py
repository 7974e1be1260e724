"""HTTP requests to an agent in its own process: the bytes go to the listener's protocol without a socket."""

import http.client
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final
from urllib.parse import quote

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.errors import RPCError

#: Most bytes of a body in an error.
_SHOWN_BYTES: Final = 500
_CLIENT: Final = IPv4Address("TCP", "127.0.0.1", 0)
_DONE: Final = Failure(ConnectionDone())
#: What stays as it is in a path: delimiters, and escapes that are there already.
_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response. `headers` finds names in any case."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError` with status and body if it is none, as errors are texts."""
        try:
            return json.loads(self.body)
        except ValueError:
            shown = self.body[:_SHOWN_BYTES].decode(errors="replace").strip()
            raise ValueError(f"no JSON was answered, but status {self.status}: {shown or 'an empty body'}") from None


def send(
    factory: Any, clock: Any, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> "Deferred[Response]":
    """Send a request to the protocol that `factory` builds. Cancelling the result disconnects the client."""
    fields = {"Host": "localhost", **headers, "Connection": "close"}
    if body or method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {quote(path, safe=_SAFE)} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line end in a method, path or header")
    client = _Client(method, clock)
    client.run(factory.buildProtocol(_CLIENT), "\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    return client.response


@implementer(ITransport, IPushProducer)
class _Client:
    """A client's end in memory: the transport of the listener's protocol."""

    disconnecting = False

    def __init__(self, method: str, clock: Any) -> None:
        self._method = method
        self._clock = clock
        self._received = io.BytesIO()
        self._is_sending = False
        self._is_over = False
        self.protocol: Any = None
        self.response: Deferred[Response] = Deferred(lambda _: self._disconnect())

    def run(self, protocol: Any, request: bytes) -> None:
        """Send the request."""
        self.protocol = protocol
        self._is_sending = True
        protocol.makeConnection(self)
        self.protocol.dataReceived(request)
        self._is_sending = False
        if self.disconnecting:
            self._end()

    def write(self, data: bytes) -> None:
        """See `ITransport.write`."""
        self._received.write(data)

    def writeSequence(self, data: Any) -> None:
        """See `ITransport.writeSequence`."""
        self._received.write(b"".join(data))

    def loseConnection(self) -> None:
        """The response is complete: the request asked to close."""
        if not self.disconnecting:
            self.disconnecting = True
            if not self._is_sending:
                self._clock.callLater(0, self._end)

    def abortConnection(self) -> None:
        """See `ITCPTransport`."""
        self.loseConnection()

    def getPeer(self) -> IPv4Address:
        """See `ITransport.getPeer`."""
        return _CLIENT

    def getHost(self) -> IPv4Address:
        """See `ITransport.getHost`."""
        return _CLIENT

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See `IConsumer`: memory is never full."""
        if not streaming:
            while not self.disconnecting:
                producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """See `IConsumer`."""

    def pauseProducing(self) -> None:
        """See `IPushProducer`: the whole request is there already."""

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""

    def stopProducing(self) -> None:
        """See `IPushProducer`."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See `ITCPTransport`."""

    def _disconnect(self) -> None:
        if not self._is_over:
            self._is_over = True
            self.protocol.connectionLost(_DONE)

    def _end(self) -> None:
        if self._is_over:
            return
        self._disconnect()
        received = self._received.getvalue()
        if received:
            self.response.callback(_parse(received, self._method))
        else:
            self.response.errback(RPCError("the agent stopped before it answered"))


class _Received:
    """A response's bytes in the form of a socket, from which `http.client` reads."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _parse(data: bytes, method: str) -> Response:
    source: Any = _Received(data)
    response = http.client.HTTPResponse(source, method=method)
    response.begin()
    return Response(response.status, response.headers, response.read())
