"""Configurations of auth methods, weakly typed. Source: the answers of Consul 1.8.7 to the same settings."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from consulpy.acl.auth_config import BadConfig, JwtConfig, jwt_config

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
PEM = KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def config(**settings: Any) -> JwtConfig:
    return jwt_config({"JWTValidationPubKeys": [PEM], **settings})


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("ExpirationLeeway", "10", 10), ("ExpirationLeeway", "0x10", 16), ("ClockSkewLeeway", True, 1),
        ("NotBeforeLeeway", 1.9, 1), ("ClockSkewLeeway", 1e30, -(2**63)), ("ClockSkewLeeway", None, 0),
        ("BoundIssuer", 5, "5"), ("BoundIssuer", True, "1"), ("boundissuer", 1.5, "1.5"),
        ("BoundAudiences", "a", ["a"]), ("BoundAudiences", {}, []),
        ("BoundAudiences", [True, 1.5, "a"], ["1", "1.5", "a"]),
        ("ClaimMappings", [{"a": "b"}, {"c": 5}], {"a": "b", "c": "5"}), ("ListClaimMappings", [], {}),
    ],
)  # fmt: skip
def test_values_of_other_types_are_converted(name: str, value: Any, read: Any) -> None:
    """A leeway that no 64 bits hold is the smallest number: none, and not one of centuries."""
    field = next(each for each in JwtConfig.__dataclass_fields__ if each.lower() == name.lower())
    assert getattr(config(**{name: value}), field) == read


def test_a_key_with_bytes_that_are_no_text_is_no_key() -> None:
    """A call on port 8300 may have any bytes."""
    with pytest.raises(BadConfig, match=r"error parsing public key JWTValidationPubKeys\[0\]: data does not contain"):
        config(JWTValidationPubKeys=["\udcff"])


_LIST, _MAP = "[]interface {}", "map[string]interface {}"


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        ({"BoundIssuer": []}, [f"'BoundIssuer' expected type 'string', got unconvertible type '{_LIST}'"]),
        ({"BoundAudiences": [{}]}, [f"'BoundAudiences[0]' expected type 'string', got unconvertible type '{_MAP}'"]),
        ({"ClaimMappings": 5}, ["'ClaimMappings' expected a map, got 'float64'"]),
        ({"ClaimMappings": ["a"]}, ["'ClaimMappings[0]' expected a map, got 'string'"]),
        ({"ExpirationLeeway": "10s"},
         ["cannot parse 'ExpirationLeeway' as int: strconv.ParseInt: parsing \"10s\": invalid syntax"]),
        ({"Nope": 1, "Also": 2, "ClaimMappings": True},
         ["'' has invalid keys: Also, Nope", "'ClaimMappings' expected a map, got 'bool'"]),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_named(settings: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(BadConfig) as error:
        config(**settings)
    lines = "\n".join(f"* {each}" for each in faults)
    assert str(error.value) == f"error decoding config: {len(faults)} error(s) decoding:\n\n{lines}"


@pytest.mark.parametrize("name", ["JWKS", "OIDCDiscovery"])
def test_a_ca_needs_the_url_that_it_is_for(name: str) -> None:
    with pytest.raises(BadConfig, match=f"'{name}CACert' should not be set unless '{name}URL' is set"):
        config(**{f"{name}CACert": "x"})
