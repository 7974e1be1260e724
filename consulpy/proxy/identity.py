"""Identity of the peer of a connection: the SPIFFE id in its certificate. Pure."""

from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

from cryptography import x509

#: Certificates whose names and serials are remembered: a client shows the same one for as long as it is valid.
_REMEMBERED: Final = 256


@lru_cache(_REMEMBERED)
def spiffe_uri(certificate: bytes | None) -> str:
    """The URI of a certificate in DER form; "" if there is none, or more than one."""
    if not certificate:
        return ""
    try:
        names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (x509.ExtensionNotFound, ValueError):
        return ""
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else ""


@lru_cache(_REMEMBERED)
def serial_number(certificate: bytes) -> str:
    """The serial of a certificate in DER form, as Consul writes it: bytes in hexadecimal with colons."""
    number = x509.load_der_x509_certificate(certificate).serial_number
    digits = f"{number:x}"
    digits = digits.zfill(len(digits) + len(digits) % 2)
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def is_service(uri: str, trust_domain: str, datacenter: str, service: str) -> bool:
    """Whether a SPIFFE id is that of this service. Parts may be escaped; letter case counts but in the trust domain."""
    found = urlsplit(uri)
    parts = [unquote(each) for each in found.path.split("/")]
    return (
        found.scheme == "spiffe"
        and found.netloc.lower() == trust_domain.lower()
        and parts == ["", "ns", "default", "dc", datacenter, "svc", service]
    )
