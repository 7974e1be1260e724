"""gRPC checks against real sockets; texts as a real agent gave them."""

import struct
from collections.abc import Callable
from random import Random
from typing import Any

import h2.connection
import h2.events
import pytest
import pytest_twisted
from twisted.internet.protocol import Factory, Protocol
from twisted.web.server import Site

from consulpy.checks import grpc
from consulpy.checks.dial import Dialer
from consulpy.checks.grpc import GrpcProbe
from consulpy.checks.result import Result
from consulpy.checks.runner import Runner
from consulpy.errors import BadRequest
from consulpy.structs.definition import CheckType
from tests.harness.checks import HOST, Echo, outcome, reactor


class HealthServer(Protocol):
    """A gRPC server that knows the services `ok` and `sick`."""

    def connectionMade(self) -> None:
        from h2.config import H2Configuration

        self.http2 = h2.connection.H2Connection(H2Configuration(client_side=False))
        self.http2.initiate_connection()
        self.body = b""
        self.write()

    def write(self) -> None:
        assert self.transport is not None
        self.transport.write(self.http2.data_to_send())

    def dataReceived(self, data: bytes) -> None:
        for event in self.http2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.body += event.data or b""
            if isinstance(event, h2.events.StreamEnded):
                self.answer(event.stream_id)
        self.write()

    def answer(self, stream: int) -> None:
        service = self.body[7:].decode()
        known = {"": 1, "ok": 1, "sick": 2}
        headers = [(":status", "200"), ("content-type", "application/grpc")]
        if service not in known:
            missing = [*headers, ("grpc-status", "5"), ("grpc-message", "unknown service")]
            self.http2.send_headers(stream, missing, end_stream=True)
            return
        self.http2.send_headers(stream, headers)
        message = bytes([0x08, known[service]])
        self.http2.send_data(stream, b"\0" + struct.pack(">I", len(message)) + message)
        self.http2.send_headers(stream, [("grpc-status", "0")], end_stream=True)


@pytest.mark.parametrize(
    ("service", "status", "output"),
    [
        ("", "passing", "gRPC check {target}: success"),
        ("/ok", "passing", "gRPC check {target}: success"),
        ("/sick", "critical", "gRPC application didn't report service healthy"),
        ("/none", "critical", "rpc error: code = NotFound desc = unknown service"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_grpc_health(listen: Callable[[Any], int], service: str, status: str, output: str) -> None:
    target = f"{HOST}:{listen(Factory.forProtocol(HealthServer))}{service}"
    result = await outcome(GrpcProbe(Dialer(reactor), CheckType(grpc=target), 5))
    assert result == Result(status, output.format(target=target))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


SETTINGS = _frame(4, 0, 0, b"")
#: HEADERS (`:status` 200 by its index, the content type as a literal), a message, trailers (RFC 7541).
ANSWER = (
    _frame(1, 4, 1, b"\x88\x00\x0ccontent-type\x10application/grpc")
    + _frame(0, 0, 1, b"\0\0\0\0\2\x08\1")
    + _frame(1, 5, 1, b"\x00\x0bgrpc-status\x010")
)


def _goaway(last: int, code: int) -> bytes:
    return _frame(7, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + b"bye")


@pytest.mark.parametrize(
    ("sent", "output"),
    [
        (SETTINGS + ANSWER, "success"),
        (SETTINGS + _goaway(1, 0) + ANSWER, "success"),
        (SETTINGS + _goaway(2**31 - 1, 0) + ANSWER, "success"),
        (SETTINGS + _goaway(0, 0) + ANSWER, "Unavailable desc = the connection is draining"),
        (SETTINGS + _goaway(1, 11) + ANSWER, "Unavailable desc = the connection is draining"),
        (SETTINGS + _frame(3, 0, 1, bytes([0, 0, 0, 8])), "Canceled desc = stream terminated by RST_STREAM"),
        (SETTINGS + b"\xff" * 50, "Unavailable desc = no HTTP/2: a frame of 16777215 bytes"),
        (SETTINGS + _frame(0, 0, 1, b"early"), "Unavailable desc = no HTTP/2"),
        (b"SSH-2.0-x\r\n", "Unavailable desc = the server does not speak HTTP/2"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
@pytest_twisted.ensureDeferred
async def test_frames_of_servers(listen: Callable[[Any], int], sent: bytes, output: str, size: int) -> None:
    """A server that shuts down completes the calls that it has begun (RFC 9113, 6.8)."""

    class Server(Protocol):
        def connectionMade(self) -> None:
            assert self.transport is not None
            for start in range(0, len(sent), size):
                self.transport.write(sent[start : start + size])

    target = f"{HOST}:{listen(Factory.forProtocol(Server))}"
    result = await outcome(GrpcProbe(Dialer(reactor), CheckType(grpc=target), 5))
    assert output in result.output


@pytest_twisted.ensureDeferred
async def test_grpc_refused_and_to_something_else(listen: Callable[[Any], int]) -> None:
    refused = await outcome(GrpcProbe(Dialer(reactor), CheckType(grpc=f"{HOST}:1"), 5))
    assert refused.output == (
        'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing '
        f'dial tcp {HOST}:1: connect: connection refused"'
    )
    target = f"{HOST}:{listen(Site(Echo()))}"
    other = await outcome(GrpcProbe(Dialer(reactor), CheckType(grpc=target), 5))
    assert other.status == "critical"
    assert other.output.startswith("rpc error: code = Unavailable")


def test_grpc_without_its_library_is_refused_at_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc, "HAVE_H2", False)
    runner = Runner(reactor, Random(1), aliases=None)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="h2"):
        runner.check_type(CheckType(grpc="x:1", interval=10**9))
