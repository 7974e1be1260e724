"""Exchanges with a recursor: one packet and its reply, by UDP or TCP."""

import socket
import struct
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.dns.reply import is_reply_to

_DATAGRAM_SIZE_MAX: Final = 65_535
_SIZE: Final = struct.Struct("!H")


@implementer(IReadDescriptor)
class UdpExchange:
    """A UDP exchange, from a port of its own. (Twisted's datagram port logs two lines for each.)"""

    def __init__(self, reactor: Any, address: tuple[str, int], packet: bytes, done: "Deferred[bytes]") -> None:
        self._reactor, self._packet, self._done = reactor, packet, done
        try:
            self._socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        except OSError as error:  # no descriptor is free
            done.errback(error)
            return
        self._socket.setblocking(False)
        done.addBoth(self._close)
        try:
            self._socket.connect(address)  # only the recursor may answer
            self._socket.send(packet)
        except OSError as error:
            done.errback(error)
            return
        reactor.addReader(self)

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return "DNS"

    def doRead(self) -> None:
        """Receive the reply. A packet that answers another question may be forged: the reply may still come."""
        try:
            reply = self._socket.recv(_DATAGRAM_SIZE_MAX)
        except BlockingIOError:
            return
        except OSError as error:
            self._done.errback(error)
            return
        if is_reply_to(self._packet, reply):
            self._done.callback(reply)

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """Fail: the port is closed."""
        if not self._done.called:
            self._done.errback(ConnectionRefusedError("connection refused"))

    def _close(self, result: Any) -> Any:
        self._reactor.removeReader(self)
        self._socket.close()
        return result


class TcpExchange(Protocol):
    """A TCP exchange."""

    transport: Any

    def __init__(self, packet: bytes, done: "Deferred[bytes]") -> None:
        self._packet, self._done = packet, done
        self._buffer = b""

    @classmethod
    def start(
        cls, reactor: Any, address: tuple[str, int], packet: bytes, timeout_s: float, done: "Deferred[bytes]"
    ) -> None:
        """Connect and send `packet`; `done` fires with the reply."""
        from twisted.internet.endpoints import HostnameEndpoint, connectProtocol

        protocol = cls(packet, done)
        connecting = connectProtocol(HostnameEndpoint(reactor, *address, timeout=timeout_s), protocol)
        connecting.addErrback(lambda failure: None if done.called else done.errback(failure))
        done.addBoth(protocol._close)

    def connectionMade(self) -> None:
        """Send the packet."""
        self.transport.write(_SIZE.pack(len(self._packet)) + self._packet)

    def dataReceived(self, data: bytes) -> None:
        """Collect the reply."""
        self._buffer += data
        if len(self._buffer) >= _SIZE.size:
            end = _SIZE.size + _SIZE.unpack_from(self._buffer)[0]
            if len(self._buffer) >= end and not self._done.called:
                self._done.callback(self._buffer[_SIZE.size : end])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail, unless the reply is complete."""
        if not self._done.called:
            self._done.errback(reason)

    def _close(self, result: Any) -> Any:
        if self.transport is not None:
            self.transport.abortConnection()
        return result
