"""TLS contexts of the service mesh: certificates and keys that are in memory only."""

import os
import ssl
from collections.abc import Sequence

from consulpy.errors import ConfigError


def mesh_context(certificates: str, key: str, roots: Sequence[str], *, server_side: bool) -> ssl.SSLContext:
    """Mutual TLS, 1.2 or newer: our certificate (with intermediates) and key, the roots that the peer's must chain to.

    All in PEM form. Names are not checked: the peer's SPIFFE id is, by the caller. Raises `ConfigError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_RENEGOTIATION
    if server_side:
        context.num_tickets = 0  # a resumed session would not show the client's certificate again
        context.options |= ssl.OP_NO_TICKET
    try:
        for root in roots:
            context.load_verify_locations(cadata=root)
        _load(context, f"{key.strip()}\n{certificates.strip()}\n")
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise ConfigError(f"the certificate, its key or a root cannot be used: {reason}") from None
    return context


def _load(context: ssl.SSLContext, pem: str) -> None:
    """Load key and certificates through a file that is only in memory: OpenSSL's interface here takes paths."""
    descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
