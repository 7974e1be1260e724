"""Answers that go on until the client leaves (`/v1/agent/monitor`): a slow reader loses lines, memory stays small."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

#: How much waits for a slow client before lines are dropped, in bytes (the transport holds some more).
WAITING_MAX_BYTES: Final = 256 * 1024

Write = Callable[[bytes], None]


@implementer(IPushProducer)
class Stream:
    """Writes what `source` says to a request.

    `source(write)` starts and returns what stops it. `ended` fires when the client is gone.
    """

    def __init__(self, web: Any, source: Callable[[Write], Callable[[], None]]) -> None:
        self._web = web
        self._paused = False
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        #: Lines that a slow client did not get.
        self.dropped = 0
        self.ended: Deferred[bytes] = Deferred()
        web.notifyFinish().addBoth(self._end)
        web.registerProducer(self, True)
        web.write(b"")  # the headers, before there is a first line
        self._stop = source(self.write)

    def write(self, data: bytes) -> None:
        """Send a line, or keep it while the client is slow, or drop it when it is too slow."""
        if not self._paused:
            self._web.write(data)
        elif self._waiting_bytes + len(data) <= WAITING_MAX_BYTES:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
        else:
            self.dropped += 1

    def pauseProducing(self) -> None:
        """The client reads too slowly."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It caught up."""
        self._paused = False
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if waiting:
            self._web.write(b"".join(waiting))

    def stopProducing(self) -> None:
        """It is gone; `notifyFinish` says so too."""

    def _end(self, _: Any) -> None:
        self._stop()
        self.ended.callback(b"")
