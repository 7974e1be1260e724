"""Large bodies: rendered and compressed in a thread, a part at a time, and written with backpressure.

A part is small, so the thread holds the interpreter for a short time only: the reactor gets it back after each switch
interval, and during compression at once. The rows are those of one read of the store; rows are replaced, never changed,
so a response shows one state whatever is written meanwhile.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from consulpy.http.api.render import Rows, joined_parts
from consulpy.rpc.spool_file import InThread, Spool, SpoolSender

#: Bodies above this are sent in parts, in bytes; rows with more values, or more rows than that, are rendered in parts.
LARGE_BYTES: Final = 2 * 1024 * 1024
LARGE_ROWS: Final = 4096
#: Size of a part, in bytes.
PART_BYTES: Final = 256 * 1024
#: The fastest level of zlib.
GZIP_LEVEL: Final = 1
#: Held while a part is rendered: only one thread at a time competes with the reactor for the interpreter.
_INTERPRETER: Final = Lock()
#: zlib's `wbits` for gzip with a window of 32 KiB.
_GZIP_FORMAT: Final = 31


def is_large(body: Any) -> bool:
    """Whether a JSON body is to be rendered in parts."""
    if isinstance(body, dict):
        return any(isinstance(value, Rows) and is_large(value) for value in body.values())
    if not isinstance(body, Rows):
        return False
    if len(body.rows) > LARGE_ROWS:
        return True
    size = body.size
    return size is not None and sum(map(size, body.rows)) > LARGE_BYTES


class Parts:
    """The bytes of a body in parts."""

    __slots__ = ("parts", "size")

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = parts
        self.size = sum(map(len, parts))

    def send(self, consumer: Any, done: Callable[[], None]) -> None:
        """Write them with backpressure, then call `done`."""
        Producer(self, consumer, done).start()


class SpooledBody:
    """A body in a file, which is closed at the end. `in_thread`: reads it."""

    __slots__ = ("_in_thread", "_spool")

    def __init__(self, spool: Spool, in_thread: InThread) -> None:
        self._spool = spool
        self._in_thread = in_thread

    def send(self, consumer: Any, done: Callable[[], None]) -> None:
        """Write it with backpressure, then call `done`; cut short if it cannot be read."""

        def sent(error: Exception | None) -> None:
            if error is not None:
                consumer.cut()
            done()

        SpoolSender(self._spool, consumer, self._in_thread, sent).start()

    def discard(self) -> None:
        """Close the archive: the response is not sent."""
        self._spool.close()


def sliced(body: bytes) -> Iterator[bytes]:
    """A whole body in parts."""
    view = memoryview(body)
    return (bytes(view[at : at + PART_BYTES]) for at in range(0, len(body), PART_BYTES))


class Rendering:
    """One body that `run` renders in a thread; `cancelled` may be set at any time."""

    def __init__(self, parts: Iterable[bytes], *, compress: bool) -> None:
        self._parts = parts
        self._compress = compress
        self.cancelled = False

    def run(self) -> Parts:
        """All parts; fewer after a cancellation."""
        rendered = self._one_at_a_time()
        return Parts(list(self._until_cancelled(self._compressed(rendered) if self._compress else rendered)))

    def _one_at_a_time(self) -> Iterator[bytes]:
        parts = iter(self._parts)
        while True:
            with _INTERPRETER:
                part = next(parts, None)
            if part is None:
                return
            yield part

    def _until_cancelled(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        for part in parts:
            if self.cancelled:
                return
            if part:
                yield part

    def _compressed(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
        for part in parts:
            yield packer.compress(part)
        yield packer.flush()


@implementer(IPushProducer)
class Producer:
    """Writes `parts` to `consumer` with backpressure, then calls `done`; not if the client disconnects."""

    def __init__(self, parts: Parts, consumer: Any, done: Callable[[], None]) -> None:
        self._parts = iter(parts.parts)
        self._consumer = consumer
        self._done = done
        self._paused = False

    def start(self) -> None:
        """Register with the consumer, and write the first parts."""
        self._consumer.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """Stop writing: the consumer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Write until the consumer is full."""
        self._paused = False
        while not self._paused:
            part = next(self._parts, None)
            if part is None:
                self._paused = True
                self._consumer.unregisterProducer()
                self._done()
            else:
                self._consumer.write(part)

    def stopProducing(self) -> None:
        """Stop: the client has disconnected."""
        self._paused = True


def json_parts(body: Any, pretty: bool) -> Iterator[bytes]:
    """The JSON of a body with `Rows` in it, as `render.to_bytes` gives it, in parts."""
    return joined_parts(body, pretty, PART_BYTES)


__all__ = [
    "GZIP_LEVEL",
    "LARGE_BYTES",
    "Parts",
    "Rendering",
    "SpooledBody",
    "is_large",
    "json_parts",
    "sliced",
]
