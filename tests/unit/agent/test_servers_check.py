"""What `doctor` reads out of failed calls to servers, certificates and the data directory."""

import errno
import os
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionRefusedError  # noqa: A004
from twisted.python.failure import Failure

from consulpy.agent.features.servers_check import ServersCheck, _Reply, own_certificate, tls_cause, why_not_open
from consulpy.agent.process import data_dir_check
from consulpy.diagnosis.causes import Cause
from consulpy.rpc.server_metadata import server_of
from tests.harness.faults import Pool

NOW = datetime(2026, 6, 1, tzinfo=UTC)
System = namedtuple("System", "f_bavail f_blocks f_frsize")


@pytest.mark.parametrize(
    ("error", "uses_tls", "cause"),
    [
        ("certificate verify failed: certificate has expired", True, Cause.TLS_EXPIRED),
        ("certificate verify failed: certificate is not yet valid", True, Cause.TLS_EXPIRED),
        ("certificate verify failed: unable to get local issuer certificate", True, Cause.TLS_UNTRUSTED),
        ("certificate verify failed: Hostname mismatch", True, Cause.TLS_UNTRUSTED),
        ("tlsv1 alert unknown ca", True, Cause.TLS_UNTRUSTED),
        ("TLS handshake: self-signed certificate in certificate chain", True, Cause.TLS_UNTRUSTED),
        ("TLS handshake: self signed certificate", True, Cause.TLS_UNTRUSTED),
        ("TLS handshake: unable to get local issuer certificate", True, Cause.TLS_UNTRUSTED),
        ("TLS handshake: certificate signature failure", True, Cause.TLS_UNTRUSTED),
        ("TLS handshake: IP address mismatch, certificate is not valid for '10.0.0.1'", True, Cause.TLS_UNTRUSTED),
        ("TLS handshake: unsuitable certificate purpose", True, Cause.TLS_UNTRUSTED),
        ("tlsv13 alert certificate required", True, Cause.TLS_MISMATCH),
        ("wrong version number", True, Cause.TLS_MISMATCH),
        ("rpc error making call: EOF", False, Cause.TLS_MISMATCH),
        ("rpc error making call: EOF (TLS: sslv3 alert bad certificate)", True, Cause.TLS_UNTRUSTED),
        ("rpc error making call: EOF (TLS: tlsv13 alert certificate required)", True, Cause.TLS_MISMATCH),
        ("rpc error making call: EOF", True, Cause.UNKNOWN),  # the handshake was fine
        ("no answer in 1.8 s", False, Cause.UNKNOWN),
    ],
)
def test_the_text_of_a_failed_call_tells_what_is_wrong_with_tls(error: str, uses_tls: bool, cause: Cause) -> None:
    assert tls_cause(error, uses_tls, True)[0] is cause


@pytest.mark.parametrize("end", ["EOF", "EOF (TLS: sslv3 alert bad certificate)"])
def test_a_server_that_ends_the_connection_of_an_agent_without_certificate_wants_one(end: str) -> None:
    """Go's alert says `bad certificate` for none at all."""
    cause, text = tls_cause(f"rpc error making call: {end}", True, False)
    assert cause is Cause.TLS_MISMATCH
    assert "client certificate" in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(), "refuses connections"),
        (ConnectError(string="Network is unreachable"), "does not open (An error occurred while connecting: Network"),
        (ConnectError(string=Failure(ConnectionDone())), "does not open (rejected on the way"),
    ],
)
def test_a_port_that_does_not_open_is_told_without_a_traceback(error: Exception, text: str) -> None:
    """The last one is what Twisted makes of an ICMP error while it connects."""
    assert why_not_open(error).startswith(text)


def certificate(path: Path, begin: datetime, end: datetime) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server.dc1.consul")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, end)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return str(path)


@pytest.mark.parametrize(
    ("begins_in", "ends_in", "status", "cause"),
    [
        (-10, 30, "pass", Cause.HEALTHY),
        (-10, 6, "warn", Cause.TLS_EXPIRED),
        (-10, -1, "fail", Cause.TLS_EXPIRED),
        (1, 30, "fail", Cause.TLS_EXPIRED),
    ],
)
def test_our_own_certificate(tmp_path: Path, begins_in: int, ends_in: int, status: str, cause: Cause) -> None:
    path = certificate(tmp_path / "cert.pem", NOW + timedelta(begins_in), NOW + timedelta(ends_in))
    found = own_certificate(path, NOW.timestamp())
    assert (found.status, found.cause) == (status, cause)
    assert "2026-06-01" in found.text


def test_a_certificate_that_can_not_be_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    assert own_certificate(str(tmp_path / "cert.pem"), NOW.timestamp()).status == "warn"


@pytest.mark.parametrize(
    ("free_blocks", "blocks", "cause", "low"),
    [
        (500_000, 1_000_000, Cause.HEALTHY, False),
        (100, 1_000_000, Cause.DISK_FULL, False),
        (9_000, 1_000_000, Cause.DISK_FULL, False),
        (40_000, 1_000_000, Cause.DISK_FULL, True),
        (400_000, 10_000_000, Cause.HEALTHY, False),  # 4 %, and more than a GiB
    ],
)
def test_room_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_blocks: int, blocks: int, cause: Cause, low: bool
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _path: System(free_blocks, blocks, 4096))
    verdict = data_dir_check.examine(str(tmp_path))
    assert verdict.cause is cause
    assert bool(verdict.evidence) == low
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errno.EROFS, Cause.DATA_DIR_UNWRITABLE),
        (errno.EACCES, Cause.DATA_DIR_UNWRITABLE),
        (errno.ENOSPC, Cause.DISK_FULL),
    ],
)
def test_a_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, cause: Cause) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "statvfs", lambda _path: System(500_000, 1_000_000, 4096))
    monkeypatch.setattr(os, "open", refuse)
    assert data_dir_check.examine(str(tmp_path)).cause is cause


def test_a_data_directory_that_is_gone(tmp_path: Path) -> None:
    assert data_dir_check.examine(str(tmp_path / "gone")).cause is Cause.DATA_DIR_UNWRITABLE


def test_servers_that_failed_are_named_where_the_quorum_is_lost() -> None:
    pool = Pool(1)
    servers = [pool.add(name, f"10.0.0.{10 + number}", bootstrap_expect=3) for number, name in enumerate("stu")]
    for serf in servers:
        pool.join(serf.local_name, "10.0.0.1")
    pool.run(5)
    for name in "tu":
        pool.crash(name)
    pool.run(40)
    agent: Any = SimpleNamespace(lan=pool.serfs["a"], server=None)
    replies = [_Reply(info, "", None) for info in map(server_of, pool.serfs["a"].members.values()) if info is not None]
    living = [reply.server for reply in replies if reply.server.name == "s"]
    (found,) = ServersCheck(agent, pool.clock)._leader(living, replies[:1])
    assert (found.status, found.cause) == ("fail", Cause.NO_LEADER)
    assert "1 are there, 3 are expected" in found.text
    assert "bring back t, u" in found.fix


@pytest.mark.parametrize("both_lead", [False, True])
def test_two_servers_that_each_lead_alone_are_named_after_they_joined(both_lead: bool) -> None:
    """Two that were started with `bootstrap` and are of one quorum by now are no fault."""
    pool = Pool(1)
    for name, address in (("s", "10.0.0.10"), ("t", "10.0.0.11")):
        pool.add(name, address, bootstrap=True)
        pool.join(name, "10.0.0.1")
    pool.run(5)
    infos = [server_of(pool.serfs["a"].members[name]) for name in "st"]
    servers = [info for info in infos if info is not None]
    leaders = [each.rpc_address if both_lead else servers[0].rpc_address for each in servers]
    agent: Any = SimpleNamespace(lan=pool.serfs["a"], server=None)
    replies = [_Reply(info, leader, None) for info, leader in zip(servers, leaders, strict=True)]
    (found,) = ServersCheck(agent, pool.clock)._leader(servers, replies)
    assert found.cause is (Cause.TWO_BOOTSTRAPPED if both_lead else Cause.HEALTHY)
    assert ("s and t" in found.text) == both_lead
