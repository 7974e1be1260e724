"""`consulpy tls` beside `consul tls`: the same words, the same files, certificates that say the same."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.peers.cli import ours, theirs

pytestmark = pytest.mark.peers

#: Each begins where the ones before it ended.
STEPS = [
    "cert create -server",
    "ca create",
    "ca create",
    "cert create",
    "cert create -server -client",
    "cert create -server",
    "cert create -client",
    "cert create -cli",
    "cert create -server",
    "cert create -server -dc dc2 -node n1 -days 7 -additional-dnsname a.example.com -additional-ipaddress 10.0.0.1",
    "cert create -client -ca nope.pem",
    "cert create -client -key nope.pem",
    "ca create -domain example -name-constraint -additional-name-constraint b.example.com -days 30",
    "cert create -server -domain example",
]


def certificates(folder: Path) -> dict[str, Any]:
    """What each certificate says, but for names of issuers, numbers and identifiers."""
    said = {}
    for path in sorted(folder.glob("*.pem")):
        if path.name.endswith("-key.pem"):
            continue
        found = x509.load_pem_x509_certificate(path.read_bytes())
        extensions = {each.oid: (each.critical, each.value) for each in found.extensions}
        for oid in (x509.SubjectKeyIdentifier.oid, x509.AuthorityKeyIdentifier.oid):
            extensions.pop(oid, None)
        life = found.not_valid_after_utc - found.not_valid_before_utc
        names = [name.rfc4514_string() for name in found.subject if "Consul Agent CA" not in str(name.value)]
        own = names if path.name.startswith("dc") else []
        said[path.name] = (own, extensions, life.days, found.signature_algorithm_oid.dotted_string)
    return said


def test_the_same_words_and_the_same_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {}
    told: dict[str, list[Any]] = {}
    for name, program in (("theirs", theirs), ("ours", ours)):
        folder = folders[name] = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        told[name] = [(step, *program("127.0.0.1", "tls", *step.split())) for step in STEPS]
    assert told["ours"] == told["theirs"]
    assert certificates(folders["ours"]) == certificates(folders["theirs"])
    assert sorted(path.name for path in folders["ours"].iterdir()) == sorted(
        path.name for path in folders["theirs"].iterdir()
    )


def test_keys_are_their_owner_s_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ours("127.0.0.1", "tls", "ca", "create")[0] == 0
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {
        "consul-agent-ca.pem": "0o644",
        "consul-agent-ca-key.pem": "0o600",
    }


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("cert create -server -additional-ipaddress somewhere", "-additional-ipaddress: 'somewhere' is no IP address"),
        ("cert create -server -days 0", "-days: 0 is no number of days for which a certificate can be valid"),
        ("cert create -client -node n", "-node requires -server"),
        ("ca create -domain x -days 99999999999", "is no number of days for which a certificate can be valid"),
        ("ca create -domain x -additional-name-constraint y", "works only with -name-constraint"),
        ("cert create -client -key consul-agent-ca.pem", "Error reading CA key: it is no unencrypted key in PEM form"),
        ("cert", "Usage: consulpy tls cert <subcommand>"),
    ],
)
def test_mistakes_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    ours("127.0.0.1", "tls", "ca", "create")
    status, _, errors = ours("127.0.0.1", "tls", *words.split())
    assert (status, text in errors) == (1, True), errors
    assert len(list(tmp_path.iterdir())) == 2, "nothing is left half done"
