"""Certificates of the client: a mistake names the file, in words."""

import http.client
import ssl
from pathlib import Path

import pytest

from consulpy.client.connection import Connection, NoAgent, _reason
from consulpy.client.settings import ClientSettings
from consulpy.client.tls import client_context
from consulpy.errors import ConfigError


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({"ca_file": "nope"}, "-ca-file: open {0}/nope: no such file or directory"),
        ({"ca_path": "nope"}, "-ca-path: open {0}/nope: no such file or directory"),
        ({"client_cert": "nope", "client_key": "text"}, "-client-cert: open {0}/nope: no such file or directory"),
        ({"client_cert": "text", "client_key": "nope"}, "-client-key: open {0}/nope: no such file or directory"),
        ({"ca_file": "text"}, "-ca-file {0}/text: it has no certificate in PEM form"),
        ({"client_cert": "text", "client_key": "text"}, "they are no certificate and its key in PEM form"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, names: dict[str, str], text: str) -> None:
    (tmp_path / "text").write_text("no certificate")
    settings = ClientSettings(scheme="https", **{field: str(tmp_path / name) for field, name in names.items()})  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as raised:
        client_context(settings)
    assert text.format(tmp_path) in str(raised.value)
    assert "Errno" not in str(raised.value)
    assert "_ssl" not in str(raised.value)


def test_an_http_server_behind_https_is_said_in_words() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x")
    incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as raised:
        client.do_handshake()
    assert _reason(raised.value) == "http: server gave HTTP response to HTTPS client"


@pytest.mark.parametrize("scheme", ["http", "unix"])
@pytest.mark.parametrize("name", ["ca_file", "ca_path"])
def test_a_file_that_cannot_be_used_is_named_where_no_tls_is_spoken_too(tmp_path: Path, scheme: str, name: str) -> None:
    settings = ClientSettings(scheme=scheme, address=f"{tmp_path}/socket", **{name: f"{tmp_path}/nope"})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"open {tmp_path}/nope: no such file"):
        Connection(settings).request("GET", "/v1/status/leader")


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("WRONG_VERSION_NUMBER", "does not speak TLS: use http://10.0.0.1:8500."),
        ("CERTIFICATE_VERIFY_FAILED", "-ca-file (CONSUL_CACERT) is the authority"),
    ],
)
def test_what_to_do_about_tls_is_said(monkeypatch: pytest.MonkeyPatch, reason: str, hint: str) -> None:
    error = ssl.SSLError(1, "")
    error.reason = reason

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(http.client.HTTPConnection, "request", refuse)
    with pytest.raises(NoAgent) as raised:
        Connection(ClientSettings(scheme="https", address="10.0.0.1:8500")).request("GET", "/")
    assert hint in raised.value.hint
