"""Settings of the built-in CA: weak types, limits, texts of errors. Source: Consul 1.8.7 (docs/wire/connect.md)."""

from typing import Any

import pytest

from consulpy.connect.provider_config import BadProviderConfig, decode

HOUR_NS = 3600 * 10**9


def test_nothing_given_is_consuls_defaults() -> None:
    config = decode({})
    assert (config.leaf_cert_ttl_ns, config.intermediate_cert_ttl_ns) == (72 * HOUR_NS, 8760 * HOUR_NS)
    assert (config.private_key_type, config.private_key_bits) == ("ec", 256)
    assert (config.csr_max_per_second, config.csr_max_concurrent) == (50.0, 0)


@pytest.mark.parametrize(
    ("settings", "attribute", "value"),
    [
        ({"LeafCertTTL": "2h"}, "leaf_cert_ttl_ns", 2 * HOUR_NS),
        ({"leafcertttl": "2h"}, "leaf_cert_ttl_ns", 2 * HOUR_NS),
        ({"LeafCertTTL": 7200000000000.0}, "leaf_cert_ttl_ns", 2 * HOUR_NS),
        ({"PrivateKeyBits": "384"}, "private_key_bits", 384),
        ({"CSRMaxPerSecond": "0.5"}, "csr_max_per_second", 0.5),
        ({"CSRMaxConcurrent": -1.0}, "csr_max_concurrent", -1),
        ({"Colour": "red"}, "private_key", ""),
        ({"PrivateKey": None}, "private_key", ""),
    ],
)
def test_types_are_weak_and_unknown_names_do_not_count(settings: dict[str, Any], attribute: str, value: Any) -> None:
    assert getattr(decode(settings), attribute) == value


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"LeafCertTTL": "9000h"}, "leaf cert TTL must be less than 8760h0m0s"),
        ({"LeafCertTTL": "10m"}, "leaf cert TTL must be greater or equal than 1h0m0s"),
        (
            {"LeafCertTTL": "24h", "IntermediateCertTTL": "71h"},
            "Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>=72h0m0s).",
        ),
        (
            {"LeafCertTTL": "1h", "IntermediateCertTTL": "2h59m"},
            "Intermediate Cert TTL must be greater or equal than 3h",
        ),
        ({"IntermediateCertTTL": "0"}, "Intermediate Cert TTL must be greater or equal than 3h"),
        ({"PrivateKeyType": "dsa"}, "private key type must be either 'ec' or 'rsa'"),
        ({"PrivateKeyType": "rsa", "PrivateKeyBits": 1024}, "RSA key length must be 2048 or 4096 bits"),
        ({"PrivateKeyBits": 255}, "EC key length must be one of (224, 256, 384, 521) bits"),
        ({"RootCert": "x"}, "must provide a private key when providing a root cert"),
    ],
)
def test_what_cannot_work_is_refused_in_consuls_words(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadProviderConfig) as caught:
        decode(settings)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "settings",
    [{"LeafCertTTL": "soon"}, {"CSRMaxPerSecond": "many"}, {"PrivateKeyBits": []}, {"RotationPeriod": {}},
     {"PrivateKey": ["secret"]}, {"LeafCertTTL": float("inf")}, {"PrivateKeyBits": float("nan")}],
)  # fmt: skip
def test_what_cannot_be_decoded_is_not_quoted(settings: dict[str, Any]) -> None:
    with pytest.raises(BadProviderConfig, match="error decoding config: ") as caught:
        decode(settings)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        ({"LeafCertTTL": "soon"}, ["error decoding 'LeafCertTTL': time: invalid duration \"soon\""]),
        (
            {"RotationPeriod": "x", "LeafCertTTL": {}},
            [
                "'LeafCertTTL' expected type 'time.Duration', got unconvertible type 'map[string]interface {}'",
                "error decoding 'RotationPeriod': time: invalid duration \"x\"",
            ],
        ),
        (
            {"csrmaxpersecond": "x"},
            ["cannot parse 'CSRMaxPerSecond' as float: strconv.ParseFloat: parsing \"x\": invalid syntax"],
        ),
        ({"PrivateKeyBits": [1]}, ["'PrivateKeyBits' expected type 'int', got unconvertible type '[]interface {}'"]),
    ],
)
def test_faults_of_decoding_are_listed_as_consul_does(settings: dict[str, Any], faults: list[str]) -> None:
    lines = "\n".join(f"* {fault}" for fault in faults)
    with pytest.raises(BadProviderConfig) as caught:
        decode(settings)
    assert str(caught.value) == f"error decoding config: {len(faults)} error(s) decoding:\n\n{lines}"


def test_the_id_of_a_state_is_that_of_consul() -> None:
    """Recorded: `,,true` for a configuration without a key of its own; key type and size do not count."""
    plain = decode({}).state_id(is_primary=True)
    assert plain.startswith("07:80:c8:de:f6:41:86:29:")
    assert decode({"PrivateKeyType": "rsa", "PrivateKeyBits": 4096}).state_id(is_primary=True) == plain
    assert decode({}).state_id(is_primary=False) != plain
    assert "k" * 20 not in repr(decode({"PrivateKey": "k" * 20}))
