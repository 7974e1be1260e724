"""Logging in by Kubernetes: a stand-in of its API server reviews the token and shows the service account."""

import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from consulpy.acl.auth_config import KubernetesConfig
from consulpy.acl.binding import ServiceAccount
from consulpy.agent.process import token_review
from consulpy.errors import RPCError
from tests.fakes.http_server import serving

OWN_JWT, BEARER = "own.jwt.x", "bearer.jwt.x"


class ApiServer(HTTPServer):
    """Answers as the public API reference says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ca_cert = _certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.seen: list[tuple[str, str, Any, str]] = []
        self.review: dict[str, Any] = {
            "authenticated": True,
            "user": {"username": "system:serviceaccount:default:web", "uid": "u-1"},
        }
        self.account: tuple[int, Any] = (200, {"kind": "ServiceAccount", "metadata": {"name": "web"}})
        self.review_status: tuple[int, bytes | None] = (201, None)

    @property
    def config(self) -> KubernetesConfig:
        return KubernetesConfig(f"https://127.0.0.1:{self.server_port}", self.ca_cert, OWN_JWT)


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(("POST", self.path, body["spec"], self.headers["Authorization"]))
        status, raw = self.server.review_status
        self._respond(status, raw or json.dumps({"kind": "TokenReview", "status": self.server.review}).encode())

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path, None, self.headers["Authorization"]))
        status, body = self.server.account
        self._respond(status, json.dumps(body).encode())

    def _respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


def _certificate(folder: Path) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    (folder / "cert.pem").write_text(text)
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return text


@pytest.fixture
def kubernetes(tmp_path: Path) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path)
    with serving(server):
        yield server


def test_the_account_of_a_token_is_found(kubernetes: ApiServer) -> None:
    assert token_review.review(kubernetes.config, BEARER) == ServiceAccount("default", "web", "u-1")
    assert kubernetes.seen == [
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"token": BEARER}, f"Bearer {OWN_JWT}"),
        ("GET", "/api/v1/namespaces/default/serviceaccounts/web", None, f"Bearer {OWN_JWT}"),
    ]


@pytest.mark.parametrize(
    ("annotations", "name"),
    [
        ({"consul.hashicorp.com/service-name": "other"}, "other"),
        ({"consul.hashicorp.com/service-name": ""}, ""),
        ({"consul.hashicorp.com/service-account-name": "other"}, "web"),
        (None, "web"),
    ],
)
def test_an_annotation_names_the_service(kubernetes: ApiServer, annotations: Any, name: str) -> None:
    """Source: a real server that asks the same API."""
    kubernetes.account = (200, {"metadata": {"annotations": annotations}})
    assert token_review.review(kubernetes.config, BEARER).name == name


@pytest.mark.parametrize(
    ("review", "why"),
    [
        ({"authenticated": False}, "lookup failed: service account jwt not valid"),
        ({"authenticated": "yes"}, "lookup failed: service account jwt not valid"),
        ({"error": "expired"}, "lookup failed: expired"),
        ({"authenticated": True}, "lookup failed: unexpected username format"),
        ({"authenticated": True, "user": {"username": "a:b:c:d"}}, "username returned is not a service account"),
    ],
)
def test_what_kubernetes_does_not_confirm_is_refused(kubernetes: ApiServer, review: dict[str, Any], why: str) -> None:
    kubernetes.review = review
    with pytest.raises(RPCError, match=why):
        token_review.review(kubernetes.config, BEARER)


@pytest.mark.parametrize(
    ("status", "raw", "why"),
    [
        (403, b'{"message": "forbidden: no"}', "forbidden: no"),
        (500, b"<html>", "status 500"),
        (200, b"[]", "no object"),
        (200, b'{"status": 5}', "no object"),
        (200, b"{", "no object"),
        (302, b"", "status 302"),
    ],
)
def test_other_responses_are_errors(kubernetes: ApiServer, status: int, raw: bytes, why: str) -> None:
    kubernetes.review_status = (status, raw or b" ")
    with pytest.raises(RPCError, match=why):
        token_review.review(kubernetes.config, BEARER)


def test_an_account_that_is_gone_is_an_error(kubernetes: ApiServer) -> None:
    kubernetes.account = (404, {"message": 'serviceaccounts "web" not found'})
    with pytest.raises(RPCError, match='annotation lookup failed: serviceaccounts "web" not found'):
        token_review.review(kubernetes.config, BEARER)


def test_a_server_with_another_certificate_gets_no_secret(kubernetes: ApiServer, tmp_path: Path) -> None:
    config = kubernetes.config
    config.CACert = _certificate(tmp_path)
    with pytest.raises(RPCError, match="CERTIFICATE_VERIFY_FAILED"):
        token_review.review(config, BEARER)
    assert kubernetes.seen == []


def test_plain_http_is_never_spoken(kubernetes: ApiServer) -> None:
    config = kubernetes.config
    config.Host = "http://127.0.0.1:1"
    with pytest.raises(RPCError, match="no https URL"):
        token_review.review(config, BEARER)
