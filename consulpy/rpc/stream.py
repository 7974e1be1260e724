"""One stream of calls, seen from both ends (docs/wire/rpc.md 3): one call at a time, answered in order.

`ServerStream` reads requests and has them answered one after the other; `ClientStream` makes one call, waits, and makes
the next. Both are pure: they stand on a `Channel`, which is a yamux stream or a plain connection.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from consulpy.errors import RPCError, WireError
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
    """Where the bytes of a stream go (`yamux.Stream`)."""

    @property
    def is_clear(self) -> bool:
        """Whether all that was sent is out: while it is not, no other call is answered."""

    def send(self, data: bytes) -> None:
        """Send."""

    def consumed(self, size: int) -> None:
        """So many received bytes were dealt with."""

    def close(self) -> None:
        """Send no more."""


class RefusedCall(RPCError):
    """A call that is answered with its error, and after which the stream is closed (no such method, bad body)."""


#: Answers a call: `serve(method, body) -> reply`. Raises or fails with `RPCError`.
Serve = Callable[[str, Any], "Deferred[Any]"]
#: How much of its requests is kept: `hold(change in bytes)`.
Hold = Callable[[int], None]

#: A call with this key only waits for a change: it is dropped when its caller goes.
_WAITS: Final = b"MinQueryIndex"


class ServerStream:
    """Answers the requests of one stream.

    `serve(method, body)` gets the unpacked body. `hold(change)` is told how many more bytes are kept. Answers are made
    when there is `room` for them, calls when it is their turn (`turns` None: at once). `complain(why)` gets a line for
    each call that was refused for its form.
    """

    def __init__(
        self,
        channel: Channel,
        serve: Serve,
        hold: Hold = lambda _change: None,
        *,
        room: Backpressure | None = None,
        turns: TimeSlicer | None = None,
        complain: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._room = room if room is not None else Backpressure()
        self._turns = turns
        self._complain = complain
        self._channel = channel
        self._serve = serve
        self._hold = hold
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
        #: What is left of a large answer; whether some of it is being sent.
        self._parts: Iterator[bytes] | None = None
        self._is_sending = False

    def data_received(self, data: bytes) -> None:
        """Bytes of the caller. While a call is being answered they wait, and so does the caller's window."""
        if self._closed:
            return
        if self._is_busy or not self._channel.is_clear:
            self._unread += data
            self._account()
            return
        self._read(data)

    def drained(self) -> None:
        """The caller took the answer, or a part of it: the next part is sent, or its next call is read."""
        if self._parts is not None:
            if not self._is_sending:
                self._send_parts()
        elif not self._closed and not self._is_busy and not self._is_working:
            self._go_on()

    def ended(self) -> None:
        """The caller sends no more. What it asked is still answered, except that nobody waits for changes any more."""
        self._ended = True
        if not self._is_busy:
            self._close()
        elif self._may_drop_call:
            self._close()
            self._drop_call()

    def lost(self, reason: str) -> None:  # noqa: ARG002
        """The stream is gone."""
        self._closed = True
        self._parts = None
        self._leave()
        self._account()
        self._drop_call()

    @property
    def _is_busy(self) -> bool:
        return self._is_queued or self._call is not None

    def _leave(self) -> None:
        self._room.leave(self)
        if self._turns is not None:
            self._turns.leave(self)

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
        held = 0 if self._closed else self._reader.kept + len(self._unread) + self._body_bytes
        change, self._held = held - self._held, held
        if change:
            self._hold(change)

    def _work(self) -> None:
        """Answer what is complete, until a call has to be waited for."""
        self._is_working = True
        try:
            while not self._is_busy and not self._closed and self._channel.is_clear and self._work_once():
                pass
        finally:
            self._is_working = False

    def _work_once(self) -> bool:
        """Take the next object; False when more bytes are needed."""
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
            self._answer(header, found[0])
        return True

    def _answer(self, header: RequestHeader, body: Any) -> None:
        self._may_drop_call = isinstance(body, dict) and bool(body.get(_WAITS))
        if self._turns is None:
            self._begin(header, body)
        else:
            self._is_queued = True
            self._turns.enter(self, lambda: self._begin(header, body))

    def _begin(self, header: RequestHeader, body: Any) -> None:
        """It is the call's turn."""
        self._is_queued = False
        if self._closed:
            return
        call = self._call = self._serve(header.service_method, body)
        call.addCallbacks(self._succeeded, self._failed, callbackArgs=(header,), errbackArgs=(header,))

    def _succeeded(self, reply: Any, header: RequestHeader) -> None:
        if not self._closed:
            self._room.enter(self, lambda: self._reply(reply, header))

    def _reply(self, reply: Any, header: RequestHeader) -> None:
        """There is room for the answer."""
        if self._closed:
            return
        try:
            parts = reply_parts(reply)
            body = next(parts) if parts is not None else pack_reply(reply)
            self._parts = parts
            self._channel.send(response(header.seq, header.service_method, body))
        except Exception:
            _log.failure("the answer to {method} cannot be packed", method=header.service_method)
            self._close()
        if self._parts is None:
            self._next()
        else:
            self._may_drop_call = False
            self._send_parts()

    def _send_parts(self) -> None:
        """Send of a large answer what the caller takes now."""
        self._is_sending = True
        try:
            while self._parts is not None and not self._closed and self._channel.is_clear:
                part = next(self._parts, None)
                if part is not None:
                    self._channel.send(part)
                else:
                    self._parts = None
        except Exception:
            _log.failure("the answer to a call cannot be packed")
            self._parts = None
            self._close()
        finally:
            self._is_sending = False
        if self._parts is None:
            self._next()

    def _failed(self, failure: Failure, header: RequestHeader) -> None:
        if self._closed:
            return
        self._channel.send(error_response(header.seq, header.service_method, str(failure.value)))
        if failure.check(RefusedCall):
            self._complain(f"{header.service_method}: {failure.value}")
            self._close()
        else:
            self._next()

    def _next(self) -> None:
        self._call = None
        self._body_bytes = 0
        if not self._is_working:  # else the loop goes on by itself
            self._go_on()

    def _refuse_body(self, error: WireError) -> None:
        """What cannot be decoded: an answer if it is known whose, then the end."""
        header, self._header = self._header, None
        if self._closed:
            return
        self._complain(str(error))
        if header is not None:
            self._channel.send(error_response(header.seq, header.service_method, f"codec.decoder: {error}"))
        self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._leave()
            self._account()
            self._channel.close()


class ClientStream:
    """Makes calls on one stream, one at a time."""

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
        """Bytes of the answer."""
        if self.channel is not None:
            self.channel.consumed(len(data))
        try:
            self._reader.feed(data)
            while self._waiting is not None and (found := self._reader.next()) is not None:
                self._object(found[0])
        except WireError as error:
            self._fail(ConnectionGone(f"codec.decoder: {error}"))
        if self._waiting is None and self._reader.buffered:
            self._break()  # bytes that nobody asked for

    def drained(self) -> None:
        """The request is out."""

    def ended(self) -> None:
        """The server sends no more."""
        self._break()
        self._fail(ConnectionGone("EOF"))

    def lost(self, reason: str) -> None:
        """The stream is gone."""
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
            waiting.errback(RemoteError(header.error))
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
    """The server answered with an error; the text is the server's."""


class ConnectionGone(RPCError):
    """The stream or connection went away before the answer; the text is Go's word for how."""
