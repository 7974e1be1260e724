"""The configuration of auth methods: what is in it, and what is wrong with it, in Consul's words.

Members are read as Consul reads them, weakly typed (`consulpy.gocompat.weak_decode`); unknown ones are refused.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import DecodeError, get_unverified_header

from consulpy.gocompat import weak_decode

#: Algorithms that a JWT may be signed with: public keys only.
ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}
)

#: Curves of keys.
_CURVES: Final = (ec.SECP224R1, ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

_Config = TypeVar("_Config", "JwtConfig", "KubernetesConfig")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of signatures. `key_id`: the only id that a token's header may name; None: any."""

    key: Any
    key_id: str | None = None


class BadConfig(ValueError):
    """A configuration that cannot be used."""


@dataclass(slots=True)
class JwtConfig:
    """Settings of an auth method of type jwt. Leeways in nanoseconds."""

    JWTValidationPubKeys: list[str] = field(default_factory=list)
    JWTSupportedAlgs: list[str] = field(default_factory=list)
    JWKSURL: str = ""
    JWKSCACert: str = ""
    OIDCDiscoveryURL: str = ""
    OIDCDiscoveryCACert: str = ""
    BoundIssuer: str = ""
    BoundAudiences: list[str] = field(default_factory=list)
    ClaimMappings: dict[str, str] = field(default_factory=dict)
    ListClaimMappings: dict[str, str] = field(default_factory=dict)
    ExpirationLeeway: int = 0
    NotBeforeLeeway: int = 0
    ClockSkewLeeway: int = 0
    #: The parsed keys; those of a URL are put here before each use.
    keys: list["PublicKey"] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The setting that names a URL with the keys; "" if they are in the configuration."""
        return "JWKSURL" if self.JWKSURL else "OIDCDiscoveryURL" if self.OIDCDiscoveryURL else ""


@dataclass(slots=True)
class KubernetesConfig:
    """Settings of an auth method of type kubernetes."""

    Host: str = ""
    CACert: str = ""
    ServiceAccountJWT: str = ""


def jwt_config(given: dict[str, Any] | None) -> JwtConfig:
    """The configuration of a jwt method. Raises `BadConfig`."""
    config = _read(JwtConfig, given)
    sources = (config.JWTValidationPubKeys, config.JWKSURL, config.OIDCDiscoveryURL)
    if sum(bool(each) for each in sources) != 1:
        raise BadConfig(
            "exactly one of 'JWTValidationPubKeys', 'JWKSURL', or 'OIDCDiscoveryURL' must be set for type \"jwt\""
        )
    for name, url in (("JWKS", config.JWKSURL), ("OIDCDiscovery", config.OIDCDiscoveryURL)):
        if getattr(config, f"{name}CACert") and not url:
            raise BadConfig(f"'{name}CACert' should not be set unless '{name}URL' is set")
    for algorithm in config.JWTSupportedAlgs:
        if algorithm not in ALGORITHMS:
            raise BadConfig(f"Invalid supported algorithm: {algorithm}")
    for what, mappings in (("ClaimMappings", config.ClaimMappings), ("ListClaimMappings", config.ListClaimMappings)):
        seen: set[str] = set()
        for name in mappings.values():
            if name in seen:
                raise BadConfig(f'{what} contains multiple mappings for key "{name}"')
            seen.add(name)
    for at, text in enumerate(config.JWTValidationPubKeys):
        config.keys.append(_public_key(at, text))
    return config


def kubernetes_config(given: dict[str, Any] | None) -> KubernetesConfig:
    """The configuration of a kubernetes method. Raises `BadConfig`."""
    config = _read(KubernetesConfig, given)
    if not config.Host:
        raise BadConfig("Config.Host is required")
    if not config.CACert:
        raise BadConfig("Config.CACert is required")
    try:
        x509.load_pem_x509_certificate(config.CACert.encode("utf-8", "surrogateescape"))
    except ValueError:
        raise BadConfig(
            "error parsing kubernetes ca cert: data does not contain any valid RSA or ECDSA certificates"
        ) from None
    if not config.ServiceAccountJWT:
        raise BadConfig("Config.ServiceAccountJWT is required")
    try:
        get_unverified_header(config.ServiceAccountJWT)
    except DecodeError as error:
        raise BadConfig(f"Config.ServiceAccountJWT is not a valid JWT: square/go-jose: {error}") from None
    return config


def is_jwt(text: str) -> bool:
    """Whether a text has the form of a JWT; nothing is verified."""
    try:
        get_unverified_header(text)
    except DecodeError:
        return False
    return True


def _public_key(at: int, text: str) -> PublicKey:
    """A key in PEM form, or that of a certificate."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        key: Any = load_pem_public_key(data)
    except ValueError:
        try:
            key = x509.load_pem_x509_certificate(data).public_key()
        except ValueError:
            key = None
    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(key.curve, _CURVES):
        key = None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise BadConfig(
            f"error parsing public key JWTValidationPubKeys[{at}]: data does not contain any valid RSA, ECDSA, or "
            "ED25519 public keys"
        )
    return PublicKey(key)


def _read(kind: type[_Config], given: dict[str, Any] | None) -> _Config:
    """The members by name, without regard to case, weakly typed. Raises `BadConfig`."""
    readers = {each.name: _READERS[each.type] for each in fields(kind) if each.name != "keys"}
    found, faults = weak_decode.decoded(given or {}, readers)
    known = {name.lower() for name in readers}
    unknown = sorted(name for name in given or {} if name.lower() not in known)
    if unknown:
        faults.append(f"'' has invalid keys: {', '.join(unknown)}")
    if faults:
        raise BadConfig(weak_decode.faults_text(faults))
    return kind(**found)


#: How fields are read, by their types.
_READERS: Final[dict[Any, weak_decode.Reader]] = {
    str: weak_decode.text,
    int: weak_decode.nanoseconds,
    list[str]: weak_decode.texts,
    dict[str, str]: weak_decode.text_map,
}
