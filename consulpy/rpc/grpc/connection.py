"""The server's side of one HTTP/2 connection with gRPC calls; pure: bytes in, bytes out (RFC 9113, by the library h2).

Flow control: a call sends what the client's windows allow, the rest waits in its queue. Calls of one connection take
turns, so that the window of the connection is shared.
"""

from collections.abc import Callable
from typing import Any, Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from consulpy.errors import WireError
from consulpy.rpc.grpc.call import Call
from consulpy.rpc.grpc.framing import CallError, Code, check_is_http2, refusal

#: Calls at a time, as real servers allow.
CALLS_MAX: Final = 2048
#: Headers of one request, in bytes.
HEADERS_MAX_BYTES: Final = 16 * 1024
#: Calls that a client may cancel between two pings of ours: who opens and cancels without end keeps a server busy
#: (CVE-2023-44487).
CANCELLED_MAX: Final = 4096
#: Bytes of frames that are not complete. A frame has up to 16 KiB, and headers a few of them.
UNFRAMED_MAX_BYTES: Final = 128 * 1024
_PREFACE_BYTES: Final = 24

#: Begins a call whose request is complete. Raises `CallError`.
Serve = Callable[[Call], None]


class GrpcConnection:
    """One connection. `write`: sends bytes. `serve`: begins a call. `account(change)`: bytes that wait for the client.

    Raises nothing but `WireError` from `receive`.
    """

    def __init__(
        self, write: Callable[[bytes], object], serve: Serve, account: Callable[[int], object] = lambda _change: None
    ) -> None:
        self._write = write
        self._serve = serve
        self.account = account
        self._http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._http2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: CALLS_MAX,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_MAX_BYTES,
            },
        )
        self._start = b""
        #: Whether the peer has shown that it speaks HTTP/2: nothing is sent before.
        self._is_http2 = False
        self._calls: dict[int, Call] = {}
        #: Calls with something to send for which there was no room, in the order of their turns.
        self._blocked: dict[Call, None] = {}
        self._is_paused = self._is_closed = self._is_receiving = False
        self._cancelled = self._unframed_bytes = 0
        #: Called at each answer to a ping.
        self.on_pong: Callable[[], None] = lambda: None
        self._http2.initiate_connection()

    def __len__(self) -> int:
        """Number of calls that are not over."""
        return len(self._calls)

    def receive(self, data: bytes) -> None:
        """Process input. Raises `WireError` for what is not HTTP/2, after the peer was told."""
        if not self._is_http2:
            self._start += data[:_PREFACE_BYTES]
            check_is_http2(self._start)
            self._is_http2 = len(self._start) >= _PREFACE_BYTES
        self._is_receiving = True
        try:
            events = self._http2.receive_data(data)
            self._unframed_bytes = 0 if events else self._unframed_bytes + len(data)
            for event in events:
                self._handle(event)
        except (h2.exceptions.ProtocolError, UnicodeDecodeError) as error:
            self._is_receiving = False
            self._send()
            raise WireError(f"HTTP/2: {error}") from None
        finally:
            self._is_receiving = False
        self._flush_blocked()
        self._send()
        if self._unframed_bytes > UNFRAMED_MAX_BYTES:
            raise WireError("HTTP/2: a frame without end")

    def pause(self) -> None:
        """The socket is full: send nothing more."""
        self._is_paused = True

    def resume(self) -> None:
        """The socket is empty: continue."""
        self._is_paused = False
        self._flush_blocked()
        self._send()

    def ping(self) -> None:
        """Send a ping; `on_pong` is called when it is answered."""
        self._cancelled = 0
        self._http2.ping(b"consulpy")
        self._send()

    def go_away(self) -> None:
        """End all calls with `UNAVAILABLE`, and tell the peer to connect elsewhere."""
        if self._is_closed:
            return
        for call in list(self._calls.values()):
            on_end = call.on_end
            call.finish(Code.UNAVAILABLE, "the server is shutting down", at_once=True)
            on_end()
        self._is_closed = True
        self._http2.close_connection()
        self._send()

    def lost(self) -> None:
        """The connection is lost: end all calls."""
        self._is_closed = True
        calls, self._calls = self._calls, {}
        self._blocked.clear()
        for call in calls.values():
            call.lost()

    # -- input

    def _handle(self, event: Any) -> None:
        match event:
            case h2.events.RequestReceived():
                self._opened_call(event)
            case h2.events.DataReceived():
                self._received(event)
            case h2.events.StreamEnded():
                self._ended(event.stream_id)
            case h2.events.StreamReset():
                self._reset(event.stream_id)
            case h2.events.PingAckReceived():
                self.on_pong()
            case h2.events.ConnectionTerminated():
                raise WireError("")  # it closes the connection: no complaint

    def _opened_call(self, event: Any) -> None:
        headers = dict(event.headers)
        refused = refusal(headers)
        if refused is not None:
            self._http2.send_headers(event.stream_id, refused, end_stream=True)
            return
        self._calls[event.stream_id] = Call(self, event.stream_id, headers.get(":path", ""))

    def _received(self, event: Any) -> None:
        if event.flow_controlled_length:
            self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        call = self._calls.get(event.stream_id)
        if call is None or call.is_over:
            return
        try:
            call.received(event.data)
        except CallError as error:
            call.finish(error.code, str(error))

    def _ended(self, stream_id: int) -> None:
        call = self._calls.get(stream_id)
        if call is None or call.is_over:
            return
        try:
            self._serve(call)
        except CallError as error:
            call.finish(error.code, str(error))

    def _reset(self, stream_id: int) -> None:
        call = self._calls.pop(stream_id, None)
        if call is None:
            return
        self._blocked.pop(call, None)
        call.lost()
        self._cancelled += 1
        if self._cancelled > CANCELLED_MAX:
            raise WireError("it opens calls and cancels them without end")

    # -- output

    def flush(self, call: Call) -> None:
        """Send what a call has, as far as the windows allow."""
        if self._is_closed or call.stream_id not in self._calls:
            return
        if self._is_paused:
            self._blocked[call] = None
            return
        self._flush(call)
        if not self._is_receiving:
            self._send()

    def _flush_blocked(self) -> None:
        if self._is_paused or self._is_closed:
            return
        served = [call for call in list(self._blocked) if self._flush(call)]
        for call in served:  # the next turn is that of the streams that had no room
            if call in self._blocked:
                del self._blocked[call]
                self._blocked[call] = None

    def _flush(self, call: Call) -> bool:
        """Send what the windows allow; whether that was anything. A call with more to send is blocked then."""
        has_sent = False
        http2, stream_id = self._http2, call.stream_id
        try:
            headers = call.headers() if call.is_waiting else None
            if headers is not None:
                http2.send_headers(stream_id, headers)
            while call.is_waiting:
                room = min(http2.local_flow_control_window(stream_id), http2.max_outbound_frame_size)
                if room <= 0:
                    self._blocked[call] = None
                    return has_sent
                if data := call.take(room):
                    http2.send_data(stream_id, data)
                    has_sent = True
            self._blocked.pop(call, None)
            if (ending := call.ending()) is not None:
                http2.send_headers(stream_id, ending, end_stream=True)
                self._forget(call)
        except h2.exceptions.ProtocolError:  # the peer has closed the stream, or the connection
            self._forget(call)
            call.lost()
        return has_sent

    def _forget(self, call: Call) -> None:
        self._calls.pop(call.stream_id, None)
        self._blocked.pop(call, None)

    def _send(self) -> None:
        if self._is_http2 and (data := self._http2.data_to_send()):
            self._write(data)


def unimplemented(service: str, method: str, *, is_service_known: bool) -> CallError:
    """The error for a method that there is not, in the words of Go's server."""
    what = f"unknown method {method} for service {service}" if is_service_known else f"unknown service {service}"
    return CallError(Code.UNIMPLEMENTED, what)
