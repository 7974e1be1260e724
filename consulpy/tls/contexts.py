"""Certificates read from their files: what a listener and a caller need to speak TLS."""

import ssl
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
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


class Tls:
    """TLS of one agent. `reload` replaces everything for the connections that are made from then on.

    Raises `ConfigError` for settings that don't fit together, and for files that can't be read.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self.reload(settings)

    def reload(self, settings: TlsSettings) -> None:
        """Read all files again. Raises `ConfigError` and changes nothing."""
        settings.check()
        authorities = _authorities(settings)
        incoming_rpc = incoming_https = None
        if settings.has_certificate:
            incoming_rpc = _incoming(settings, authorities, verify=settings.verify_incoming_rpc)
            incoming_https = _incoming(settings, authorities, verify=settings.verify_incoming_https)
        outgoing = _outgoing(settings, authorities) if settings.calls_over_tls else None
        self.settings = settings
        #: For connections that are made to us; None: we have no certificate to show.
        self.incoming_rpc: ssl.SSLContext | None = incoming_rpc
        self.incoming_https: ssl.SSLContext | None = incoming_https
        self._outgoing = outgoing

    def outgoing(self, datacenter: str, takes_tls: bool) -> tuple[ssl.SSLContext, str | None] | None:
        """How to call a server: with what, and the name that it must have (None: any). None: without TLS.

        With `verify_outgoing` nothing is ever sent without TLS, whatever the server says of itself.
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


def _context(side: int, settings: TlsSettings, authorities: str) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go: an intermediate that is trusted is enough
    if settings.ciphers:
        context.set_ciphers(settings.ciphers)
    if authorities:
        context.load_verify_locations(cadata=authorities)
    if settings.has_certificate:
        for path in (settings.cert_file, settings.key_file):
            _read(path, "Failed to load cert/key pair: open ")
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            why = getattr(error, "reason", None) or error
            raise ConfigError(
                f"Failed to load cert/key pair: {settings.cert_file}, {settings.key_file}: {why}"
            ) from None
    return context


def _authorities(settings: TlsSettings) -> str:
    """The certificates of `ca_file`, else of all files in `ca_path`, in PEM form."""
    if settings.ca_file:
        return _certificates(settings.ca_file)
    if not settings.ca_path:
        return ""
    try:
        places = sorted(path for path in Path(settings.ca_path).rglob("*") if path.is_file())
    except OSError as error:
        raise ConfigError(f"Error loading from {settings.ca_path}: {error.strerror}") from None
    if not places:
        raise ConfigError(f"lstat {settings.ca_path}: no such directory, or no file in it (ca_path)")
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
        raise ConfigError(f"Error loading from {path}: {getattr(error, 'reason', None) or error} (ca_file)") from None
    return found


def _read(path: str, told: str) -> str:
    try:
        return Path(path).read_text("latin-1")
    except OSError as error:
        raise ConfigError(f"{told}{path}: {(error.strerror or str(error)).lower()}") from None
