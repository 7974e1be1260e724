"""A CA root that openssl made: agents of both programs get certificates by it, and follow from one to the next."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Host, ask, eventually, hosts
from tests.system.connect.test_auto_encrypt import CLIENT, OWN, REAL, SERVER, Pair

pytestmark = [pytest.mark.peers, pytest.mark.programs("openssl")]

KEYS = {
    "ec": ("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "ec.key"),
    "rsa": ("genrsa", "-traditional", "-out", "rsa.key", "2048"),
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


def root(host: Host, kind: str) -> dict[str, str]:
    """Settings of a CA with a key and root of its own."""
    host.run("openssl", *KEYS[kind])
    subject = ("-subj", f"/CN=own {kind}", "-addext", "subjectAltName=URI:spiffe://own.example")
    host.run("openssl", "req", "-x509", "-new", "-key", f"{kind}.key", *subject, "-days", "400", "-out", f"{kind}.pem")
    texts = [(host.directory / f"{kind}.{end}").read_text() for end in ("key", "pem")]
    return dict(zip(("PrivateKey", "RootCert"), texts, strict=True))


@pytest.mark.parametrize(
    ("server", "client"), [(OWN, REAL), (REAL, OWN), (OWN, OWN)], ids=["real client", "real server", "own"]
)
def test_a_client_has_its_certificate_by_the_own_root_and_by_the_next(host: Host, server: str, client: str) -> None:
    pair = Pair(host, server, client)
    first = root(host, "ec")
    settings = {"private_key": first["PrivateKey"], "root_cert": first["RootCert"]}
    pair.start(1, SERVER | {"connect": {"enabled": True, "ca_config": settings}})
    eventually(lambda: ask(f"{pair.http(1)}/v1/connect/ca/roots")["Roots"], "a CA")
    pair.start(2, CLIENT)
    pair.joined()
    assert "Issuer: CN = own ec" in pair.certificate()
    body = json.dumps({"Provider": "consul", "Config": root(host, "rsa")}).encode()
    ask(f"{pair.http(1)}/v1/connect/ca/configuration", "PUT", body)
    eventually(lambda: "Issuer: CN = own rsa" in pair.shown(), "a certificate by the new root")
    ask(f"{pair.http(2)}/v1/kv/a", "PUT", b"1")
