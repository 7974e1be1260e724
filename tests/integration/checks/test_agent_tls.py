"""`enable_agent_tls_for_checks`: checks trust the agent's CA and show its certificate."""

import datetime
import ssl
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from random import Random

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor

from consulpy.agent.build.settings import check_tls
from consulpy.checks.agenttls import AgentTls
from consulpy.checks.dial import Dialer
from consulpy.checks.http import HttpProbe
from consulpy.checks.result import CheckFailed
from consulpy.checks.runner import Runner
from consulpy.checks.tls import check, context_for
from consulpy.config.schema import RuntimeConfig
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
    return HttpProbe(reactor, Dialer(reactor), kind, 5.0, lambda: own)


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


@pytest_twisted.ensureDeferred
async def test_settings_that_a_reload_changed_count_at_the_next_run(folder: Path, port: int) -> None:
    """As certificates are renewed."""
    names = (str(folder / "ca.pem"), "", str(folder / "agent.pem"), str(folder / "agent-key.pem"))
    wrong = AgentTls.read(*names, server_name="other.example")
    runner = Runner(reactor, Random(1), aliases=None, tls=wrong)  # type: ignore[arg-type]
    probe = runner._probe(CheckType(http=f"https://{HOST}:{port}/", interval=10**9))
    with pytest.raises(CheckFailed, match=r"x509: .*other\.example"):
        await probe.run()
    runner.tls = AgentTls.read(*names, server_name=HOST)
    assert (await probe.run()).status == "passing"


def test_the_node_name_is_the_server_name_where_none_is_configured(folder: Path) -> None:
    """As of a real agent: the name in a server's certificate is never that in the check."""
    config = RuntimeConfig(node_name="node7", enable_agent_tls_for_checks=True, ca_file=str(folder / "ca.pem"))
    own = check_tls(replace(config, tls_min_version="tls13"))
    assert own is not None
    assert (own.server_name, own.min_version) == ("node7", "tls13")
    configured = check_tls(replace(config, server_name="other"))
    assert configured is not None
    assert configured.server_name == "other"


@pytest.mark.parametrize(
    ("own", "oldest"),
    [
        (None, ssl.TLSVersion.MINIMUM_SUPPORTED),
        (AgentTls(), ssl.TLSVersion.TLSv1_2),
        (AgentTls(min_version="tls13"), ssl.TLSVersion.TLSv1_3),
    ],
)
@pytest.mark.parametrize("verify", [False, True])
def test_old_versions_are_spoken_unless_the_agents_settings_forbid_them(
    own: AgentTls | None, oldest: ssl.TLSVersion, verify: bool
) -> None:
    assert context_for(own, (), verify=verify).minimum_version == oldest


def test_the_common_name_of_a_certificate_names_no_server() -> None:
    """As for Go since 1.15, with which Consul 1.8.7 was built."""
    assert not context_for(None, (), verify=True).hostname_checks_common_name


def test_errors_name_the_unusable_files(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.pem: No such file"):
        AgentTls.read(str(folder / "nowhere.pem"), "", "", "")
    with pytest.raises(ConfigError, match="needed together"):
        AgentTls.read("", "", str(folder / "agent.pem"), "")
    with pytest.raises(ConfigError, match="no certificate"):
        check(AgentTls.read(str(folder / "agent-key.pem"), "", "", ""))
