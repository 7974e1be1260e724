"""Certificates of Connect: roots, intermediates, leafs, cross-signed roots; and what is shown of them.

Subjects, extensions and their order, life times, key identifiers and signatures are those of Consul 1.8.7
(docs/wire/connect.md).
"""

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.connect.keys import NO_PEM, PrivateKey, kind_and_bits, own_hash, public_der
from consulpy.connect.spiffe import AgentId, ServiceId, url_fault
from consulpy.errors import RPCError
from consulpy.gocompat.literals import quoted
from consulpy.gocompat.time import go_time
from consulpy.structs.connect_ca import CARoot

#: Years that a root is valid.
ROOT_YEARS: Final = 10
#: Life of a cross-signed root.
CROSS_SIGNED_LIFE: Final = timedelta(days=7)
#: The start of a leaf's validity is set back by this, as clocks differ.
BACKDATED: Final = timedelta(minutes=1)
#: The kinds of the PEM blocks of a text.
_BLOCKS: Final = re.compile(r"-----BEGIN ([^\n-]*)-----")
_UINT64: Final = 1 << 64


class BadCertificate(RPCError):
    """Not a certificate, or one that can't be used here."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A signing certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)


def make_root(key: PrivateKey, serial: int, common_name: str, uri: str, now_s: float) -> str:
    """A new root certificate, in PEM. `now_s`: seconds since 1970."""
    now = _moment(now_s)
    name = _name(common_name)
    builder = _begin(name, name, key.public_key(), serial, now, _years_later(now, ROOT_YEARS))
    own_id = _digest(key.public_key())
    builder = _extended(builder, own_id, own_id, [x509.UniformResourceIdentifier(uri)])
    return _pem(builder.sign(key, own_hash(key)))


def sign_leaf(
    signer: Signer,
    request: x509.CertificateSigningRequest,
    names: list[x509.GeneralName],
    identity: ServiceId | AgentId,
    serial: int,
    life: timedelta,
    now_s: float,
) -> str:
    """A leaf certificate, in PEM. `names`: its SubjectAltName; the request's own subject does not count."""
    begins = _moment(now_s) - BACKDATED
    key: Any = request.public_key()
    builder = _begin(_name(identity.common_name), signer.certificate.subject, key, serial, begins, begins + life)
    builder = _extended(builder, _digest(key), subject_key_id(signer.certificate), names, is_leaf=True)
    return _pem(builder.sign(signer.key, SHA256()))


def sign_intermediate(
    signer: Signer, request: x509.CertificateSigningRequest, serial: int, life: timedelta, now_s: float
) -> str:
    """The certificate of another datacenter's signing key, which signs leafs only; in PEM."""
    now = _moment(now_s)
    key: Any = request.public_key()
    builder = _begin(request.subject, signer.certificate.subject, key, serial, now, now + life)
    is_critical = not list(request.subject)
    ids = _digest(key), subject_key_id(signer.certificate)
    builder = _extended(builder, *ids, subject_names(request), path_length=0, critical_names=is_critical)
    return _pem(builder.sign(signer.key, SHA256()))


def cross_sign(signer: Signer, root: x509.Certificate, serial: int, now_s: float) -> str:
    """A new root's name and key, signed by the root before it; in PEM. Who trusts the old one trusts the new one."""
    now = _moment(now_s)
    key: Any = root.public_key()
    builder = _begin(root.subject, signer.certificate.subject, key, serial, now, now + CROSS_SIGNED_LIFE)
    ids = subject_key_id(root), subject_key_id(signer.certificate)
    builder = _extended(builder, *ids, _alternative_names(root.extensions))
    return _pem(builder.sign(signer.key, SHA256()))


def make_request(key: PrivateKey, uri: str, names: Iterable[str] = (), addresses: Iterable[str] = ()) -> str:
    """A certificate signing request, in PEM. `names`, `addresses`: DNS names and IP addresses for which it is, too."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
    alternatives.append(x509.UniformResourceIdentifier(uri))
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def make_authority_request(key: PrivateKey, common_name: str, uri: str) -> str:
    """The request of a secondary datacenter for an intermediate certificate, in PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
    builder = builder.add_extension(_usage(is_leaf=False), critical=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def read_request(pem: str) -> x509.CertificateSigningRequest:
    """Parse a certificate signing request and check its signature. Raises `BadCertificate`."""
    kinds = _BLOCKS.findall(pem)
    if not kinds or "-----END " not in pem:
        raise BadCertificate(NO_PEM)
    if kinds[0] != "CERTIFICATE REQUEST":
        raise BadCertificate("first PEM-block should be CERTIFICATE REQUEST type")
    try:
        request = x509.load_pem_x509_csr(pem.encode("utf-8", "replace"))
        valid = request.is_signature_valid
        kind_and_bits(request.public_key())  # type: ignore[arg-type]
        _check_uris(uris_of(subject_names(request)))
    except BadCertificate:
        raise
    except Exception as error:  # the library has many kinds; none of them is ours
        raise BadCertificate(f"the certificate signing request can't be read: {_reason(error)}") from None
    if not valid:
        raise BadCertificate("the signature of the certificate signing request is wrong")
    return request


def subject_names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """Its DNS names, IP addresses and URIs, in Go's order."""
    return _alternative_names(request.extensions)


def uris_of(names: Iterable[x509.GeneralName]) -> list[str]:
    """The URIs among the names."""
    return [each.value for each in names if isinstance(each, x509.UniformResourceIdentifier)]


def _check_uris(uris: Iterable[str]) -> None:
    """Refuse what Go can't parse: no real agent could read the certificate."""
    for uri in uris:
        fault = url_fault(uri)
        if fault:
            raise BadCertificate(f"x509: cannot parse URI {quoted(uri)}: parse {quoted(uri)}: {fault}")


def needed_uris(names: Iterable[x509.GeneralName]) -> list[str]:
    """The URIs among the names of a request. Raises `BadCertificate` if there is none: it would end a real server."""
    found = uris_of(names)
    if not found:
        raise BadCertificate("the certificate signing request has no URI: a SPIFFE ID is needed")
    return found


def check_has_uri(csr: str) -> None:
    """Raises `BadCertificate` for a request in PEM that would end a real server."""
    needed_uris(subject_names(read_request(csr)))


def read_certificate(pem: str) -> x509.Certificate:
    """Parse the first certificate of a text. Raises `BadCertificate`."""
    if "-----BEGIN " not in pem:
        raise BadCertificate(NO_PEM)
    try:
        return x509.load_pem_x509_certificate(pem.encode("utf-8", "replace"))
    except Exception as error:
        raise BadCertificate(f"the certificate can't be read: {_reason(error)}") from None


def root_of(pem: str, provider: str, cluster_id: str) -> CARoot:
    """The record of a root certificate, active. Raises `BadCertificate`."""
    certificate = read_certificate(pem)
    public: Any = certificate.public_key()
    kind, bits = kind_and_bits(public)
    return CARoot(
        id=colons(hashlib.sha1(certificate.public_bytes(Encoding.DER)).digest()),
        name=f"{provider.capitalize()} CA Root Cert",
        serial_number=certificate.serial_number % _UINT64,
        signing_key_id=key_id(public),
        external_trust_domain=cluster_id,
        not_before=go_time(certificate.not_valid_before_utc.timestamp()),
        not_after=go_time(certificate.not_valid_after_utc.timestamp()),
        root_cert=pem,
        active=True,
        private_key_type=kind,
        private_key_bits=bits,
    )


def key_id(public: Any) -> str:
    """SHA-256 of a public key, in hex with colons."""
    return colons(_digest(public))


def _digest(public: Any) -> bytes:
    return hashlib.sha256(public_der(public)).digest()


def subject_key_id(certificate: x509.Certificate) -> bytes:
    """The id of a certificate's key as what it signs has to name it: its SubjectKeyIdentifier.

    A root that another program made may have any; verifiers like OpenSSL want the same. Without one it is the SHA-256.
    """
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (x509.ExtensionNotFound, ValueError):
        return _digest(certificate.public_key())


def signing_key_id(certificate: x509.Certificate) -> str:
    """The id of the key that signed a certificate, by its AuthorityKeyIdentifier; "" without one."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return ""
    return colons(found or b"")


def colons(data: bytes) -> str:
    """Bytes in hex with colons."""
    return data.hex(":")


def serial_text(serial: int) -> str:
    """A serial in hex with colons."""
    return colons(serial.to_bytes(max((serial.bit_length() + 7) // 8, 1), "big"))


def check_only_certificates(pem: str) -> None:
    """Check a configured root, which everybody may read, for private keys and the like. Raises `BadCertificate`.

    1.8.7 looks at the first block only.
    """
    kinds = _BLOCKS.findall(pem)
    if not kinds:
        raise BadCertificate(NO_PEM)
    if kinds[0] != "CERTIFICATE":
        raise BadCertificate("first PEM-block should be CERTIFICATE type")
    if set(kinds) != {"CERTIFICATE"}:
        raise BadCertificate("each PEM-block should be CERTIFICATE type: everybody can read the root")


def check_authority(certificate: x509.Certificate, key: PrivateKey, life: timedelta, now_s: float) -> None:
    """Check that a configured root can sign leafs that live for `life`. Raises `BadCertificate`.

    1.8.7 takes all of these, and then signs certificates that no verifier accepts.
    """
    if public_der(certificate.public_key()) != public_der(key.public_key()):
        raise BadCertificate("the root certificate is not that of the private key")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_authority = constraints.ca
    except (x509.ExtensionNotFound, ValueError):
        is_authority = False
    if not is_authority:
        raise BadCertificate("the root certificate is not that of an authority (basic constraints)")
    if not _may_sign(certificate):
        raise BadCertificate("the root certificate is not for signing certificates (key usage)")
    now = _moment(now_s)
    if certificate.not_valid_before_utc > now + BACKDATED:
        raise BadCertificate("the root certificate is not valid yet")
    if certificate.not_valid_after_utc <= now:
        raise BadCertificate("the root certificate has ended")
    if certificate.not_valid_after_utc < now + life:
        raise BadCertificate("the root certificate ends before the leafs that it is to sign (LeafCertTTL)")


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def check_not_ended(certificate: x509.Certificate, now_s: float) -> None:
    """Check that what a certificate signs now can be valid. Raises `BadCertificate`."""
    ends = certificate.not_valid_after_utc
    if ends <= _moment(now_s):
        raise BadCertificate(
            f"the CA's certificate has ended, at {ends:%Y-%m-%dT%H:%M:%SZ}; this server's clock decides"
        )


def check_issued(pem: str, issuer_pem: str) -> None:
    """Check that one certificate was issued by another. Raises `BadCertificate`."""
    try:
        read_certificate(pem).verify_directly_issued_by(read_certificate(issuer_pem))
    except (ValueError, TypeError, InvalidSignature):
        raise BadCertificate("the certificate was not issued by the root that came with it") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _alternative_names(extensions: x509.Extensions) -> list[x509.GeneralName]:
    try:
        found = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
    kinds = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier)
    return [each for kind in kinds for each in found if isinstance(each, kind)]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _years_later(now: datetime, years: int) -> datetime:
    """By the calendar, as Go's AddDate: 29 February becomes 1 March."""
    try:
        return now.replace(year=now.year + years)
    except ValueError:
        return now.replace(year=now.year + years, month=3, day=1)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _begin(
    subject: x509.Name, issuer: x509.Name, key: Any, serial: int, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(serial).not_valid_before(begins).not_valid_after(ends)


def _extended(
    builder: x509.CertificateBuilder,
    own_id: bytes,
    signer_id: bytes,
    names: list[x509.GeneralName],
    *,
    is_leaf: bool = False,
    path_length: int | None = None,
    critical_names: bool = False,
) -> x509.CertificateBuilder:
    """Add the extensions in Go's order. `own_id`, `signer_id`: ids of the certificate's key and of the signing one."""
    builder = builder.add_extension(_usage(is_leaf=is_leaf), critical=True)
    if is_leaf:
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=not is_leaf, path_length=path_length), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier(own_id), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier(signer_id, None, None), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=critical_names)
    return builder


def _usage(*, is_leaf: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=is_leaf,
        data_encipherment=is_leaf,
        key_agreement=is_leaf,
        key_cert_sign=not is_leaf,
        crl_sign=not is_leaf,
        content_commitment=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
