"""The layer in memory: any slicing, the close of both ends, refusals; no sockets."""

import gc
import weakref
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import capturedLogs
from zope.interface import implementer

from consulpy.tls.authority import create_authority, create_certificate
from consulpy.tls.contexts import Tls
from consulpy.tls.settings import TlsSettings
from consulpy.tls.transport import (
    LINGER_MAX_BYTES,
    LINGER_S,
    UNSENT_MAX_BYTES,
    HandshakeFailed,
    TlsFactory,
    TlsProtocol,
)

NAME = "server.dc1.consul"


class Ear(Protocol):
    """What came, and how it ended."""

    def __init__(self) -> None:
        self.heard, self.made, self.lost = b"", False, False

    def connectionMade(self) -> None:
        self.made = True

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


@implementer(IHalfCloseableProtocol)
class HalfEar(Ear):
    """One that may go on talking when the other end is done."""

    half = False

    def readConnectionLost(self) -> None:
        self.half = True

    def writeConnectionLost(self) -> None:
        pass


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layer")
    ca, other = create_authority(10), create_authority(10)
    for name, pair in (
        ("ca", ca),
        ("other", other),
        ("server", create_certificate(ca, "server", NAME, names=[NAME], days=10)),
        ("stranger", create_certificate(other, "client", "c", names=["c"], days=10)),
    ):
        (folder / f"{name}.pem").write_bytes(pair.certificate)
        (folder / f"{name}-key.pem").write_bytes(pair.key)
    return folder


def settings(files: Path, certificate: str = "server", ca: str = "ca", **more: Any) -> TlsSettings:
    return TlsSettings(
        ca_file=str(files / f"{ca}.pem"),
        cert_file=str(files / f"{certificate}.pem"),
        key_file=str(files / f"{certificate}-key.pem"),
        verify_outgoing=True,
        **more,
    )


class Wire:
    """Two layers and the bytes between them."""

    def __init__(self, files: Path, client: TlsSettings | None = None, ear: Any = Ear, **server: Any) -> None:
        incoming = Tls(settings(files, **server)).incoming_rpc
        outgoing = Tls(client or settings(files, verify_server_hostname=True)).outgoing("dc1", True)
        assert incoming is not None
        assert outgoing is not None
        self.client = TlsProtocol(outgoing[0], ear(), server_side=False, name=outgoing[1])
        self.server = TlsProtocol(incoming, ear(), server_side=True)
        self.pipes = []
        self.failures: list[Any] = []
        self.client.secured.addErrback(lambda failure: self.failures.append(failure.value))
        for layer in (self.server, self.client):
            pipe = StringTransportWithDisconnection()
            pipe.protocol = layer
            self.pipes.append(pipe)
            layer.makeConnection(pipe)

    def pump(self, rng: Random | None = None) -> None:
        """Carry bytes until none are left."""
        moved = True
        while moved:
            moved = False
            for number, receiver in ((0, self.client), (1, self.server)):
                data = self.pipes[number].value()
                self.pipes[number].clear()
                while data:
                    moved = True
                    size = rng.randint(1, 50) if rng is not None else len(data)
                    receiver.dataReceived(data[:size])
                    data = data[size:]

    def lost(self) -> bool:
        return not self.pipes[0].connected or self.pipes[0].disconnecting


@pytest.mark.parametrize("seed", range(5))
def test_bytes_arrive_whole_however_they_are_sliced(files: Path, seed: int) -> None:
    wire, rng = Wire(files), Random(seed)
    sent = rng.randbytes(100_000)
    wire.server.write(sent[:10])  # waits for the handshake
    wire.pump(rng)
    wire.server.writeSequence([sent[10:50_000], sent[50_000:]])
    wire.client.write(sent)
    wire.pump(rng)
    assert wire.client.protocol.heard == wire.server.protocol.heard == sent


def test_a_caller_hears_nothing_before_the_handshake(files: Path) -> None:
    wire = Wire(files)
    assert not wire.client.protocol.made
    wire.pump()
    assert wire.client.protocol.made


def test_an_end_that_writes_no_more_still_gets_the_answer(files: Path) -> None:
    """Snapshot calls: the request, then our half closed, then the whole answer."""
    wire = Wire(files, ear=HalfEar)
    wire.pump()
    wire.client.write(b"question")
    wire.client.loseWriteConnection()
    wire.pump()
    assert (wire.server.protocol.heard, wire.server.protocol.half) == (b"question", True)
    wire.server.write(b"answer" * 20_000)
    wire.server.loseConnection()
    wire.pump()
    assert wire.client.protocol.heard == b"answer" * 20_000
    assert wire.client.protocol.half


def test_whoever_cannot_half_close_is_closed(files: Path) -> None:
    wire = Wire(files)
    wire.pump()
    wire.client.loseWriteConnection()
    wire.pump()
    assert wire.lost()


def test_a_stranger_s_certificate_is_refused(files: Path) -> None:
    wire = Wire(files, settings(files, "stranger"), verify_incoming_rpc=True)
    wire.pump()
    assert wire.lost()
    assert wire.server.protocol.heard == b""


def test_a_server_of_another_authority_is_refused(files: Path) -> None:
    wire = Wire(files, settings(files, ca="other"))
    wire.pump()
    (failure,) = wire.failures
    assert isinstance(failure, HandshakeFailed)
    assert "certificate" in str(failure)
    assert not wire.client.protocol.made


def test_a_server_of_another_name_is_refused(files: Path) -> None:
    wire = Wire(files, settings(files, verify_server_hostname=True, domain="example.com"))
    wire.pump()
    assert "hostname mismatch" in str(wire.failures[0])


def test_garbage_instead_of_a_handshake_ends_it(files: Path) -> None:
    wire = Wire(files)
    wire.server.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
    assert wire.lost()
    wire.server.dataReceived(b"more")
    assert wire.server.protocol.heard == b""


def test_garbage_after_the_handshake_ends_it(files: Path) -> None:
    wire = Wire(files)
    wire.pump()
    wire.server.dataReceived(b"\x17\x03\x03\x00\x05hello")
    assert wire.lost()


class HalfClosing(StringTransportWithDisconnection):
    """Notes that our direction was ended."""

    ended = aborted = False

    def loseWriteConnection(self) -> None:
        self.ended = True

    def abortConnection(self) -> None:
        self.aborted = True


def lingering(files: Path, client: TlsSettings | None = None) -> tuple[Wire, HalfClosing, Clock]:
    """A listener with a clock."""
    wire, clock, pipe = Wire(files, client, verify_incoming_rpc=True), Clock(), HalfClosing()
    wire.server = TlsProtocol(wire.server._tls.context, Ear(), server_side=True, clock=clock)
    pipe.protocol = wire.server
    wire.pipes[0] = pipe
    wire.server.makeConnection(pipe)
    wire.pump()
    return wire, pipe, clock


def test_a_refused_client_reads_why_before_the_connection_ends(files: Path) -> None:
    """In TLS 1.3 its first data is under way by then: unread, it would turn our alert into a reset."""
    wire, pipe, clock = lingering(files, settings(files, "stranger"))
    assert isinstance(wire.client._fault, HandshakeFailed)
    assert "unknown ca" in str(wire.client._fault)
    assert (pipe.ended, pipe.aborted, pipe.connected) == (True, False, True)
    wire.server.dataReceived(b"what is still under way")
    assert wire.server.protocol.heard == b""
    clock.advance(LINGER_S)
    assert pipe.aborted


def test_a_refused_client_that_closes_ends_it(files: Path) -> None:
    wire, pipe, clock = lingering(files, settings(files, "stranger"))
    wire.server.connectionLost()
    assert not clock.getDelayedCalls()
    assert not pipe.aborted


def test_a_refused_client_that_sends_on_is_cut_off(files: Path) -> None:
    wire, pipe, _clock = lingering(files, settings(files, "stranger"))
    wire.server.dataReceived(bytes(LINGER_MAX_BYTES))
    assert not pipe.aborted
    wire.server.dataReceived(b"x")
    assert pipe.aborted


def test_a_client_refused_after_the_handshake_hears_the_end_of_tls(files: Path) -> None:
    wire, pipe, _clock = lingering(files)
    wire.server.lingering_close()
    wire.pump()
    assert wire.client.disconnecting, "close_notify"
    assert pipe.ended


@pytest.mark.parametrize("finishes", [True, False])
def test_the_handshake_has_its_time(files: Path, finishes: bool) -> None:
    """`limits.https_handshake_timeout`."""
    wire, clock = Wire(files), Clock()
    context = Tls(settings(files)).incoming_https
    assert context is not None
    factory = TlsFactory(Factory.forProtocol(Ear), lambda: context, clock, 5.0)
    layer = wire.server = factory.buildProtocol(None)
    pipe = wire.pipes[0] = StringTransportWithDisconnection()
    pipe.protocol = layer
    layer.makeConnection(pipe)
    if finishes:
        wire.pump()
    clock.advance(4.9)
    assert layer.protocol.lost is False
    clock.advance(0.2)
    assert layer.protocol.lost is not finishes
    assert clock.getDelayedCalls() == []


def test_an_address_whose_handshakes_fail_gets_one_line(files: Path) -> None:
    """A scanner or a flood does not fill the log."""
    clock = Clock()
    context = Tls(settings(files)).incoming_https
    assert context is not None
    factory = TlsFactory(Factory.forProtocol(Ear), lambda: context, clock, 5.0)
    with capturedLogs() as lines:
        for host in ["10.0.0.1"] * 20 + ["10.0.0.2"] * 2:
            layer = factory.buildProtocol(None)
            layer.makeConnection(HalfClosing(peerAddress=IPv4Address("TCP", host, 1)))
            layer.transport.protocol = layer
            layer.dataReceived(b"GET / HTTP/1.1\r\n")
    assert [line["host"] for line in lines if "failed" in (line["log_format"] or "")] == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize("size", [1, 3, 5, 200_000])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
def test_plain_http_gets_an_answer_in_clear(files: Path, method: str, size: int) -> None:
    context = Tls(settings(files)).incoming_https
    factory = TlsFactory(Factory.forProtocol(Ear), lambda: context, Clock(), 5.0, b"no TLS")
    layer, pipe = factory.buildProtocol(None), HalfClosing()
    layer.makeConnection(pipe)
    sent = f"{method} /v1/status/leader HTTP/1.1\r\n".encode() + b"x" * 100_000
    for begin in range(0, 5, size):
        assert pipe.value() == b""
        layer.dataReceived(sent[begin : begin + size])
    assert (pipe.value(), pipe.ended) == (b"no TLS", True)
    layer.dataReceived(sent)
    assert (pipe.value(), layer.protocol.heard) == (b"no TLS", b"")


@pytest.mark.parametrize("sent", [b"\0\x11CP\0\0", b"SSH-2.0", b"\x16\x03\x01\0\5GET /"])
def test_what_is_neither_tls_nor_http_gets_no_answer_in_clear(files: Path, sent: bytes) -> None:
    context = Tls(settings(files)).incoming_https
    factory = TlsFactory(Factory.forProtocol(Ear), lambda: context, Clock(), 5.0, b"no TLS")
    layer, pipe = factory.buildProtocol(None), HalfClosing()
    layer.makeConnection(pipe)
    layer.dataReceived(sent)
    assert b"no TLS" not in pipe.value()


def test_without_a_certificate_nobody_is_let_in() -> None:
    """A reload took the certificate away and the port with it; the listener is still there until the next start."""
    factory = TlsFactory(Factory.forProtocol(Ear), lambda: None, Clock(), 5.0)
    assert factory.buildProtocol(None) is None


def test_what_waits_for_a_handshake_is_bounded(files: Path) -> None:
    wire = Wire(files)
    for _ in range(3):
        wire.server.write(b"x" * (UNSENT_MAX_BYTES // 2))
    assert wire.lost()


def test_a_connection_that_ends_in_the_handshake_is_a_failure(files: Path) -> None:
    wire = Wire(files)
    wire.client.connectionLost()
    assert isinstance(wire.failures[0], HandshakeFailed)
    assert not wire.client.protocol.lost, "it was never connected"


@pytest.mark.parametrize("finishes", [True, False])
def test_what_openssl_holds_for_a_connection_is_freed_with_it(files: Path, finishes: bool) -> None:
    """50 KB each, which waited for a garbage collection: some tens of thousands of connections held a gigabyte."""
    wire = Wire(files)
    if finishes:
        wire.pump()
    else:
        wire.server.dataReceived(wire.pipes[1].value()[:20])
    held = [weakref.ref(layer._tls) for layer in (wire.client, wire.server)]
    gc.disable()
    try:
        for layer in (wire.client, wire.server):
            layer.connectionLost()
            layer.connectionLost()
        assert [each() for each in held] == [None, None]
    finally:
        gc.enable()
    for layer in (wire.client, wire.server):
        layer.write(b"late")
        layer.dataReceived(b"late")
        layer.loseConnection()
        assert (layer.alpn, layer.peer_certificate) == ("", None)
