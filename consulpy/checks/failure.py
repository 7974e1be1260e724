"""Error texts of failed connections, as Go's instead of Python's."""

from typing import Final

from twisted.internet.error import ConnectionLost

from consulpy.checks.result import CheckFailed

HTTP_NOT_TLS: Final = "http: server gave HTTP response to HTTPS client"
_NOT_TLS: Final = "tls: first record does not look like a TLS handshake"
_NOT_TLS_SIGNS: Final = ("wrong version number", "packet length", "http request", "record layer failure")
#: Part of OpenSSL's message -> Go's message.
_CERTIFICATES: Final = {
    "has expired": "certificate has expired or is not yet valid",
    "not yet valid": "certificate has expired or is not yet valid",
    "self-signed": "certificate signed by unknown authority",
    "self signed": "certificate signed by unknown authority",
    "issuer certificate": "certificate signed by unknown authority",
    "verify the first": "certificate signed by unknown authority",
}


def reason(error: BaseException | None) -> str:
    """The cause of the end of a connection, in one line; "EOF" when the peer closed it."""
    if isinstance(error, CheckFailed):
        return str(error)
    if isinstance(error, ConnectionLost):
        return "read: connection reset by peer"
    if type(error).__name__ == "HandshakeFailed":  # an alert after the handshake (TLS 1.3)
        return tls_reason(str(error), "")
    return "EOF"


def tls_reason(message: str, host: str, first: bytes = b"") -> str:
    """The cause of a failed handshake with `host`, from OpenSSL's `message` in lower case. `first`: its first bytes."""
    if any(sign in message for sign in _NOT_TLS_SIGNS):
        return HTTP_NOT_TLS if first.startswith(b"HTTP/") else _NOT_TLS
    if " alert " in message:
        return "remote error: tls: " + message.rpartition(" alert ")[2]
    if "mismatch" in message:
        return f"x509: certificate is not valid for {host}"
    for sign, text in _CERTIFICATES.items():
        if sign in message:
            return f"x509: {text}"
    if "ended during the tls handshake" in message.lower():
        return "EOF"
    return f"x509: {message}" if "certificate" in message else f"tls: {message}"
