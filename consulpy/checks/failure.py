"""Why a connection of a check failed, in Go's words: never in those of Python's exceptions."""

from typing import Final

from twisted.internet.error import ConnectionLost

from consulpy.checks.result import CheckFailed

NOT_TLS: Final = "tls: first record does not look like a TLS handshake"
_NOT_TLS_SIGNS: Final = ("wrong version number", "packet length", "http request", "record layer failure")
#: A part of OpenSSL's reason -> Go's sentence.
_CERTIFICATES: Final = {
    "has expired": "certificate has expired or is not yet valid",
    "not yet valid": "certificate has expired or is not yet valid",
    "self-signed": "certificate signed by unknown authority",
    "self signed": "certificate signed by unknown authority",
    "issuer certificate": "certificate signed by unknown authority",
    "verify the first": "certificate signed by unknown authority",
}


def reason(error: BaseException | None) -> str:
    """One line on the end of a connection; "EOF" when the peer hung up."""
    if isinstance(error, CheckFailed):
        return str(error)
    if isinstance(error, ConnectionLost):
        return "read: connection reset by peer"
    if type(error).__name__ == "HandshakeFailed":  # a refusal that came after the handshake
        return tls_reason(str(error), "")
    return "EOF"


def tls_reason(said: str, host: str) -> str:
    """What OpenSSL says, in lower case, of a handshake with `host`."""
    if any(sign in said for sign in _NOT_TLS_SIGNS):
        return NOT_TLS
    if " alert " in said:
        return "remote error: tls: " + said.rpartition(" alert ")[2]
    if "mismatch" in said:
        return f"x509: certificate is not valid for {host}"
    for sign, sentence in _CERTIFICATES.items():
        if sign in said:
            return f"x509: {sentence}"
    if "ended during the tls handshake" in said.lower():
        return "EOF"
    return f"x509: {said}" if "certificate" in said else f"tls: {said}"
