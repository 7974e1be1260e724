"""Clients' TCP connections that fail with the error of their socket, and its text.

Twisted's epoll reactor reports an ICMP error (a firewall's "reject", a router without a route) as an event without
data, and the client then fails with the words for a connection that was closed cleanly.
"""

import errno
import os
import socket
from typing import Any

from twisted.internet import error as reasons
from twisted.internet import tcp
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure


def tcp_endpoint(
    reactor: Any, address: str, port: int, timeout_s: float, source: tuple[str, int] | None = None
) -> IStreamClientEndpoint:
    """A client endpoint for an IP address. `source`: the local address and port."""
    kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
    endpoint: IStreamClientEndpoint = kind(_Connects(reactor), address, port, timeout=timeout_s, bindAddress=source)
    return endpoint


def connect_reason(error: BaseException) -> str:
    """The cause of a failed connection, as Go prints it: `connect: connection refused`, `i/o timeout`."""
    if isinstance(error, reasons.ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(error, TimeoutError | reasons.TimeoutError):
        return "i/o timeout"
    number = getattr(error, "osError", None) or getattr(error, "errno", None)
    number = number.errno if isinstance(number, OSError) else number
    if isinstance(number, int) and number in errno.errorcode:
        return f"connect: {os.strerror(number).lower()}"
    return f"connect: {error}"


class _Client(tcp.Client):
    def connectionLost(self, reason: Failure) -> None:
        client: Any = super()
        number = 0 if self.connected else self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            client.failIfNotConnected(reasons.getConnectError((number, os.strerror(number))))
        else:
            client.connectionLost(reason)


class _Connects:
    """The part of a reactor that `TCP4ClientEndpoint` uses."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def connectTCP(self, *arguments: Any, **named: Any) -> Any:
        connector = self._reactor.connectTCP(*arguments, **named)
        client = getattr(connector, "transport", None)
        if type(client) is tcp.Client:
            client.__class__ = _Client  # it is made by the reactor, and connects in its next turn
        return connector
