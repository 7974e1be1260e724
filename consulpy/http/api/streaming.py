"""Endless responses (`/v1/agent/monitor`): lines are dropped while the client reads too slowly."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

#: Bytes that are buffered for a slow client, beside the transport's buffer; above it lines are dropped.
BUFFER_MAX_BYTES: Final = 256 * 1024

Write = Callable[[bytes], None]


@implementer(IPushProducer)
class Stream:
    """Writes the lines of `source` to a request.

    `source(write)` starts it, and returns what stops it. `ended` fires when the client has disconnected.
    """

    def __init__(self, web: Any, source: Callable[[Write], Callable[[], None]]) -> None:
        self._web = web
        self._paused = False
        self._buffered: list[bytes] = []
        self._buffered_bytes = 0
        #: Number of dropped lines.
        self.dropped = 0
        self.ended: Deferred[bytes] = Deferred()
        web.notifyFinish().addBoth(self._end)
        web.registerProducer(self, True)
        web.write(b"")  # the headers, before there is a first line
        self._stop = source(self.write)

    def write(self, data: bytes) -> None:
        """Write a line; buffer or drop it while the transport is full."""
        if not self._paused:
            self._web.write(data)
        elif self._buffered_bytes + len(data) <= BUFFER_MAX_BYTES:
            self._buffered.append(data)
            self._buffered_bytes += len(data)
        else:
            self.dropped += 1

    def pauseProducing(self) -> None:
        """Begin to buffer."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Write the buffered lines."""
        self._paused = False
        waiting, self._buffered, self._buffered_bytes = self._buffered, [], 0
        if waiting:
            self._web.write(b"".join(waiting))

    def stopProducing(self) -> None:
        """Nothing: `notifyFinish` reports the end."""

    def _end(self, _: Any) -> None:
        self._stop()
        self.ended.callback(b"")
