"""TLS contexts of listeners and of outgoing connections, from certificate files."""

import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import ConfigError
from consulpy.tls.settings import TlsSettings

OPENSSL_VERSIONS: Final = {
    "tls10": ssl.TLSVersion.TLSv1,
    "tls11": ssl.TLSVersion.TLSv1_1,
    "tls12": ssl.TLSVersion.TLSv1_2,
    "tls13": ssl.TLSVersion.TLSv1_3,
}
#: Versions that OpenSSL refuses at its default security level; allowed here when configured, as in Go.
OLD_VERSIONS: Final = ("tls10", "tls11")
#: Consul's texts of OpenSSL's reasons.
_REASONS: Final = {"KEY_VALUES_MISMATCH": "tls: private key does not match public key"}
#: Names in ALPN of what is spoken on the server port, for connections that begin with TLS at once (Consul 1.8).
ALPN_SINGLE, ALPN_RAFT, ALPN_MULTIPLEX = "consul/rpc-single", "consul/raft", "consul/rpc-multi"
ALPN_SNAPSHOT, ALPN_GRPC = "consul/rpc-snapshot", "consul/rpc-grpc"
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that the servers gave to this agent, and its key, in PEM; both are in memory only."""

    certificate: str
    key: str = field(repr=False)


class Tls:
    """The TLS contexts of one agent; `reload` replaces them for new connections.

    Raises `ConfigError` for inconsistent settings and unreadable files.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._issued: IssuedCertificate | None = None
        self._trusted: tuple[str, ...] = ()
        self.reload(settings)

    def use_issued(self, issued: IssuedCertificate | None, trusted: Sequence[str]) -> None:
        """Use a certificate of the servers (None: that of the files), and trust more authorities (PEM) than the files
        name. Raises `ConfigError` and then changes nothing.
        """
        before = self._issued, self._trusted
        self._issued, self._trusted = issued, tuple(trusted)
        try:
            self.reload(self.settings)
        except ConfigError:
            self._issued, self._trusted = before
            raise

    def reload(self, settings: TlsSettings) -> None:
        """Read all files again. Raises `ConfigError` and then changes nothing."""
        self.prepare(settings)()

    def prepare(self, settings: TlsSettings) -> Callable[[], None]:
        """Read all files again; the returned function applies them. Raises `ConfigError`."""
        settings.check()
        issued, manual = self._issued, _authorities(settings)
        authorities = "\n".join((manual, *self._trusted))
        incoming_rpc = incoming_https = unverified_rpc = native_rpc = None
        if settings.has_certificate or issued:
            incoming_rpc = _incoming(settings, authorities, issued, verify=settings.verify_incoming_rpc)
            unverified_rpc = _incoming(settings, authorities, issued, verify=False)
            if authorities.strip():
                native_rpc = _incoming(settings, authorities, issued, verify=True)
                native_rpc.set_alpn_protocols([ALPN_SINGLE, ALPN_RAFT, ALPN_MULTIPLEX, ALPN_SNAPSHOT, ALPN_GRPC])
        https, https_authorities = settings.of_https, authorities
        if https is not settings:
            https_authorities = "\n".join((_authorities(https), *self._trusted)) if https.https else ""
        if (https.has_certificate or issued) and (https.https or https is settings):
            incoming_https = _incoming(https, https_authorities, issued, verify=https.verify_incoming_https)
        outgoing = _outgoing(settings, authorities, issued) if settings.has_ca or self._trusted else None
        own_api = None
        if (https.has_certificate or issued) and https.https:
            own_api = _own_api(https, https_authorities, issued)

        def use() -> None:
            self.settings = settings
            #: Of incoming connections; None: there is no certificate.
            self.incoming_rpc: ssl.SSLContext | None = incoming_rpc
            self.incoming_https: ssl.SSLContext | None = incoming_https
            #: Of incoming connections of agents that ask for their first certificate.
            self.unverified_rpc: ssl.SSLContext | None = unverified_rpc
            #: Of incoming connections that begin with TLS at once; None: there are no certificate and authorities.
            self.native_rpc: ssl.SSLContext | None = native_rpc
            #: The authorities that the files name, in PEM.
            self.manual_authorities = [
                f"{_BEGIN}{part.partition(_END)[0]}{_END}\n" for part in manual.split(_BEGIN)[1:]
            ]
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


def _incoming(
    settings: TlsSettings, authorities: str, issued: IssuedCertificate | None, *, verify: bool
) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_SERVER, settings, authorities, issued)
    if verify:
        context.verify_mode = ssl.CERT_REQUIRED
    if not settings.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _outgoing(settings: TlsSettings, authorities: str, issued: IssuedCertificate | None) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_CLIENT, settings, authorities, issued)
    context.check_hostname = settings.verify_server_hostname
    if not settings.verify_outgoing:
        context.verify_mode = ssl.CERT_NONE
    return context


def _own_api(settings: TlsSettings, authorities: str, issued: IssuedCertificate | None) -> ssl.SSLContext:
    """Context for the agent's own HTTPS port: trusts its certificate, whatever the name in it."""
    own = issued.certificate if issued else _certificates(settings.cert_file)
    context = _context(ssl.PROTOCOL_TLS_CLIENT, settings, f"{authorities}\n{own}", issued)
    context.check_hostname = False
    return context


def _context(side: int, settings: TlsSettings, authorities: str, issued: IssuedCertificate | None) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = OPENSSL_VERSIONS[settings.min_version]
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go: an intermediate that is trusted is enough
    _limit_ciphers(context, settings)
    if authorities.strip():
        context.load_verify_locations(cadata=authorities)
    if issued is not None:
        _load_issued(context, issued)
    elif settings.has_certificate:
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


def _load_issued(context: ssl.SSLContext, issued: IssuedCertificate) -> None:
    """Load a certificate and its key, which OpenSSL takes from files only: from one that is memory."""
    place = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(place, f"{issued.certificate}\n{issued.key}".encode())
        context.load_cert_chain(f"/proc/self/fd/{place}")
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"the certificate that the servers gave can't be used: {error}") from None
    finally:
        os.close(place)


def _limit_ciphers(context: ssl.SSLContext, settings: TlsSettings) -> None:
    wanted = settings.ciphers
    if settings.min_version in OLD_VERSIONS:
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
