"""Which settings fit together, and which files are certificates."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from consulpy.errors import ConfigError
from consulpy.tls.authority import Pair, create_authority, create_certificate
from consulpy.tls.contexts import Tls
from consulpy.tls.settings import CIPHERS, TlsSettings


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's certificate, and files that are neither."""
    folder = tmp_path_factory.mktemp("tls")
    ca = create_authority(10)
    write(folder, "ca", ca)
    write(folder, "other-ca", create_authority(10))
    write(folder, "server", create_certificate(ca, "server", "server.dc1.consul", names=["localhost"], days=10))
    (folder / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    (folder / "empty").mkdir()
    return folder


def write(folder: Path, name: str, pair: Pair) -> None:
    (folder / f"{name}.pem").write_bytes(pair.certificate)
    (folder / f"{name}-key.pem").write_bytes(pair.key)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"ca_file": "nope.pem"}, "Error loading from .*nope.pem: open .*nope.pem: no such file or directory"),
        ({"ca_file": "garbage.pem"}, "Error loading from .*garbage.pem"),
        ({"ca_file": "server-key.pem"}, "no certificate in PEM form"),
        ({"ca_path": "empty"}, "no CAs found: .*empty"),
        ({"ca_path": "nope"}, "lstat .*nope: no such file or directory"),
        ({"cert_file": "garbage.pem", "key_file": "server-key.pem"}, "garbage.pem.*: no certificate and key in PEM"),
        ({"cert_file": "nope.pem", "key_file": "server-key.pem"}, "Failed to load cert/key pair: open .*nope.pem"),
        ({"cert_file": "server.pem", "key_file": "ca-key.pem"}, "private key does not match public key"),
    ],
)
def test_files_that_are_of_no_use_are_named(files: Path, given: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Tls(TlsSettings(**{name: str(files / value) for name, value in given.items()}))


def test_a_folder_of_authorities_trusts_all_of_them(files: Path, tmp_path: Path) -> None:
    for name in ("ca.pem", "other-ca.pem"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    found = Tls(TlsSettings(ca_path=str(tmp_path), verify_outgoing=True)).outgoing("dc1", True)
    assert found is not None
    assert len(found[0].get_ca_certs()) == 2


def test_a_file_may_stand_for_a_folder_of_authorities(files: Path) -> None:
    found = Tls(TlsSettings(ca_path=str(files / "ca.pem"))).outgoing("dc1", True)
    assert found is not None
    assert len(found[0].get_ca_certs()) == 1


def test_a_reload_that_fails_changes_nothing(files: Path) -> None:
    tls = Tls(TlsSettings(cert_file=str(files / "server.pem"), key_file=str(files / "server-key.pem")))
    before = tls.incoming_rpc
    with pytest.raises(ConfigError):
        tls.reload(TlsSettings(ca_file=str(files / "nope.pem")))
    assert tls.incoming_rpc is before


@pytest.mark.parametrize(
    ("ca", "verify", "takes_tls", "secure"),
    [(False, False, True, False), (True, False, False, False), (True, False, True, True), (True, True, False, True)],
)
def test_when_servers_are_called_over_tls(files: Path, ca: bool, verify: bool, takes_tls: bool, secure: bool) -> None:
    tls = Tls(TlsSettings(ca_file=str(files / "ca.pem") if ca else "", verify_outgoing=verify))
    assert (tls.outgoing("dc1", takes_tls) is not None) == secure


def test_a_server_has_its_datacenter_s_name(files: Path) -> None:
    settings = TlsSettings(
        ca_file=str(files / "ca.pem"), verify_outgoing=True, verify_server_hostname=True, domain="example.com."
    )
    found = Tls(settings).outgoing("dc2", True)
    assert found is not None
    assert (found[1], found[0].check_hostname) == ("server.dc2.example.com", True)


def test_every_cipher_suite_has_a_name_that_openssl_knows() -> None:
    settings = TlsSettings(cipher_suites="TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA")
    settings.check()
    assert settings.ciphers == "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA"
    assert len(set(CIPHERS.values())) == len(CIPHERS)


@pytest.mark.parametrize("go_name", CIPHERS)
def test_every_cipher_suite_can_be_asked_for_alone(files: Path, go_name: str) -> None:
    tls = Tls(TlsSettings(ca_file=str(files / "ca.pem"), cipher_suites=go_name))
    found = tls.outgoing("dc1", True)
    assert found is not None
    names = [each["name"] for each in found[0].get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert names == [CIPHERS[go_name]]


def test_a_cipher_suite_that_consul_refuses_is_refused() -> None:
    with pytest.raises(ConfigError, match='unsupported cipher "TLS_RSA_WITH_3DES_EDE_CBC_SHA"'):
        TlsSettings(cipher_suites="TLS_RSA_WITH_3DES_EDE_CBC_SHA").check()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("least", "works"), [("tls10", True), ("tls11", True), ("tls12", False)])
def test_old_versions_only_for_who_asks_for_them(files: Path, least: str, works: bool) -> None:
    server = Tls(
        TlsSettings(cert_file=str(files / "server.pem"), key_file=str(files / "server-key.pem"), min_version=least)
    ).incoming_rpc
    assert server is not None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers("DEFAULT:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    back, forth = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, forth), server.wrap_bio(forth, back, server_side=True)]
    if works:
        shake(ends)
        assert ends[0].version() == "TLSv1.1"
    else:
        with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|no.protocols"):
            shake(ends)


def shake(ends: list[ssl.SSLObject]) -> None:
    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
