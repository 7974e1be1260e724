"""Drives a `GrpcConnection` on a TCP connection: keepalive, write timeout, backpressure."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from consulpy.rpc.grpc.connection import GrpcConnection, Serve
from consulpy.rpc.net.connection import KEEPALIVE_INTERVAL_S, PONG_TIMEOUT_S, WRITE_TIMEOUT_S

if TYPE_CHECKING:
    from consulpy.rpc.net.connection import RpcConnection


@implementer(IPushProducer)
class GrpcDriver:
    """The handler of a connection after the first byte 8. `account`: bytes that wait for the client."""

    def __init__(self, protocol: "RpcConnection", serve: Serve, account: Callable[[int], object]) -> None:
        self._protocol = protocol
        self._timers = protocol.timers
        self.grpc = GrpcConnection(protocol.transport.write, serve, account)
        self.grpc.on_pong = self._pong
        protocol.transport.registerProducer(self, True)
        self._timers.start("keep-alive", KEEPALIVE_INTERVAL_S, self._ping)

    def data_received(self, data: bytes) -> None:
        """Process input. Raises `WireError`."""
        self.grpc.receive(data)

    def lost(self) -> None:
        """End all calls: the connection is lost."""
        self.grpc.lost()

    def go_away(self) -> None:
        """End all calls: the server closes the connection."""
        self.grpc.go_away()

    def pauseProducing(self) -> None:
        """The socket is full: stop sending and reading."""
        self.grpc.pause()
        self._protocol.transport.pauseProducing()
        self._timers.start("write", WRITE_TIMEOUT_S, self._protocol.abort, "it did not read for too long")

    def resumeProducing(self) -> None:
        """The socket is empty: continue."""
        self._timers.stop("write")
        self._protocol.transport.resumeProducing()
        self.grpc.resume()

    def stopProducing(self) -> None:
        """Nothing to do: see `lost`."""

    def _ping(self) -> None:
        self.grpc.ping()
        self._timers.start("pong", PONG_TIMEOUT_S, self._protocol.abort, "it answers no ping")
        self._timers.start("keep-alive", KEEPALIVE_INTERVAL_S, self._ping)

    def _pong(self) -> None:
        self._timers.stop("pong")
