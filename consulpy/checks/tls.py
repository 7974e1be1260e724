"""TLS for checks. Imports pyOpenSSL, which costs memory and start-up time: only for checks that need it.

Without it (`pip install "consulpy[tls]"`) checks over TLS are refused when they are registered.
"""

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, optionsForClientTLS
from zope.interface import implementer

from consulpy.checks.dial import is_address


def tls_for(host: str, verify: bool, protocols: list[bytes] | None = None) -> IOpenSSLClientConnectionCreator:
    """TLS to `host`; without `verify` any certificate will do. `protocols`: for ALPN."""
    if verify:
        return optionsForClientTLS(host, acceptableProtocols=protocols)
    return _Unverified(host, CertificateOptions(verify=False, acceptableProtocols=protocols))


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
