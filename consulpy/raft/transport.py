"""Connections to other servers: calls, and the state of a snapshot (docs/wire/raft.md 1)."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgpack
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.codec.record import Record
from consulpy.errors import WireError
from consulpy.raft.framing import CALL_TIMEOUT_S, RAFT_BYTE, RaftUnpacker
from consulpy.raft.interfaces import Answered
from consulpy.raft.messages import RaftError, Request, decode_reply, encode_request


class PeerConnection(Protocol):
    """A connection that we made. Calls may be sent without waiting; answers come in their order."""

    def __init__(self, clock: Clock, closed: Callable[["PeerConnection"], None]) -> None:
        self._clock = clock
        self._closed = closed
        self._unpacker = RaftUnpacker()
        self._calls: deque[tuple[type[Request], Answered, Timer]] = deque()
        self._error: Any = None
        self._has_error = False
        self.is_open = True

    @property
    def is_idle(self) -> bool:
        """Whether no request is pending."""
        return self.is_open and not self._calls

    def connectionMade(self) -> None:
        """Send the byte that selects Raft."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.write(RAFT_BYTE)

    def ask(self, request: Request, answered: Answered, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Send a request; a closed connection fails it, but never from within the call."""
        if not self.is_open:
            self._clock.callLater(0, answered, RaftError("EOF"))
            return
        timer = self._clock.callLater(timeout_s, self._timed_out)
        self._calls.append((type(request), answered, timer))
        transport: Any = self.transport
        transport.write(encode_request(request))

    def dataReceived(self, data: bytes) -> None:
        """Process received replies."""
        try:
            self._unpacker.feed(data)
            while self.is_open and self._next():
                pass
        except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException, WireError) as error:
            self.close(f"its answer cannot be read: {error}")

    def _next(self) -> bool:
        try:
            value = self._unpacker.unpack()
        except msgpack.OutOfData:
            return False
        if not self._has_error:
            self._error, self._has_error = value, True
            return True
        self._has_error = False
        if not self._calls:
            raise WireError("an answer to nothing")
        kind, answered, timer = self._calls.popleft()
        timer.cancel()
        try:
            reply: Record | Exception = decode_reply(kind, self._error, value)
        except RaftError as error:
            reply = error
        answered(reply)
        return True

    def _timed_out(self) -> None:
        self.close("i/o timeout")

    def close(self, why: str) -> None:
        """Close the connection; all calls fail."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()
        self._end(why)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Fail all pending calls."""
        self._end("EOF")

    def _end(self, why: str) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._closed(self)
        calls, self._calls = self._calls, deque()
        for _, answered, timer in calls:
            cancel_timer(timer)
            answered(RaftError(why))
