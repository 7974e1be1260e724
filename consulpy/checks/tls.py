"""TLS for checks. Imports pyOpenSSL, which costs memory and start-up time: only for checks that need it.

Without it (`pip install "consulpy[tls]"`) checks over TLS are refused when they are registered.
"""

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from zope.interface import implementer

from consulpy.checks.agenttls import AgentTls
from consulpy.checks.dial import is_address
from consulpy.errors import ConfigError

_BEGIN = b"-----BEGIN CERTIFICATE-----"


def tls_for(
    host: str, verify: bool, protocols: list[bytes] | None = None, own: AgentTls | None = None
) -> IOpenSSLClientConnectionCreator:
    """TLS to `host`; without `verify` any certificate will do. `protocols`: for ALPN. `own`: the agent's files.

    Raises `ConfigError` for files that hold no certificate.
    """
    mine = _own_certificate(own)
    if verify:
        trusted = trustRootFromCertificates(_certificates(own)) if own is not None and own.authorities else None
        return optionsForClientTLS(host, trustRoot=trusted, clientCertificate=mine, acceptableProtocols=protocols)
    options: dict[str, Any] = {}
    if mine is not None:
        options = {"privateKey": mine.privateKey.original, "certificate": mine.original}
    return _Unverified(host, CertificateOptions(verify=False, acceptableProtocols=protocols, **options))


def check(own: AgentTls) -> None:
    """Raise `ConfigError` for files that hold no certificate or key."""
    _certificates(own)
    _own_certificate(own)


def _certificates(own: AgentTls) -> list[Certificate]:
    found = []
    for text in own.authorities:
        parts = [_BEGIN + part for part in text.split(_BEGIN)[1:]]
        try:
            found += [Certificate.loadPEM(part) for part in parts]
        except SSL.Error:
            parts = []
        if not parts:
            raise ConfigError("enable_agent_tls_for_checks: ca_file or ca_path: no certificate in PEM form")
    return found


def _own_certificate(own: AgentTls | None) -> PrivateCertificate | None:
    if own is None or not own.certificate:
        return None
    try:
        loaded: PrivateCertificate = PrivateCertificate.loadPEM(own.key + b"\n" + own.certificate)
    except (SSL.Error, ValueError):
        raise ConfigError("enable_agent_tls_for_checks: cert_file and key_file hold no certificate and key") from None
    return loaded


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    def __init__(self, host: str, options: CertificateOptions) -> None:
        self._host = host
        self._context = options.getContext()

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        if not is_address(self._host):
            connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection
