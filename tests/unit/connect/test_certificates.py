"""Certificates have the subject, extensions, order and signature of Consul 1.8.7 (docs/wire/connect.md)."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from consulpy.connect import certificates
from consulpy.connect.certificates import BadCertificate, Signer
from consulpy.connect.keys import BadKey, key_pem, kind_and_bits, make_key, read_key
from consulpy.connect.spiffe import ServiceId, url_fault
from tests.conftest import VECTORS

HOST = "98359594-3fd1-a06d-86e5-dbcf064a22fd.consul"
URI = f"spiffe://{HOST}"
WEB = ServiceId(HOST, "dc1", "web")
NOW_S = 1_800_000_000.0
WIRE = VECTORS.parent / "conformance_connect" / "wire.json"


def signer(kind: str = "ec", bits: int = 256) -> Signer:
    key = make_key(kind, bits)
    pem = certificates.make_root(key, 7, "pri-abc1234.consul.ca.98359594.consul", URI, NOW_S)
    return Signer(certificates.read_certificate(pem), key)


def leaf(by: Signer, request: str | None = None) -> x509.Certificate:
    csr = certificates.read_request(request or certificates.make_request(make_key(), WEB.uri))
    names = certificates.subject_names(csr)
    pem = certificates.sign_leaf(by, csr, names, WEB, 8, timedelta(hours=72), NOW_S)
    return certificates.read_certificate(pem)


def shape(certificate: x509.Certificate) -> list[tuple[str, bool]]:
    return [(each.oid._name, each.critical) for each in certificate.extensions]


def recorded_root() -> x509.Certificate:
    """The root that a real server made (its start, in wire.json)."""
    entries = json.loads(WIRE.read_text())["entries"]
    return certificates.read_certificate(entries[4]["decoded"]["Roots"][0]["RootCert"])


def test_a_root_is_made_as_consul_makes_it() -> None:
    real, ours = recorded_root(), signer().certificate
    assert shape(ours) == shape(real)
    for kind in (x509.KeyUsage, x509.BasicConstraints):
        assert (
            ours.extensions.get_extension_for_class(kind).value == real.extensions.get_extension_for_class(kind).value
        )
    assert ours.signature_algorithm_oid == real.signature_algorithm_oid
    assert ours.not_valid_before_utc == datetime.fromtimestamp(NOW_S, UTC)
    assert ours.not_valid_after_utc.year == ours.not_valid_before_utc.year + 10
    assert real.not_valid_after_utc.year == real.not_valid_before_utc.year + 10
    assert ours.subject == ours.issuer


def test_ids_of_a_root_are_those_that_consul_computes() -> None:
    entries = json.loads(WIRE.read_text())["entries"]
    recorded = entries[4]["decoded"]["Roots"][0]
    ours = certificates.root_of(recorded["RootCert"], "consul", "98359594-3fd1-a06d-86e5-dbcf064a22fd")
    assert (ours.id, ours.signing_key_id) == (recorded["ID"], recorded["SigningKeyID"])
    assert (ours.name, ours.serial_number) == (recorded["Name"], recorded["SerialNumber"])
    assert ours.not_after.hex() == recorded["NotAfter"]["$bytes"]
    assert ours.not_before.hex() == recorded["NotBefore"]["$bytes"]


def test_a_leaf_is_made_as_consul_makes_it() -> None:
    by = signer()
    found = leaf(by)
    assert [name for name, _ in shape(found)] == [
        "keyUsage",
        "extendedKeyUsage",
        "basicConstraints",
        "subjectKeyIdentifier",
        "authorityKeyIdentifier",
        "subjectAltName",
    ]
    assert found.subject.rfc4514_string() == "CN=web.svc.default.98359594.consul"
    assert found.not_valid_before_utc == datetime.fromtimestamp(NOW_S - 60, UTC)
    assert found.not_valid_after_utc - found.not_valid_before_utc == timedelta(hours=72)
    found.verify_directly_issued_by(by.certificate)
    assert certificates.signing_key_id(found) == certificates.key_id(by.key.public_key())


@pytest.mark.parametrize(
    ("kind", "bits", "root_hash", "leaf_hash"),
    [
        ("ec", 224, "sha256", "sha256"),
        ("ec", 256, "sha256", "sha256"),
        ("ec", 384, "sha384", "sha256"),
        ("ec", 521, "sha512", "sha256"),
        ("rsa", 2048, "sha256", "sha256"),
    ],
)
def test_each_kind_of_key_signs(kind: str, bits: int, root_hash: str, leaf_hash: str) -> None:
    by = signer(kind, bits)
    assert kind_and_bits(by.certificate.public_key()) == (kind, bits)  # type: ignore[arg-type]
    made = leaf(by)
    made.verify_directly_issued_by(by.certificate)
    hashes: list[Any] = [by.certificate.signature_hash_algorithm, made.signature_hash_algorithm]
    assert [each.name for each in hashes] == [root_hash, leaf_hash]


def test_who_trusts_the_old_root_trusts_the_new_one() -> None:
    old, new = signer(), signer("rsa", 2048)
    crossed = certificates.read_certificate(certificates.cross_sign(old, new.certificate, 9, NOW_S))
    crossed.verify_directly_issued_by(old.certificate)
    leaf(new).verify_directly_issued_by(crossed)
    assert crossed.subject == new.certificate.subject
    assert crossed.not_valid_after_utc - crossed.not_valid_before_utc == timedelta(days=7)
    assert crossed.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length is None


def test_an_intermediate_signs_leafs_only() -> None:
    root, key = signer(), make_key()
    request = certificates.make_authority_request(key, "sec-abc.consul.ca.98359594.consul", URI)
    pem = certificates.sign_intermediate(root, certificates.read_request(request), 10, timedelta(hours=8760), NOW_S)
    made = certificates.read_certificate(pem)
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    leaf(Signer(made, key)).verify_directly_issued_by(made)


def test_names_of_a_request_are_kept_in_gos_order() -> None:
    request = certificates.make_request(make_key(), WEB.uri, ["b.example"], ["10.1.2.3", "::1"])
    names = leaf(signer(), request).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [type(each).__name__ for each in names] == [
        "DNSName",
        "IPAddress",
        "IPAddress",
        "UniformResourceIdentifier",
    ]


def broken_signature() -> str:
    """A request whose signature is that of another one."""
    one, other = (certificates.make_request(make_key(), WEB.uri).splitlines() for _ in range(2))
    return "\n".join([*one[:-2], other[-2], one[-1], ""])


@pytest.mark.parametrize(
    "text", ["", "x", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
)
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(BadCertificate):
        certificates.read_request(text)


def test_a_request_with_a_wrong_signature_is_refused() -> None:
    with pytest.raises(BadCertificate):
        certificates.read_request(broken_signature())


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("spiffe://a/ns/default/dc/dc1/svc/%zz", 'invalid URL escape "%zz"'),
        ("spiffe://a/svc/%4", 'invalid URL escape "%4"'),
        ("spiffe://a/svc/x\n", "net/url: invalid control character in URL"),
        ("::", "missing protocol scheme"),
        ("http://a b/", "invalid character in host name"),
        ("http://a:x/", "invalid character in host name"),
    ],
)
def test_a_uri_that_go_cannot_parse_is_refused_wherever_it_stands(uri: str, why: str) -> None:
    """No real agent could read the certificate."""
    names = [x509.UniformResourceIdentifier(each) for each in (WEB.uri, uri)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    with pytest.raises(BadCertificate, match="x509: cannot parse URI ") as caught:
        certificates.read_request(request.public_bytes(Encoding.PEM).decode())
    assert str(caught.value).endswith(f": {why}")


def test_other_uris_are_taken() -> None:
    for uri in (WEB.uri, "spiffe://a/%E2%82%AC", "https://u@a:80/x?y#z", "urn:x:y", "a/b:c", "spiffe://A_b/", ""):
        assert not url_fault(uri), uri


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("NEW CERTIFICATE REQUEST", "first PEM-block should be CERTIFICATE REQUEST type"),
        ("CERTIFICATE", "first PEM-block should be CERTIFICATE REQUEST type"),
    ],
)
def test_a_request_is_a_certificate_request(kind: str, why: str) -> None:
    request = certificates.make_request(make_key(), WEB.uri)
    with pytest.raises(BadCertificate, match=why):
        certificates.read_request(request.replace("CERTIFICATE REQUEST", kind))
    with pytest.raises(BadCertificate, match="no PEM-encoded data found"):
        certificates.read_request(request[:200])


def own_root(
    *, ca: bool = True, days: float = 400, age_days: float = 0, for_signing: bool | None = None
) -> tuple[x509.Certificate, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "own")])
    begins = datetime.fromtimestamp(NOW_S, UTC) - timedelta(days=age_days)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(5).not_valid_before(begins).not_valid_after(begins + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if for_signing is not None:
        usage = certificates._usage(is_leaf=not for_signing)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, SHA256()), key


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"for_signing": False}, "not for signing certificates"),
        ({"ca": False}, "not that of an authority"),
        ({"age_days": -2}, "not valid yet"),
        ({"days": 10, "age_days": 11}, "has ended"),
        ({"days": 2}, "ends before the leafs"),
    ],
)
def test_a_root_that_cannot_sign_is_refused(given: dict[str, Any], why: str) -> None:
    """Real Consul takes them all, and then signs what nobody trusts."""
    certificate, key = own_root(**given)
    with pytest.raises(BadCertificate, match=why):
        certificates.check_authority(certificate, key, timedelta(hours=72), NOW_S)


def test_a_root_of_another_key_is_refused() -> None:
    certificate, key = own_root()
    certificates.check_authority(certificate, key, timedelta(hours=72), NOW_S)
    with pytest.raises(BadCertificate, match="not that of the private key"):
        certificates.check_authority(certificate, make_key(), timedelta(hours=72), NOW_S)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "-----BEGIN EC PRIVATE KEY-----\nsecret\n-----END EC PRIVATE KEY-----"]
)
def test_a_key_that_cannot_be_read_is_not_quoted(text: str) -> None:
    with pytest.raises(BadKey) as caught:
        read_key(text)
    assert "secret" not in str(caught.value)
    assert "nonsense" not in str(caught.value)


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.BrainpoolP256R1(), ec.SECP192R1()])
def test_a_key_on_a_curve_that_real_servers_do_not_know_is_refused(curve: ec.EllipticCurve) -> None:
    """A real leader after this one could not read it, nor real proxies its certificates."""
    key = ec.generate_private_key(curve)
    with pytest.raises(BadKey, match=f"the curve {curve.name}"):
        read_key(key_pem(key))
    with pytest.raises(BadCertificate, match=f"the curve {curve.name}"):
        certificates.read_request(certificates.make_request(key, WEB.uri))


def test_a_root_with_key_usage_can_be_configured() -> None:
    certificates.check_authority(*own_root(for_signing=True), timedelta(hours=72), NOW_S)


@pytest.mark.parametrize(
    ("kinds", "why"),
    [
        ((), "no PEM-encoded data found"),
        (("EC PRIVATE KEY", "CERTIFICATE"), "first PEM-block should be CERTIFICATE type"),
        (("CERTIFICATE", "EC PRIVATE KEY"), "everybody can read the root"),
        (("CERTIFICATE", "CERTIFICATE", "RSA PRIVATE KEY"), "everybody can read the root"),
    ],
)
def test_only_certificates_are_taken_as_a_root(kinds: tuple[str, ...], why: str) -> None:
    """The text of a root is in answers to everybody; the first two are refused by real Consul too."""
    text = "".join(f"-----BEGIN {kind}-----\nc2VjcmV0\n-----END {kind}-----\n" for kind in kinds)
    with pytest.raises(BadCertificate, match=why) as caught:
        certificates.check_only_certificates(text)
    assert "c2Vj" not in str(caught.value)


@pytest.mark.parametrize(("kind", "bits", "head"), [("ec", 256, "EC"), ("rsa", 2048, "RSA")])
def test_keys_are_written_in_consuls_form(kind: str, bits: int, head: str) -> None:
    key = make_key(kind, bits)
    pem = key_pem(key)
    assert pem.startswith(f"-----BEGIN {head} PRIVATE KEY-----\n")
    assert read_key(pem).public_key() == key.public_key()


@pytest.mark.parametrize(("serial", "text"), [(8, "08"), (0x042A, "04:2a"), (0, "00")])
def test_a_serial_is_hex_with_colons(serial: int, text: str) -> None:
    assert certificates.serial_text(serial) == text
