"""Log-in by a JWT: claims that are missing or of other types, and the forms of a token.

Source: the answers of Consul 1.8.7 to the same requests.
"""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.guarded import MASTER, NOW_S, GuardedHarness

KEY = ec.generate_private_key(ec.SECP256R1())
CLAIMS: dict[str, Any] = {"iat": NOW_S, "exp": NOW_S + 300, "name": "web", "groups": ["x"]}


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="module")
def harness() -> GuardedHarness:
    harness = GuardedHarness()
    config = {
        "JWTValidationPubKeys": [pem(KEY)], "JWTSupportedAlgs": ["ES256"],
        "ClaimMappings": {"name": "name"}, "ListClaimMappings": {"groups": "groups"},
    }  # fmt: skip
    made = harness.as_(MASTER, "PUT /v1/acl/auth-method", {"Name": "j", "Type": "jwt", "Config": config})
    assert made.status == 200, made.text
    return harness


def token_of(**claims: Any) -> str:
    """A JWT with these claims; None leaves one out."""
    given = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(given, KEY, algorithm="ES256")


def logged_in(harness: GuardedHarness, bearer: str, selector: str = "") -> tuple[int, Any]:
    """Status, and the name of the service or the error."""
    rule = {"AuthMethod": "j", "BindType": "service", "BindName": "s-${value.name}-e", "Selector": selector}
    made = harness.as_(MASTER, "PUT /v1/acl/binding-rule", rule).json["ID"]
    answer = harness.as_("", "POST /v1/acl/login", {"AuthMethod": "j", "BearerToken": bearer})
    harness.as_(MASTER, f"DELETE /v1/acl/binding-rule/{made}")
    return answer.status, answer.json["ServiceIdentities"][0]["ServiceName"] if answer.status == 200 else answer.text


@pytest.mark.parametrize(
    ("name", "bound"),
    [("web", "s-web-e"), (None, "s--e"), ("", "s--e"), (5, "s-5-e"), (1.5, "s-1-e"), (True, "s-true-e")],
)
def test_claims_become_texts_and_missing_ones_are_empty(harness: GuardedHarness, name: Any, bound: str) -> None:
    assert logged_in(harness, token_of(name=name)) == (200, bound)


@pytest.mark.parametrize(
    ("selector", "groups", "matches"),
    [
        ("list.groups is not empty", None, False),
        ("list.groups is not empty", [], False),
        ("list.groups is not empty", ["x"], True),
        ("list.unmapped is not empty", ["x"], False),
        ("list.unmapped is empty", ["x"], True),
        ("x not in list.groups", None, True),
        ('value.unmapped == ""', ["x"], False),
    ],
)
def test_a_claim_that_is_missing_is_an_empty_list(
    harness: GuardedHarness, selector: str, groups: Any, matches: bool
) -> None:
    assert (logged_in(harness, token_of(groups=groups), selector)[0] == 200) is matches


def test_blanks_around_a_token_count_for_nothing(harness: GuardedHarness) -> None:
    for text in (f" {token_of()}", f"{token_of()}\n"):
        assert logged_in(harness, text)[0] == 200


@pytest.mark.parametrize("algorithm", [["ES256"], None, 5, {}, "none", "HS256", "ES384", "es256"])
def test_a_token_of_another_algorithm_proves_nothing(harness: GuardedHarness, algorithm: Any) -> None:
    _, payload, signature = token_of().split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).rstrip(b"=").decode()
    for text in (f"{header}.{payload}.{signature}", f"{header}.{payload}."):
        status, error = logged_in(harness, text)
        assert status == 500
        assert error.startswith(("error parsing token: ", "no known key successfully validated the token signature"))


def test_keys_of_other_curves_are_refused(harness: GuardedHarness) -> None:
    config = {"JWTValidationPubKeys": [pem(ec.generate_private_key(ec.SECP256K1()))]}
    refused = harness.as_(MASTER, "PUT /v1/acl/auth-method", {"Name": "k", "Type": "jwt", "Config": config})
    assert refused.status == 500
    assert refused.text.startswith("Invalid Auth Method: error parsing public key JWTValidationPubKeys[0]: ")
