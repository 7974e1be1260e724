"""TLS contexts of listeners and of outgoing connections, from certificate files."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from consulpy.errors import ConfigError
from consulpy.tls.settings import TlsSettings

_VERSIONS: Final = {
    "tls10": ssl.TLSVersion.TLSv1,
    "tls11": ssl.TLSVersion.TLSv1_1,
    "tls12": ssl.TLSVersion.TLSv1_2,
    "tls13": ssl.TLSVersion.TLSv1_3,
}
#: Versions that OpenSSL refuses at its default security level; allowed here when configured, as in Go.
_OLD: Final = ("tls10", "tls11")
#: Consul's texts of OpenSSL's reasons.
_REASONS: Final = {"KEY_VALUES_MISMATCH": "tls: private key does not match public key"}
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


class Tls:
    """The TLS contexts of one agent; `reload` replaces them for new connections.

    Raises `ConfigError` for inconsistent settings and unreadable files.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self.reload(settings)

    def reload(self, settings: TlsSettings) -> None:
        """Read all files again. Raises `ConfigError` and then changes nothing."""
        self.prepare(settings)()

    def prepare(self, settings: TlsSettings) -> Callable[[], None]:
        """Read all files again; the returned function applies them. Raises `ConfigError`."""
        settings.check()
        authorities = _authorities(settings)
        incoming_rpc = incoming_https = None
        if settings.has_certificate:
            incoming_rpc = _incoming(settings, authorities, verify=settings.verify_incoming_rpc)
        https, https_authorities = settings.of_https, authorities
        if https is not settings:
            https_authorities = _authorities(https) if https.https else ""
        if https.has_certificate and (https.https or https is settings):
            incoming_https = _incoming(https, https_authorities, verify=https.verify_incoming_https)
        outgoing = _outgoing(settings, authorities) if settings.has_ca else None
        own_api = _own_api(https, https_authorities) if https.has_certificate and https.https else None

        def use() -> None:
            self.settings = settings
            #: Of incoming connections; None: there is no certificate.
            self.incoming_rpc: ssl.SSLContext | None = incoming_rpc
            self.incoming_https: ssl.SSLContext | None = incoming_https
            #: Of connections to the agent's own HTTPS port; None: it is closed.
            self.own_api: ssl.SSLContext | None = own_api
            self._outgoing = outgoing

        return use

    def outgoing(self, datacenter: str, takes_tls: bool) -> tuple[ssl.SSLContext, str | None] | None:
        """Context and expected server name (None: any) of a connection to a server; None: without TLS.

        With `verify_outgoing` connections are never made without TLS, whatever gossip says of the server.
        """
        if self._outgoing is None or not (takes_tls or self.settings.verify_outgoing):
            return None
        checked = self.settings.verify_server_hostname
        return self._outgoing, self.settings.server_name(datacenter) if checked else None


def _incoming(settings: TlsSettings, authorities: str, *, verify: bool) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_SERVER, settings, authorities)
    if verify:
        context.verify_mode = ssl.CERT_REQUIRED
    if not settings.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _outgoing(settings: TlsSettings, authorities: str) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_CLIENT, settings, authorities)
    context.check_hostname = settings.verify_server_hostname
    if not settings.verify_outgoing:
        context.verify_mode = ssl.CERT_NONE
    return context


def _own_api(settings: TlsSettings, authorities: str) -> ssl.SSLContext:
    """Context for the agent's own HTTPS port: trusts its certificate, whatever the name in it."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, settings, f"{authorities}\n{_certificates(settings.cert_file)}")
    context.check_hostname = False
    return context


def _context(side: int, settings: TlsSettings, authorities: str) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go: an intermediate that is trusted is enough
    _limit_ciphers(context, settings)
    if authorities:
        context.load_verify_locations(cadata=authorities)
    if settings.has_certificate:
        for path in (settings.cert_file, settings.key_file):
            _read(path, "Failed to load cert/key pair: open ")
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or "no certificate and key in PEM form"
            why = _REASONS.get(reason, reason)
            raise ConfigError(
                f"Failed to load cert/key pair: {settings.cert_file}, {settings.key_file}: {why}"
            ) from None
    return context


def _limit_ciphers(context: ssl.SSLContext, settings: TlsSettings) -> None:
    wanted = settings.ciphers
    if settings.min_version in _OLD:
        wanted = f"{wanted or 'DEFAULT'}:@SECLEVEL=0"
    if not wanted:
        return
    try:
        context.set_ciphers(wanted)
    except ssl.SSLError:
        raise ConfigError(
            f"tls_cipher_suites: the OpenSSL of this host has none of {settings.cipher_suites!r}"
        ) from None


def _authorities(settings: TlsSettings) -> str:
    """The certificates of `ca_file`, else of all files in `ca_path` (or that file), in PEM form."""
    if settings.ca_file:
        return _certificates(settings.ca_file)
    if not settings.ca_path:
        return ""
    top = Path(settings.ca_path)
    if not top.exists():
        raise ConfigError(f"lstat {top}: no such file or directory (ca_path)")
    try:
        places = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
    except OSError as error:
        raise ConfigError(f"Error loading from {top}: {error.strerror} (ca_path)") from None
    if not places:
        raise ConfigError(f"Error loading from CAPath: no CAs found: {top} has no files (ca_path)")
    return "\n".join(_certificates(str(place)) for place in places)


def _certificates(path: str) -> str:
    text = _read(path, f"Error loading from {path}: open ")
    parts = [part.partition(_END)[0] for part in text.split(_BEGIN)[1:]]
    found = "\n".join(f"{_BEGIN}{part}{_END}" for part in parts)
    try:
        if not found:
            raise ValueError("no certificate in PEM form")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"Error loading from {path}: {getattr(error, 'reason', None) or error} (ca_file, ca_path)"
        ) from None
    return found


def _read(path: str, before: str) -> str:
    try:
        return Path(path).read_text("latin-1")
    except OSError as error:
        raise ConfigError(f"{before}{path}: {(error.strerror or str(error)).lower()}") from None
