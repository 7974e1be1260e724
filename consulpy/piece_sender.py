"""A producer of large data, piece by piece."""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

#: `found(piece)`: the next piece, b"" after the last one, or the error.
Found = Callable[[bytes | Exception], None]


@implementer(IPushProducer)
class PieceSender:
    """Writes pieces as fast as `consumer` takes them; one at a time is in memory.

    `read(found)`: reads the next piece. `done(error)`: all are written, or one could not be read; not called after
    `stopProducing`. `close()`: nothing is read any more.
    """

    def __init__(
        self,
        consumer: Any,
        read: Callable[[Found], None],
        done: Callable[[Exception | None], None],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._consumer = consumer
        self._read = read
        self._done = done
        self._close = close
        self._is_reading = self._is_paused = self._is_over = False

    def start(self) -> None:
        """Register with the consumer, and read the first piece."""
        self._consumer.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """Pause: the consumer's buffer is full."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """Read the next piece."""
        self._is_paused = False
        if not (self._is_reading or self._is_over):
            self._is_reading = True
            self._read(self._found)

    def stopProducing(self) -> None:
        """End: the consumer is disconnected."""
        self._is_over = True
        if not self._is_reading:
            self._close()

    def _found(self, piece: bytes | Exception) -> None:
        self._is_reading = False
        if self._is_over:
            self._close()
        elif isinstance(piece, Exception) or not piece:
            self._is_over = True
            self._close()
            self._consumer.unregisterProducer()
            self._done(piece if isinstance(piece, Exception) else None)
        else:
            self._consumer.write(piece)
            if not self._is_paused:
                self.resumeProducing()
