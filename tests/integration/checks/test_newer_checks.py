"""Checks of Consul 1.10 to 1.16 against real servers: HTTP/2 ping, UDP, TCP over TLS, redirects, units."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Site

from consulpy.checks.agenttls import AgentTls
from consulpy.checks.dial import Dialer
from consulpy.checks.h2ping import H2PingProbe
from consulpy.checks.http import HttpProbe
from consulpy.checks.os_service import OsServiceProbe
from consulpy.checks.result import CheckFailed, Result
from consulpy.checks.tcp import TcpProbe
from consulpy.checks.udp import UdpProbe
from consulpy.structs.definition import CheckType
from consulpy.tls.authority import create_authority, create_certificate

grpc = pytest.importorskip("grpc")

reactor: Any = _reactor
HOST = "127.37.0.6"


@dataclass(frozen=True)
class Servers:
    """Addresses of real HTTP/2 servers (grpcio), `plain` and over `tls`, and of one that is silent; the CA."""

    plain: str
    tls: str
    silent: str
    own: AgentTls


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    authority = create_authority(30)
    pair = create_certificate(
        authority, "server", "real.example", names=["real.example"], addresses=["127.0.0.9"], days=30
    )
    server = grpc.server(ThreadPoolExecutor(1))
    plain = server.add_insecure_port(f"{HOST}:0")
    tls = server.add_secure_port(f"{HOST}:0", grpc.ssl_server_credentials([(pair.key, pair.certificate)]))
    server.start()
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface=HOST)
    own = AgentTls(authorities=(authority.certificate,))
    yield Servers(f"{HOST}:{plain}", f"{HOST}:{tls}", f"{HOST}:{port.getHost().port}", own)
    server.stop(None)
    pytest_twisted.blockon(port.stopListening())


async def outcome(probe: Any) -> Result:
    """As `IntervalCheck` would report it."""
    try:
        result: Result = await probe.run()
    except CheckFailed as error:
        return error.result()
    return result


def ping(target: str, own: AgentTls | None = None, **fields: Any) -> H2PingProbe:
    return H2PingProbe(Dialer(reactor), CheckType(h2ping=target, **fields), 5.0, lambda: own)


@pytest_twisted.ensureDeferred
async def test_a_ping_is_answered_plain_and_over_tls(servers: Servers) -> None:
    good = Result("passing", "HTTP2 ping was successful")
    assert await outcome(ping(servers.plain, h2ping_use_tls=False)) == good
    assert await outcome(ping(servers.tls, tls_skip_verify=True)) == good
    assert await outcome(ping(servers.tls, servers.own, tls_server_name="real.example")) == good


@pytest_twisted.ensureDeferred
async def test_a_ping_fails_with_its_reason(servers: Servers) -> None:
    found = await outcome(ping(servers.tls, servers.own))  # the certificate is not for this address
    assert (found.status, found.output.startswith(f"Failed to dial to {servers.tls}: x509")) == ("critical", True)
    found = await outcome(ping(servers.plain))
    assert (found.status, f"Failed to dial to {servers.plain}" in found.output) == ("critical", True)
    found = await outcome(ping(f"{HOST}:1", h2ping_use_tls=False))
    assert "connection refused" in found.output
    silent = ping(servers.silent, h2ping_use_tls=False)
    running = silent.run()
    await deferLater(reactor, 0.2)
    assert not running.called
    running.addErrback(lambda _: None)
    running.cancel()
    assert silent.timed_out().status == "critical"


SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
GOAWAY = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0"
ACKNOWLEDGED = b"\0\0\x08\x06\x01\0\0\0\0consulpy"


@pytest.mark.parametrize(
    ("parts", "status", "said"),
    [
        ([SETTINGS + GOAWAY + b"\0", ACKNOWLEDGED, b""], "passing", "HTTP2 ping was successful"),
        ([SETTINGS + GOAWAY + b"\0" + ACKNOWLEDGED], "passing", "HTTP2 ping was successful"),
        ([SETTINGS, ACKNOWLEDGED[:10], ACKNOWLEDGED[10:]], "passing", "HTTP2 ping was successful"),
        ([SETTINGS + GOAWAY + b"\0", b""], "critical", "connection closed"),
        ([SETTINGS + GOAWAY + b"\x0b", b""], "critical", "the server ended the connection, code 11"),
        ([SETTINGS + ACKNOWLEDGED[:-1] + b"!", b""], "critical", "connection closed"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], "critical", "the server does not speak HTTP/2"),
        ([SETTINGS, b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0", b""], "critical", "no HTTP/2"),
    ],
    ids=["goes away", "at once", "in two parts", "without ack", "error", "other", "1.1", "bad"],
)
@pytest_twisted.ensureDeferred
async def test_what_servers_do_with_a_ping(parts: list[bytes], status: str, said: str) -> None:
    """An empty part closes the connection. A server that shuts down gracefully may still acknowledge (RFC 9113 6.8)."""

    class Server(Protocol):
        def dataReceived(self, data: bytes) -> None:
            for number, part in enumerate(parts):
                reactor.callLater(number / 50, self.say, part)
            parts.clear()

        def say(self, part: bytes) -> None:
            assert self.transport is not None
            self.transport.write(part) if part else self.transport.loseConnection()

    port = reactor.listenTCP(0, Factory.forProtocol(Server), interface=HOST)
    found = await outcome(ping(f"{HOST}:{port.getHost().port}", h2ping_use_tls=False))
    assert found.status == status
    assert said in found.output
    await port.stopListening()


@pytest.fixture
def openssl(tmp_path: Path) -> Iterator[tuple[str, AgentTls]]:
    """`openssl s_server`, with a certificate for real.example."""
    authority = create_authority(30)
    pair = create_certificate(authority, "server", "real.example", names=["real.example"], days=30)
    (tmp_path / "cert").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)
    with socket.socket() as free:
        free.bind((HOST, 0))
        address = f"{HOST}:{free.getsockname()[1]}"
    command = ["openssl", "s_server", "-accept", address, "-cert", "cert", "-key", "key", "-quiet"]
    quiet = subprocess.DEVNULL  # it prints what it receives, which is no text
    program = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
    yield address, AgentTls(authorities=(authority.certificate,))
    program.kill()
    program.wait()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest_twisted.ensureDeferred
async def test_openssls_server_is_reached_over_tls(openssl: tuple[str, AgentTls]) -> None:
    address, own = openssl

    async def tried(**fields: Any) -> Result:
        return await outcome(
            TcpProbe(Dialer(reactor), CheckType(tcp=address, tcp_use_tls=True, **fields), 5.0, lambda: own)
        )

    for _ in range(100):
        found = await tried(tls_server_name="real.example")
        if "refused" not in found.output:
            break
        await deferLater(reactor, 0.1)
    assert found == Result("passing", f"TCP connect {address}: Success")
    assert (await tried(tls_server_name="other.example")).status == "critical"
    assert (await tried(tls_skip_verify=True)).status == "passing"
    found = await outcome(TcpProbe(Dialer(reactor), CheckType(tcp=address), 5.0))  # without TLS: connected is enough
    assert found.status == "passing"
    silent = ping(address, own, tls_server_name="real.example")  # it speaks no HTTP/2, and says nothing
    running = silent.run()
    await deferLater(reactor, 0.3)
    assert not running.called
    running.addErrback(lambda _: None)
    running.cancel()
    assert silent.timed_out().status == "critical"


@pytest_twisted.ensureDeferred
async def test_tcp_over_tls_shakes_hands(servers: Servers) -> None:
    async def tried(target: str, own: AgentTls | None = None, **fields: Any) -> Result:
        kind = CheckType(tcp=target, tcp_use_tls=True, **fields)
        return await outcome(TcpProbe(Dialer(reactor), kind, 5.0, lambda: own))

    assert await tried(servers.tls, tls_skip_verify=True) == Result("passing", f"TCP connect {servers.tls}: Success")
    assert (await tried(servers.tls, servers.own, tls_server_name="real.example")).status == "passing"
    assert (await tried(servers.tls, servers.own)).status == "critical"
    assert (await tried(servers.plain, tls_skip_verify=True)).status == "critical"


@pytest_twisted.ensureDeferred
async def test_udp_is_critical_where_nothing_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind((HOST, 0))
        target = f"{HOST}:{quiet.getsockname()[1]}"
        probe = UdpProbe(reactor, Dialer(reactor), target, 5.0)
        running = probe.run()
        await deferLater(reactor, 0.2)
        assert not running.called
        assert quiet.recv(10) == b""
        running.cancel()
        running.addErrback(lambda _: None)
        assert probe.timed_out() == Result("passing", f"UDP connect {target}: Success")
    found = await outcome(UdpProbe(reactor, Dialer(reactor), target, 5.0))
    assert (found.status, "connection refused" in found.output) == ("critical", True)


@pytest.mark.parametrize("says", [None, b"", b"x" * 2000], ids=["an echo", "nothing", "much"])
@pytest_twisted.ensureDeferred
async def test_udp_passes_where_something_answers(says: bytes | None) -> None:
    class Echo(DatagramProtocol):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            assert self.transport is not None
            self.transport.write(datagram if says is None else says, addr)

    port = reactor.listenUDP(0, Echo(), interface=HOST)
    target = f"{HOST}:{port.getHost().port}"
    assert await outcome(UdpProbe(reactor, Dialer(reactor), target, 5.0)) == Result(
        "passing", f"UDP connect {target}: Success"
    )
    await port.stopListening()


class Moved(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def render(self, request: Any) -> bytes:
        if request.path == b"/moved":
            request.redirect(b"/here")
        return b"seen"


@pytest_twisted.ensureDeferred
async def test_a_redirect_that_is_not_followed_is_the_answer() -> None:
    port = reactor.listenTCP(0, Site(Moved()), interface=HOST)
    url = f"http://{HOST}:{port.getHost().port}/moved"
    followed = await outcome(HttpProbe(reactor, Dialer(reactor), CheckType(http=url), 5.0))
    stays = await outcome(HttpProbe(reactor, Dialer(reactor), CheckType(http=url, disable_redirects=True), 5.0))
    assert (followed.status, stays.status) == ("passing", "critical")
    assert "302 Found" in stays.output
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_the_state_of_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for systemctl, with its output and status: there is no systemd where tests run."""
    program = tmp_path / "systemctl"
    program.write_text(
        '#!/bin/sh\n[ "$1 $2" = "is-active --" ] || exit 9\n'
        "case $3 in web) echo active;; new) echo activating; exit 3;; *) echo inactive; exit 3;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = [await outcome(OsServiceProbe(reactor, unit, 5.0)) for unit in ("web", "new", "gone")]
    assert [each.status for each in found] == ["passing", "warning", "critical"]
    assert found[0].output == 'Service "web" is healthy'
    assert "inactive" in found[2].output
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(CheckFailed, match="need systemd"):
        OsServiceProbe(reactor, "web", 5.0).check()
