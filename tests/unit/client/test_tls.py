"""Certificates of the client: a mistake names the file, in words."""

import ssl
from pathlib import Path

import pytest

from consulpy.client.connection import _reason
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
