"""A certificate that the servers gave: used from memory, with the authorities that came with it."""

import ssl
from pathlib import Path

import pytest

from consulpy.connect import certificates
from consulpy.connect.keys import key_pem, make_key
from consulpy.errors import ConfigError
from consulpy.tls.contexts import IssuedCertificate, Tls
from consulpy.tls.settings import TlsSettings

NOW_S = 1_800_000_000.0


def made() -> tuple[IssuedCertificate, str]:
    key = make_key()
    root = certificates.make_root(key, 7, "pri-a.consul.ca.98359594.consul", "spiffe://a.consul", NOW_S)
    return IssuedCertificate(root, key_pem(key)), root


def test_an_agent_without_one_has_no_listener_for_tls(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(made()[1])
    tls = Tls(TlsSettings(https=True, auto_encrypt=True, verify_incoming_https=True, ca_file=str(tmp_path / "ca.pem")))
    assert tls.incoming_https is None


def test_the_one_of_the_servers_is_used_for_all() -> None:
    issued, root = made()
    tls = Tls(TlsSettings(https=True, auto_encrypt=True))
    tls.use_issued(issued, [root])
    assert tls.incoming_https is not None
    assert tls.own_api is not None
    secure = tls.outgoing("dc1", takes_tls=True)
    assert secure is not None
    assert [each["serialNumber"] for each in secure[0].get_ca_certs()] == ["07"]


def test_a_reload_keeps_it() -> None:
    issued, root = made()
    tls = Tls(TlsSettings(https=True, auto_encrypt=True))
    tls.use_issued(issued, [root])
    tls.reload(TlsSettings(https=True, auto_encrypt=True, min_version="tls13"))
    assert tls.incoming_https is not None
    assert tls.incoming_https.minimum_version is ssl.TLSVersion.TLSv1_3


def test_one_that_cannot_be_used_changes_nothing_and_shows_no_key() -> None:
    issued, root = made()
    tls = Tls(TlsSettings(https=True, auto_encrypt=True))
    tls.use_issued(issued, [root])
    before = tls.incoming_https
    with pytest.raises(ConfigError, match="can't be used") as caught:
        tls.use_issued(IssuedCertificate(root, key_pem(make_key())), [root])
    assert "PRIVATE" not in str(caught.value)
    assert "PRIVATE" not in repr(issued)
    assert tls.incoming_https is before


def test_servers_tell_the_authorities_of_their_files(tmp_path: Path) -> None:
    _, root = made()
    file = tmp_path / "ca.pem"
    file.write_text(f"a comment\n{root}{root}")
    assert Tls(TlsSettings(ca_file=str(file))).manual_authorities == [root, root]
