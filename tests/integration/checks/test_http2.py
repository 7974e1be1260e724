"""HTTP checks over HTTP/2, with a server that offers nothing else in TLS, as Node.js' does by default."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h2.connection
import h2.events
import pytest
import pytest_twisted
from h2.config import H2Configuration
from twisted.internet.protocol import Factory, Protocol

from consulpy.checks.dial import Dialer
from consulpy.checks.http import HttpProbe
from consulpy.checks.result import Result
from consulpy.structs.definition import CheckType
from consulpy.tls.authority import create_authority, create_certificate
from consulpy.tls.transport import TlsProtocol
from tests.harness.checks import HOST, outcome, reactor


class Server(Protocol):
    """Answers by path: `/code/N`, `/echo` (method, body's length, fields), `/moved`, `/reset`, `/away`, `/half`."""

    def connectionMade(self) -> None:
        self.http2 = h2.connection.H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http2.initiate_connection()
        self.headers: dict[str, str] = {}
        self.length = 0
        self.flush()

    def flush(self) -> None:
        assert self.transport is not None
        self.transport.write(self.http2.data_to_send())

    def dataReceived(self, data: bytes) -> None:
        for event in self.http2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.headers = dict(event.headers)  # type: ignore[arg-type]
            elif isinstance(event, h2.events.DataReceived):
                self.length += len(event.data or b"")
                self.http2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            elif isinstance(event, h2.events.StreamEnded):
                self.answer(self.headers[":path"])
        self.flush()

    def answer(self, path: str) -> None:
        code = path.rpartition("/")[2] if path.startswith("/code/") else "200"
        if path == "/reset":
            self.http2.reset_stream(1, 8)
            return
        if path == "/away":
            self.http2.close_connection(last_stream_id=0)
            return
        moved = [("location", "/echo")] if path == "/moved" else []
        self.http2.send_headers(1, [(":status", "302" if moved else code), *moved])
        names = sorted(set(self.headers) - {":authority"})
        said = f"{self.headers[':method']} {self.length} {' '.join(names)}" if path == "/echo" else "said"
        self.http2.send_data(1, said.encode(), end_stream=path != "/half")
        if path == "/half":
            self.http2.reset_stream(1, 2)


@pytest.fixture
def base(listen: Callable[[Any], int], tmp_path: Path) -> str:
    pair = create_certificate(create_authority(30), "server", "server", addresses=[HOST], days=30)
    (tmp_path / "pair.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    context.set_alpn_protocols(["h2"])
    factory = Factory.forProtocol(lambda: TlsProtocol(context, Server(), server_side=True))  # type: ignore[arg-type]
    return f"https://{HOST}:{listen(factory)}"


async def checked(url: str, **fields: Any) -> Result:
    return await outcome(HttpProbe(reactor, Dialer(reactor), CheckType(http=url, tls_skip_verify=True, **fields), 5.0))


@pytest.mark.parametrize(
    ("path", "status", "output"),
    [
        ("/code/200", "passing", "200 OK Output: said"),
        ("/code/429", "warning", "429 Too Many Requests Output: said"),
        ("/code/503", "critical", "503 Service Unavailable Output: said"),
        ("/code/999", "critical", "999  Output: said"),
        ("/half", "passing", "200 OK Output: said"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_status_follows_the_code(base: str, path: str, status: str, output: str) -> None:
    assert await checked(base + path) == Result(status, f"HTTP GET {base}{path}: {output}")


@pytest_twisted.ensureDeferred
async def test_method_body_and_fields_are_sent(base: str) -> None:
    """A body larger than the server's window; no fields of the connection (RFC 9113, 8.2.2)."""
    header = {"X-A": ["1"], "Connection": ["keep-alive"], "Upgrade": ["x"]}
    found = await checked(f"{base}/echo", method="POST", body="x" * 200_000, header=header)
    names = ":method :path :scheme accept accept-encoding content-length user-agent x-a"
    assert found.output.endswith(f"Output: POST 200000 {names}")


@pytest_twisted.ensureDeferred
async def test_redirects_are_followed(base: str) -> None:
    found = await checked(f"{base}/moved")
    assert "Output: GET 0 " in found.output
    assert " referer " in found.output


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/reset", "stream error: stream ID 1; CANCEL"),
        ("/away", "http2: server sent GOAWAY and closed the connection; LastStreamID=0, ErrCode=NO_ERROR"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_errors_have_gos_texts(base: str, path: str, error: str) -> None:
    assert await checked(base + path) == Result("critical", f'Get "{base}{path}": {error}')
