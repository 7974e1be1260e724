"""HTTPS to an agent, with the certificates of the settings."""

import http.client
import socket
import ssl
from pathlib import Path

from consulpy.client.settings import ClientSettings
from consulpy.errors import ConfigError


def connect(settings: ClientSettings, timeout_s: float) -> http.client.HTTPConnection:
    """A connection, opened by its first request. Raises `ConfigError` for unreadable certificates."""
    return _TlsConnection(settings, timeout_s)


class _TlsConnection(http.client.HTTPSConnection):
    """Uses `tls_server_name`, if it is set, for SNI and verification instead of the address."""

    def __init__(self, settings: ClientSettings, timeout_s: float) -> None:
        super().__init__(settings.address, timeout=timeout_s, context=client_context(settings))
        self._name = settings.tls_server_name
        self._tls = client_context(settings)

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        secured = self._tls.wrap_socket(plain, server_hostname=self._name or self.host, do_handshake_on_connect=False)
        self.sock = secured  # before the handshake, so that it can be given up
        secured.do_handshake()


def client_context(settings: ClientSettings) -> ssl.SSLContext:
    """The context of connections to an agent. Raises `ConfigError` for unreadable certificates."""
    _check_files(settings)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None, capath=settings.ca_path or None)
    except OSError as error:
        fault = f"-ca-file {settings.ca_file}: it has no certificate in PEM form ({_reason(error)})"
        raise ConfigError(fault) from None
    if settings.client_cert:
        try:
            context.load_cert_chain(settings.client_cert, settings.client_key)
        except OSError as error:
            raise ConfigError(
                f"-client-cert {settings.client_cert}, -client-key {settings.client_key}: they are no certificate and "
                f"its key in PEM form ({_reason(error)})"
            ) from None
    if not settings.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _check_files(settings: ClientSettings) -> None:
    """Raises `ConfigError` for a file that can't be read, naming it: OpenSSL does not say which, or passes it over."""
    files = {"ca-file": settings.ca_file, "client-cert": settings.client_cert, "client-key": settings.client_key}
    try:
        for path in filter(None, files.values()):
            with Path(path).open("rb"):
                """It can be read."""
        if settings.ca_path:
            next(Path(settings.ca_path).iterdir(), None)
    except OSError as error:
        flag = next((name for name, path in files.items() if path == error.filename), "ca-path")
        raise ConfigError(f"-{flag}: open {error.filename}: {str(error.strerror).lower()}") from None


def _reason(error: OSError) -> str:
    """OpenSSL's reason in words, without the place in its source."""
    return str(getattr(error, "reason", None) or error.strerror or "unknown reason").replace("_", " ").lower()
