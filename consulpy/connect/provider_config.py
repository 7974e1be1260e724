"""The settings of the built-in CA, decoded and checked. Texts of errors are Consul's; none shows a key.

Weak types as in Consul: texts for numbers, numbers for texts, nanoseconds for durations.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import field, fields
from datetime import timedelta
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.connect.certificates import colons
from consulpy.connect.keys import EC, SIZES
from consulpy.errors import RPCError
from consulpy.gocompat import weak_decode
from consulpy.gocompat.duration import format_duration_ns

_HOUR_NS: Final = 3600 * 10**9
#: Consul's default of `RotationPeriod`, which it stores and does not use.
DEFAULT_ROTATION_NS: Final = 90 * 24 * _HOUR_NS
LEAF_TTL_MIN_NS: Final = _HOUR_NS
LEAF_TTL_MAX_NS: Final = 365 * 24 * _HOUR_NS
INTERMEDIATE_TTL_MIN_NS: Final = 3 * LEAF_TTL_MIN_NS
#: What a leader without a configuration of its own writes.
DEFAULTS: Final[Mapping[str, Any]] = {
    "RotationPeriod": "2160h",
    "LeafCertTTL": "72h",
    "IntermediateCertTTL": "8760h",
}
CSR_MAX_PER_SECOND: Final = 50.0


class BadProviderConfig(RPCError):
    """Settings that the CA can't work with."""


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """Settings of the built-in CA. Durations in nanoseconds; a limit of 0 or less: none."""

    private_key: str = field(default="", repr=False)
    root_cert: str = ""
    rotation_period_ns: int = DEFAULT_ROTATION_NS
    leaf_cert_ttl_ns: int = 72 * _HOUR_NS
    intermediate_cert_ttl_ns: int = 365 * 24 * _HOUR_NS
    csr_max_per_second: float = CSR_MAX_PER_SECOND
    csr_max_concurrent: int = 0
    private_key_type: str = EC
    private_key_bits: int = 256

    @property
    def leaf_life(self) -> timedelta:
        """Validity of leaf certificates."""
        return timedelta(microseconds=self.leaf_cert_ttl_ns // 1000)

    @property
    def rotation_s(self) -> float | None:
        """The age at which a root is replaced, in seconds; None: never.

        Never with Consul's default, which is in every configuration and does nothing there, nor for an own root. At
        least three lives of a leaf, so that leafs of the root before the last one have ended.
        """
        if self.root_cert or self.rotation_period_ns <= 0 or self.rotation_period_ns == DEFAULT_ROTATION_NS:
            return None
        return max(self.rotation_period_ns, 3 * self.leaf_cert_ttl_ns) / 1e9

    @property
    def intermediate_life(self) -> timedelta:
        """Validity of the certificates for other datacenters' keys."""
        return timedelta(microseconds=self.intermediate_cert_ttl_ns // 1000)

    def state_id(self, *, is_primary: bool) -> str:
        """The id of the provider's state with these settings: key type and size do not count."""
        text = f"{self.private_key},{self.root_cert},{'true' if is_primary else 'false'}"
        return colons(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest())


def decode(settings: Mapping[str, Any]) -> ProviderConfig:
    """Decode and check settings. Raises `BadProviderConfig`."""
    given, faults = weak_decode.decoded(settings, {name: read for name, (_, read) in _FIELDS.items()})
    if faults:
        raise BadProviderConfig(weak_decode.faults_text(faults))
    config = ProviderConfig(**{_FIELDS[name][0]: value for name, value in given.items()})
    _check(config)
    return config


def _check(config: ProviderConfig) -> None:
    if config.root_cert and not config.private_key:
        raise BadProviderConfig("must provide a private key when providing a root cert")
    if config.leaf_cert_ttl_ns < LEAF_TTL_MIN_NS:
        raise BadProviderConfig(f"leaf cert TTL must be greater or equal than {format_duration_ns(LEAF_TTL_MIN_NS)}")
    if config.leaf_cert_ttl_ns > LEAF_TTL_MAX_NS:
        raise BadProviderConfig(f"leaf cert TTL must be less than {format_duration_ns(LEAF_TTL_MAX_NS)}")
    sizes = SIZES.get(config.private_key_type)
    if sizes is None:
        raise BadProviderConfig("private key type must be either 'ec' or 'rsa'")
    if config.private_key_bits not in sizes:
        if config.private_key_type == EC:
            raise BadProviderConfig("EC key length must be one of (224, 256, 384, 521) bits")
        raise BadProviderConfig("RSA key length must be 2048 or 4096 bits")
    if config.intermediate_cert_ttl_ns < INTERMEDIATE_TTL_MIN_NS:
        raise BadProviderConfig("Intermediate Cert TTL must be greater or equal than 3h")
    least_ns = 3 * config.leaf_cert_ttl_ns
    if config.intermediate_cert_ttl_ns < least_ns:
        raise BadProviderConfig(
            f"Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>={format_duration_ns(least_ns)})."
        )


_FIELDS: Final[Mapping[str, tuple[str, weak_decode.Reader]]] = {
    "PrivateKey": ("private_key", weak_decode.text),
    "RootCert": ("root_cert", weak_decode.text),
    "RotationPeriod": ("rotation_period_ns", weak_decode.duration),
    "LeafCertTTL": ("leaf_cert_ttl_ns", weak_decode.duration),
    "IntermediateCertTTL": ("intermediate_cert_ttl_ns", weak_decode.duration),
    "CSRMaxPerSecond": ("csr_max_per_second", weak_decode.number),
    "CSRMaxConcurrent": ("csr_max_concurrent", weak_decode.whole),
    "PrivateKeyType": ("private_key_type", weak_decode.text),
    "PrivateKeyBits": ("private_key_bits", weak_decode.whole),
}
assert {attribute for attribute, _ in _FIELDS.values()} == {each.name for each in fields(ProviderConfig)}


def with_key(settings: Mapping[str, Any], pem: str) -> dict[str, Any]:
    """The same settings with another private key, and no root of the one before."""
    replaced = {"privatekey", "rootcert"}
    kept = {name: value for name, value in settings.items() if name.lower().replace("_", "") not in replaced}
    return kept | {"PrivateKey": pem}
