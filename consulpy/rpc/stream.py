"""Streams of calls (docs/wire/rpc.md 3): one call at a time, replied in order.

`ServerStream` reads requests and serves them one after the other; `ClientStream` makes one call at a time. Both are
pure: their `Channel` is a yamux stream or a plain connection.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from consulpy.errors import RPCError, WireError
from consulpy.log import Logger
from consulpy.rpc.acl.denied import details_of
from consulpy.rpc.limits.memory_budget import Backpressure
from consulpy.rpc.limits.time_slice import TimeSlicer
from consulpy.rpc.messages import (
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    ObjectReader,
    RequestHeader,
    ResponseHeader,
    error_response,
    pack_reply,
    reply_parts,
    request,
    response,
)

_log = Logger()


class Channel(Protocol):
    """The byte stream below a stream of calls (`yamux.Stream`)."""

    @property
    def is_clear(self) -> bool:
        """Whether all sent bytes are out of the buffers: only then the next call is served."""

    def send(self, data: bytes) -> None:
        """Send bytes."""

    def consumed(self, size: int) -> None:
        """Open the receive window by `size` bytes that were processed."""

    def close(self) -> None:
        """Close this direction."""


class RefusedCall(RPCError):
    """An error reply after which the stream is closed (no such method, bad body)."""


#: Serves a call: `serve(method, body) -> reply`. Raises or fails with `RPCError`.
Serve = Callable[[str, Any], "Deferred[Any]"]
#: Accounts for buffered requests: `on_memory(change in bytes)`.
OnMemory = Callable[[int], None]

#: The key of a blocking query: it is cancelled when its client has disconnected.
_WAITS: Final = b"MinQueryIndex"


class ServerStream:
    """Serves the requests of one stream.

    `serve(method, body)`: gets the unpacked body. `on_memory(change)`: accounts for buffered bytes. `backpressure`:
    queues replies; `slicer`: queues calls (None: they run at once). `log_refused(why)`: a line for each malformed call.
    """

    def __init__(
        self,
        channel: Channel,
        serve: Serve,
        on_memory: OnMemory = lambda _change: None,
        *,
        backpressure: Backpressure | None = None,
        slicer: TimeSlicer | None = None,
        log_refused: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._backpressure = backpressure if backpressure is not None else Backpressure()
        self._slicer = slicer
        self._log_refused = log_refused
        self._channel = channel
        self._serve = serve
        self._on_memory = on_memory
        self._held = 0
        self._unread = bytearray()
        self._reader = ObjectReader(MAX_REQUEST_BYTES, strict=True)
        self._header: RequestHeader | None = None
        self._call: Deferred[Any] | None = None
        self._may_drop_call = False
        self._body_bytes = 0
        self._is_queued = False
        self._ended = False
        self._closed = False
        self._is_working = False
        #: The remaining parts of a large reply; whether one is being sent.
        self._parts: Iterator[bytes] | None = None
        self._is_sending = False

    def data_received(self, data: bytes) -> None:
        """Read requests; during a call bytes are buffered, and the receive window stays closed."""
        if self._closed:
            return
        if self._is_busy or not self._channel.is_clear:
            self._unread += data
            self._account()
            return
        self._read(data)

    def drained(self) -> None:
        """The buffers are empty: send the next part of a reply, or read the next request."""
        if self._parts is not None:
            if not self._is_sending:
                self._send_parts()
        elif not self._closed and not self._is_busy and not self._is_working:
            self._go_on()

    def ended(self) -> None:
        """End of input. The current call is still replied to, unless it is a blocking query."""
        self._ended = True
        if not self._is_busy:
            self._close()
        elif self._may_drop_call:
            self._close()
            self._drop_call()

    def lost(self, reason: str) -> None:  # noqa: ARG002
        """The stream is lost: cancel the call."""
        self._closed = True
        self._parts = None
        self._cancel_queued()
        self._account()
        self._drop_call()

    @property
    def _is_busy(self) -> bool:
        return self._is_queued or self._call is not None

    def _cancel_queued(self) -> None:
        self._backpressure.cancel(self)
        if self._slicer is not None:
            self._slicer.cancel(self)

    def _drop_call(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _read(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            self._channel.consumed(len(data))
        except WireError as error:
            self._refuse_body(error)
        self._go_on()

    def _go_on(self) -> None:
        try:
            self._work()
        except WireError as error:
            self._refuse_body(error)
        self._account()

    def _account(self) -> None:
        held = 0 if self._closed else self._reader.memory_bytes + len(self._unread) + self._body_bytes
        change, self._held = held - self._held, held
        if change:
            self._on_memory(change)

    def _work(self) -> None:
        """Process complete objects, until a call is pending."""
        self._is_working = True
        try:
            while not self._is_busy and not self._closed and self._channel.is_clear and self._work_once():
                pass
        finally:
            self._is_working = False

    def _work_once(self) -> bool:
        """Process the next object; False when more bytes are needed."""
        found = self._reader.next()
        if found is None:
            if self._unread:
                data, self._unread = bytes(self._unread), bytearray()
                self._reader.feed(data)
                self._channel.consumed(len(data))
                return True
            if self._ended:
                self._close()
            return False
        if self._header is None:
            self._header = RequestHeader.from_wire(found[0])
        else:
            header, self._header = self._header, None
            self._body_bytes = found[1]
            self._submit(header, found[0])
        return True

    def _submit(self, header: RequestHeader, body: Any) -> None:
        self._may_drop_call = isinstance(body, dict) and bool(body.get(_WAITS))
        if self._slicer is None:
            self._begin(header, body)
        else:
            self._is_queued = True
            self._slicer.submit(self, lambda: self._begin(header, body))

    def _begin(self, header: RequestHeader, body: Any) -> None:
        """Run the call."""
        self._is_queued = False
        if self._closed:
            return
        call = self._call = self._serve(header.service_method, body)
        call.addCallbacks(self._succeeded, self._failed, callbackArgs=(header,), errbackArgs=(header,))

    def _succeeded(self, reply: Any, header: RequestHeader) -> None:
        if not self._closed:
            self._backpressure.submit(self, lambda: self._reply(reply, header))

    def _reply(self, reply: Any, header: RequestHeader) -> None:
        """Send the reply."""
        if self._closed:
            return
        try:
            parts = reply_parts(reply)
            body = next(parts) if parts is not None else pack_reply(reply)
            self._parts = parts
            self._channel.send(response(header.seq, header.service_method, body))
        except Exception:
            _log.failure("the reply of {method} cannot be packed", method=header.service_method)
            self._close()
        if self._parts is None:
            self._next()
        else:
            self._may_drop_call = False
            self._send_parts()

    def _send_parts(self) -> None:
        """Send parts of a large reply until the buffers are full."""
        self._is_sending = True
        try:
            while self._parts is not None and not self._closed and self._channel.is_clear:
                part = next(self._parts, None)
                if part is not None:
                    self._channel.send(part)
                else:
                    self._parts = None
        except Exception:
            _log.failure("the reply of a call cannot be packed")
            self._parts = None
            self._close()
        finally:
            self._is_sending = False
        if self._parts is None:
            self._next()

    def _failed(self, failure: Failure, header: RequestHeader) -> None:
        if self._closed:
            return
        error: Any = failure.value
        self._channel.send(error_response(header.seq, header.service_method, str(error), details_of(error)))
        if failure.check(RefusedCall):
            self._log_refused(f"{header.service_method}: {failure.value}")
            self._close()
        else:
            self._next()

    def _next(self) -> None:
        self._call = None
        self._body_bytes = 0
        if not self._is_working:  # else the loop continues
            self._go_on()

    def _refuse_body(self, error: WireError) -> None:
        """Close after undecodable input; with an error reply if the header is known."""
        header, self._header = self._header, None
        if self._closed:
            return
        self._log_refused(str(error))
        if header is not None:
            self._channel.send(error_response(header.seq, header.service_method, f"codec.decoder: {error}"))
        self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._cancel_queued()
            self._account()
            self._channel.close()


class ClientStream:
    """Makes calls on one stream, one at a time. Set `channel` first."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self._reader = ObjectReader(MAX_RESPONSE_BYTES)
        self._header: ResponseHeader | None = None
        self._waiting: Deferred[Any] | None = None
        self.is_broken = False

    def call(self, seq: int, method: str, body: bytes) -> "Deferred[Any]":
        """The unpacked reply. Fails with `RemoteError`, or `ConnectionGone`. Cancelling it breaks the stream."""
        assert self._waiting is None, "one call at a time"
        assert self.channel is not None, "set the channel first"
        waiting: Deferred[Any] = Deferred(self._cancelled)
        if self.is_broken:
            waiting.errback(ConnectionGone("stream closed"))
            return waiting
        self._waiting = waiting
        self.channel.send(request(seq, method, body))
        return waiting

    def data_received(self, data: bytes) -> None:
        """Read the response."""
        if self.channel is not None:
            self.channel.consumed(len(data))
        try:
            self._reader.feed(data)
            while self._waiting is not None and (found := self._reader.next()) is not None:
                self._object(found[0])
        except WireError as error:
            self._fail(ConnectionGone(f"codec.decoder: {error}"))
        if self._waiting is None and self._reader.buffered:
            self._break()  # unexpected bytes

    def drained(self) -> None:
        """Nothing to do: the request is sent."""

    def ended(self) -> None:
        """End of input: fail the call."""
        self._break()
        self._fail(ConnectionGone("EOF"))

    def lost(self, reason: str) -> None:
        """The stream is lost: cancel the call."""
        self.is_broken = True
        self._fail(ConnectionGone(reason))

    def close(self) -> None:
        """Close the stream."""
        self._break()

    def _object(self, value: Any) -> None:
        if self._header is None:
            self._header = ResponseHeader.from_wire(value)
            return
        header, self._header = self._header, None
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        if header.error:
            self._break()  # a stream is not used again after an error
            waiting.errback(RemoteError(header.error, value))
        else:
            waiting.callback(value)

    def _cancelled(self, _deferred: "Deferred[Any]") -> None:
        self._waiting = None
        self._break()

    def _fail(self, error: Exception) -> None:
        self.is_broken = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(error)

    def _break(self) -> None:
        self.is_broken = True
        if self.channel is not None:
            channel, self.channel = self.channel, None
            channel.close()


class RemoteError(RPCError):
    """An error reply; the text is the server's. `body`: what came after it, as it was unpacked."""

    def __init__(self, message: str, body: Any = None) -> None:
        super().__init__(message)
        self.body = body


class ConnectionGone(RPCError):
    """The stream or connection was lost before the response; the text is Go's."""
