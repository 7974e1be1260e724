"""A certificate authority (`consul tls`): its certificate, and those of servers, clients and command lines.

Keys are on the curve P-256. Extensions and validity: those of certificates of `consul tls`, Consul 1.8.7.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from consulpy.errors import ConfigError

_USES: Final = {
    "server": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    "client": [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
    "cli": [],
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes


def create_authority(days: int, permitted: Sequence[str] = (), *, uri: str = "", common_name: str = "") -> Pair:
    """A new authority, valid for `days`. `permitted`: name constraints; empty: none. `uri`: its SPIFFE id, if any.

    Raises `ConfigError` for a `uri` or a `common_name` that cannot be in a certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "consulpy"),
            _common_name(common_name or f"Consul Agent CA {serial}"),
        ]
    )
    builder = _begin(name, name, key.public_key(), serial, days)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if uri:
        try:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
            )
        except ValueError as error:
            raise ConfigError(f"cluster-id: {error}") from None
    if permitted:
        names = [x509.DNSName(domain) for domain in permitted]
        builder = builder.add_extension(x509.NameConstraints(names, None), critical=True)
    return _pair(builder.sign(key, SHA256()), key)


def _common_name(text: str) -> x509.NameAttribute[str]:
    try:
        return x509.NameAttribute(NameOID.COMMON_NAME, text)
    except ValueError as error:
        raise ConfigError(f"common-name: {error}") from None


def create_certificate(
    authority: Pair, kind: str, name: str, *, names: Sequence[str] = (), addresses: Sequence[str] = (), days: int
) -> Pair:
    """A certificate for `name` and all of `names` and `addresses`. `kind`: "server", "client" or "cli".

    Raises `ConfigError` for an invalid authority, name, address or number of days.
    """
    if days < 1:
        raise _no_days(days)
    try:
        issuer = x509.load_pem_x509_certificate(authority.certificate)
    except ValueError:
        raise ConfigError("Error reading CA: it is no certificate in PEM form") from None
    try:
        signing: Any = load_pem_private_key(authority.key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError("Error reading CA key: it is no unencrypted key in PEM form") from None
    if signing.public_key() != issuer.public_key():
        raise ConfigError("the CA's key is not that of its certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _begin(subject, issuer.subject, key.public_key(), x509.random_serial_number(), days)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    if _USES[kind]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(_USES[kind]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(_authority_key(issuer), critical=False)
    builder = builder.add_extension(_alternative_names(names, addresses), critical=False)
    return _pair(builder.sign(signing, SHA256()), key)


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key).serial_number(serial)
    try:
        return builder.not_valid_before(now).not_valid_after(now + timedelta(days=days))
    except (ValueError, OverflowError):
        raise _no_days(days) from None


def _no_days(days: int) -> ConfigError:
    return ConfigError(f"-days: {days} is no number of days for which a certificate can be valid")


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _alternative_names(names: Sequence[str], addresses: Sequence[str]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.DNSName(name))
        except ValueError:
            raise ConfigError(f"{name!r} is no DNS name that a certificate can have") from None
    for address in addresses:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            raise ConfigError(f"-additional-ipaddress: {address!r} is no IP address") from None
    return x509.SubjectAlternativeName(found)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    )
