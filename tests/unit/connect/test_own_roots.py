"""Roots that another program made name their key in a way of their own: what they sign names it so, too.

Source: `openssl verify`, and what a real server signs by such roots.
"""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from consulpy.connect import certificates
from consulpy.connect.certificates import Signer
from consulpy.connect.keys import make_key
from consulpy.connect.spiffe import ServiceId

HOST = "98359594-3fd1-a06d-86e5-dbcf064a22fd.consul"
WEB = ServiceId(HOST, "dc1", "web")
NOW_S = 1_800_000_000.0
KEYS = [("ec", 224), ("ec", 256), ("ec", 384), ("ec", 521), ("rsa", 2048)]


def own_root(kind: str, bits: int, name: str, *, has_id: bool = True) -> Signer:
    """A root as `openssl req -x509` makes one: its key's id is a SHA-1."""
    key = make_key(kind, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begins = datetime.fromtimestamp(NOW_S, UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(99).not_valid_before(begins).not_valid_after(begins + timedelta(days=3650))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if has_id:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return Signer(builder.sign(key, SHA256()), key)


def leaf(by: Signer) -> str:
    csr = certificates.read_request(certificates.make_request(make_key(), WEB.uri))
    return certificates.sign_leaf(by, csr, certificates.subject_names(csr), WEB, 8, timedelta(hours=72), NOW_S)


def verify(folder: Path, pem: str, trusted: x509.Certificate, untrusted: str = "") -> str:
    """What openssl says of a certificate."""
    (folder / "leaf").write_text(pem)
    (folder / "between").write_text(untrusted)
    (folder / "root").write_bytes(trusted.public_bytes(Encoding.PEM))
    extra = ["-untrusted", "between"] if untrusted else []
    command = ["openssl", "verify", "-attime", str(int(NOW_S)), "-CAfile", "root", *extra, "leaf"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("has_id", [True, False])
@pytest.mark.parametrize(("kind", "bits"), KEYS)
def test_openssl_verifies_leafs_of_an_own_root(tmp_path: Path, kind: str, bits: int, has_id: bool) -> None:
    by = own_root(kind, bits, "one", has_id=has_id)
    assert verify(tmp_path, leaf(by), by.certificate) == "leaf: OK\n"


@pytest.mark.parametrize(("kind", "bits"), KEYS)
def test_openssl_verifies_leafs_of_a_new_root_by_the_one_before(tmp_path: Path, kind: str, bits: int) -> None:
    """Through the new root as the old one has cross-signed it."""
    old, new = own_root("ec", 256, "old"), own_root(kind, bits, "new")
    between = certificates.cross_sign(old, new.certificate, 9, NOW_S)
    assert verify(tmp_path, leaf(new), old.certificate, between) == "leaf: OK\n"
    assert "error" in verify(tmp_path, leaf(new), old.certificate)


def test_openssl_verifies_leafs_of_another_datacenter(tmp_path: Path) -> None:
    root, key = own_root("rsa", 2048, "root"), make_key()
    request = certificates.read_request(certificates.make_authority_request(key, "sec", f"spiffe://{HOST}"))
    between = certificates.sign_intermediate(root, request, 10, timedelta(hours=8760), NOW_S)
    signer = Signer(certificates.read_certificate(between), key)
    assert verify(tmp_path, leaf(signer), root.certificate, between) == "leaf: OK\n"
