"""The transport of accepted connections: reads once before the reactor watches it, closes without another turn of it.

A connection with one request whose response is cached costs six system calls instead of twelve: half as many requests
again in a second. Everything else is Twisted's.
"""

from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.tcp import Connection, Server
from twisted.python.failure import Failure

from consulpy.log import Logger

_log = Logger()
_DONE: Final = Failure(ConnectionDone())


class EagerTransport(Server):
    """The transport of an accepted connection (`Port.transport`); its protocol calls `begin` in `connectionMade`."""

    #: Beside Twisted's thirty attributes: with more, each connection would have a dict twice as large.
    __slots__ = ("_begins", "_is_wanted", "_was_watched")

    #: Sockets are not inherited (FD_CLOEXEC): `close` ends the connection without a `shutdown` before it.
    _shouldShutdown = False  # noqa: N815 - Twisted's name

    def __init__(self, *arguments: Any) -> None:
        self._begins, self._is_wanted = True, False
        #: Whether the reactor ever watched whether the socket takes data.
        self._was_watched = False
        super().__init__(*arguments)

    def startReading(self) -> None:
        """Watch the socket; before the end of `begin` only note that."""
        self._is_wanted = True
        if not self._begins:
            super().startReading()  # type: ignore[no-untyped-call]

    def stopReading(self) -> None:
        """Stop watching the socket; before the end of `begin` only note that."""
        self._is_wanted = False
        if not self._begins:
            super().stopReading()  # type: ignore[no-untyped-call]

    def startWriting(self) -> None:
        """Watch whether the socket takes data."""
        self._was_watched = True
        super().startWriting()  # type: ignore[no-untyped-call]

    def stopWriting(self) -> None:
        """Watch that no longer; most connections never did."""
        if self._was_watched:
            super().stopWriting()  # type: ignore[no-untyped-call]

    def begin(self) -> None:
        """Read the bytes that have arrived; then watch the socket if the connection is open and wants more."""
        try:
            self.doRead()  # the end of input is reported again to the reactor
        except Exception:
            _log.failure("a connection failed on its first bytes")
            self.connectionLost(Failure())
        self._begins = False
        if self._is_wanted:
            self.startReading()

    def close(self) -> None:
        """Close when all is written; within `begin` at once, if it is."""
        if self._begins and not self._tempDataLen and self.offset == len(self.dataBuffer):
            self.connectionLost(_DONE)
        else:
            self.loseConnection()  # type: ignore[no-untyped-call]


def close_when_written(transport: Any) -> None:
    """Close a transport whose peer sends nothing more: at once, without another turn, if all is written."""
    is_tcp = isinstance(transport, Connection)
    if is_tcp and not transport._tempDataLen and transport.offset == len(transport.dataBuffer):
        transport.connectionLost(_DONE)
    else:
        transport.loseConnection()
