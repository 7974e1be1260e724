"""`enable_agent_tls_for_checks`: checks trust the agent's CA and show its certificate."""

import datetime
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor

from consulpy.checks.agenttls import AgentTls
from consulpy.checks.dial import Dialer
from consulpy.checks.http import HttpProbe
from consulpy.checks.result import CheckFailed
from consulpy.checks.tls import check
from consulpy.errors import ConfigError
from consulpy.structs.definition import CheckType
from tests.fakes.http_server import serving

HOST = "127.0.0.1"
NOW = datetime.datetime.now(datetime.UTC)


def issue(folder: Path, name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None) -> Path:
    """A certificate and its key as NAME.pem and NAME-key.pem; without an issuer it is a CA's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
    )
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    place = folder / f"{name}.pem"
    place.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}-key.pem").write_bytes(key.private_bytes(*plain))
    return place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca`, `server` and `agent`, both signed by it."""
    where = tmp_path_factory.mktemp("tls")
    issue(where, "ca", None)
    ca = x509.load_pem_x509_certificate((where / "ca.pem").read_bytes())
    key = serialization.load_pem_private_key((where / "ca-key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    for name in ("server", "agent"):
        issue(where, name, (ca, key))
    return where


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    """A server that requires a client certificate of the CA."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server-key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with serving(server):
        yield server.server_port


def probe(port: int, own: AgentTls | None, *, skip_verify: bool = False) -> HttpProbe:
    kind = CheckType(http=f"https://{HOST}:{port}/", interval=10**9, tls_skip_verify=skip_verify)
    return HttpProbe(reactor, Dialer(reactor), kind, 5.0, own)


@pytest.mark.parametrize("skip_verify", [False, True])
@pytest_twisted.ensureDeferred
async def test_the_agents_files_are_used(folder: Path, port: int, skip_verify: bool) -> None:
    names = (str(folder / "ca.pem"), "", str(folder / "agent.pem"), str(folder / "agent-key.pem"))
    result = await probe(port, AgentTls.read(*names), skip_verify=skip_verify).run()
    assert (result.status, result.output[-10:]) == ("passing", "Output: ok")


@pytest_twisted.ensureDeferred
async def test_without_the_agents_files_the_server_is_not_trusted(port: int) -> None:
    with pytest.raises(CheckFailed, match="x509: certificate signed by unknown authority"):
        await probe(port, None).run()


@pytest_twisted.ensureDeferred
async def test_without_a_client_certificate_the_handshake_fails(folder: Path, port: int) -> None:
    with pytest.raises(CheckFailed):
        await probe(port, AgentTls.read(str(folder / "ca.pem"), "", "", "")).run()


@pytest_twisted.ensureDeferred
async def test_server_name_is_the_name_that_is_verified(folder: Path, port: int) -> None:
    """The certificate names the address; `server_name` asks for another one, as in a real agent."""
    names = (str(folder / "ca.pem"), "", str(folder / "agent.pem"), str(folder / "agent-key.pem"))
    assert (await probe(port, AgentTls.read(*names, server_name=HOST)).run()).status == "passing"
    with pytest.raises(CheckFailed, match=r"x509: .*other\.example"):
        await probe(port, AgentTls.read(*names, server_name="other.example")).run()
    result = await probe(port, AgentTls.read(*names, server_name="other.example"), skip_verify=True).run()
    assert result.status == "passing"


def test_errors_name_the_unusable_files(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.pem: No such file"):
        AgentTls.read(str(folder / "nowhere.pem"), "", "", "")
    with pytest.raises(ConfigError, match="needed together"):
        AgentTls.read("", "", str(folder / "agent.pem"), "")
    with pytest.raises(ConfigError, match="no certificate"):
        check(AgentTls.read(str(folder / "agent-key.pem"), "", "", ""))
