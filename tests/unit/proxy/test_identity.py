"""SPIFFE ids in peers' certificates."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from consulpy.proxy.identity import is_service, serial_number, spiffe_uri

DOMAIN = "11111111-2222-3333-4444-555555555555.consul"
URI = f"spiffe://{DOMAIN}/ns/default/dc/dc1/svc/web"


def certificate(*uris: str, serial: int = 8) -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime(2026, 1, 1)
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial, now, now + datetime.timedelta(1))
    if uris:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
        builder = builder.add_extension(names, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_the_only_uri_is_the_identity() -> None:
    assert spiffe_uri(certificate(URI)) == URI


@pytest.mark.parametrize("der", [None, b"", b"no certificate", certificate(), certificate(URI, URI + "x")])
def test_nobody_is_somebody_else(der: bytes | None) -> None:
    assert spiffe_uri(der) == ""


def test_a_serial_is_written_as_in_consul() -> None:
    assert serial_number(certificate(URI, serial=8)) == "08"
    assert serial_number(certificate(URI, serial=0x1234ABC)) == "01:23:4a:bc"


@pytest.mark.parametrize(
    ("uri", "is_web"),
    [
        (URI, True),
        (URI.upper().replace("SPIFFE", "spiffe"), False),
        (f"spiffe://{DOMAIN.upper()}/ns/default/dc/dc1/svc/web", True),
        (URI.replace("/dc1/", "/dc2/"), False),
        (URI.replace(DOMAIN, "other.consul"), False),
        (URI + "2", False),
        (URI + "/x", False),
        (URI.replace("spiffe", "https"), False),
        (URI.replace("web", "w%65b"), True),
        (URI.replace("/ns/default/dc/dc1", "/agent/client"), False),
        ("", False),
    ],
)
def test_the_peer_must_be_the_service(uri: str, is_web: bool) -> None:
    assert is_service(uri, DOMAIN, "dc1", "web") is is_web
