"""The settings of the built-in CA, decoded and checked. Texts of errors are Consul's; none shows a key.

Weak types as in Consul: texts for numbers, numbers for texts, nanoseconds for durations.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Final

from consulpy.connect.certificates import colons
from consulpy.connect.keys import EC, SIZES
from consulpy.errors import RPCError
from consulpy.gocompat.duration import DurationError, format_duration_ns, parse_duration_ns
from consulpy.gocompat.weak_text import weak_text

_HOUR_NS: Final = 3600 * 10**9
LEAF_TTL_MIN_NS: Final = _HOUR_NS
LEAF_TTL_MAX_NS: Final = 365 * 24 * _HOUR_NS
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
    rotation_period_ns: int = 90 * 24 * _HOUR_NS
    leaf_cert_ttl_ns: int = 72 * _HOUR_NS
    intermediate_cert_ttl_ns: int = 365 * 24 * _HOUR_NS
    csr_max_per_second: float = CSR_MAX_PER_SECOND
    csr_max_concurrent: int = 0
    private_key_type: str = EC
    private_key_bits: int = 256

    @property
    def leaf_life(self) -> timedelta:
        """How long leafs are valid."""
        return timedelta(microseconds=self.leaf_cert_ttl_ns // 1000)

    @property
    def intermediate_life(self) -> timedelta:
        """How long certificates of other datacenters' keys are valid."""
        return timedelta(microseconds=self.intermediate_cert_ttl_ns // 1000)

    def state_id(self, *, is_primary: bool) -> str:
        """The id of the provider's state with these settings: key type and size do not count."""
        text = f"{self.private_key},{self.root_cert},{'true' if is_primary else 'false'}"
        return colons(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest())


def decode(settings: Mapping[str, Any]) -> ProviderConfig:
    """Decode and check settings. Raises `BadProviderConfig`."""
    known = {name.lower(): (attribute, read) for name, (attribute, read) in _FIELDS.items()}
    given: dict[str, Any] = {}
    for name, value in settings.items():
        found = known.get(name.lower())
        if found is not None and value is not None:
            attribute, read = found
            try:
                given[attribute] = read(value)
            except (ValueError, TypeError, OverflowError) as error:
                raise BadProviderConfig(f"error decoding config: {name}: {error}") from None
    config = ProviderConfig(**given)
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
    least_ns = 3 * config.leaf_cert_ttl_ns
    if config.intermediate_cert_ttl_ns < least_ns:
        raise BadProviderConfig(
            f"Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>={format_duration_ns(least_ns)})."
        )


def _text(value: Any) -> str:
    text = weak_text(value)
    if text is None:
        raise TypeError("a text was expected")
    return text


def _duration(value: Any) -> int:
    if isinstance(value, str):
        try:
            return parse_duration_ns(value)
        except DurationError:
            raise ValueError("it is no duration as 72h") from None
    return _whole(value)


def _whole(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            raise ValueError("it is no whole number") from None
    if isinstance(value, bool | int | float):
        return int(value)
    raise TypeError("a number was expected")


def _number(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError("it is no number") from None
    if isinstance(value, bool | int | float):
        return float(value)
    raise TypeError("a number was expected")


_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "PrivateKey": ("private_key", _text),
    "RootCert": ("root_cert", _text),
    "RotationPeriod": ("rotation_period_ns", _duration),
    "LeafCertTTL": ("leaf_cert_ttl_ns", _duration),
    "IntermediateCertTTL": ("intermediate_cert_ttl_ns", _duration),
    "CSRMaxPerSecond": ("csr_max_per_second", _number),
    "CSRMaxConcurrent": ("csr_max_concurrent", _whole),
    "PrivateKeyType": ("private_key_type", _text),
    "PrivateKeyBits": ("private_key_bits", _whole),
}
assert {attribute for attribute, _ in _FIELDS.values()} == {each.name for each in fields(ProviderConfig)}
