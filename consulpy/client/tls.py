"""HTTPS to an agent, with the certificates of the settings."""

import http.client
import socket
import ssl

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
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name or self.host)


def client_context(settings: ClientSettings) -> ssl.SSLContext:
    """The context of connections to an agent. Raises `ConfigError` for unreadable certificates."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None, capath=settings.ca_path or None)
        if settings.client_cert:
            context.load_cert_chain(settings.client_cert, settings.client_key)
    except OSError as error:
        raise ConfigError(f"-ca-file, -ca-path, -client-cert, -client-key: cannot load certificates: {error}") from None
    if not settings.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
