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


def signed(text: str) -> str:
    """A JWT with this text as its claims."""
    payload = base64.urlsafe_b64encode(text.encode()).rstrip(b"=")
    head = base64.urlsafe_b64encode(b'{"alg":"ES256"}').rstrip(b"=")
    signature = jwt.get_algorithm_by_name("ES256").sign(head + b"." + payload, KEY)
    return b".".join((head, payload, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("iss", "sub", "jti", "aud")
            for value in (0, 5, 1.5, True, False, {}, {"a": 1}, [5])
        ),
        ("aud", None),
        ("aud", [None]),
    ],
)
def test_claims_of_the_standard_have_types(harness: GuardedHarness, name: str, value: Any) -> None:
    status, error = logged_in(harness, signed(json.dumps(CLAIMS | {name: value})))
    assert (status, error.startswith(f"error validating claims: {name} is ")) == (500, True), error


@pytest.mark.parametrize("twice", ['"name": "a", "name": "b"', '"name": "a", "x": [{"y": 1, "y": 2}]'])
def test_a_claim_that_is_there_twice_is_refused(harness: GuardedHarness, twice: str) -> None:
    """A real server refuses it, too: who checks the one may not have looked at the other."""
    status, error = logged_in(harness, signed(f'{{"exp": {NOW_S + 60}, {twice}}}'))
    assert (status, error) == (500, "error parsing token: a claim is there twice")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ([1], "error converting claim 'name' to string from unknown type []interface {}"),
        ({"a": 1}, "error converting claim 'name' to string from unknown type map[string]interface {}"),
    ],
)
def test_errors_of_claims_name_the_type(harness: GuardedHarness, name: Any, error: str) -> None:
    assert logged_in(harness, token_of(name=name)) == (500, error)
    listed = logged_in(harness, token_of(groups={}))
    assert listed == (500, '"groups" list claim could not be converted to string list')


@pytest.mark.parametrize(
    ("template", "bound"),
    [
        ("x${value.name}", "xweb"),
        ('${"a${value.name}"}', "aweb"),
        ("x${1+1}", "x2"),
        ("${value.name}-${value.name}", "web-web"),
    ],
)
def test_names_are_templates(harness: GuardedHarness, template: str, bound: str) -> None:
    """Values are lowered, and expressions are those of the templates of prepared queries."""
    rule = {"AuthMethod": "j", "BindType": "service", "BindName": template}
    made = harness.as_(MASTER, "PUT /v1/acl/binding-rule", rule).json["ID"]
    answer = harness.as_("", "POST /v1/acl/login", {"AuthMethod": "j", "BearerToken": token_of(name="Web")})
    harness.as_(MASTER, f"DELETE /v1/acl/binding-rule/{made}")
    assert answer.json["ServiceIdentities"] == [{"ServiceName": bound}]


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("A", ""),
        ("X${value.name}", ""),
        ('${"B"}', ""),
        ("a$b", ""),
        ("${value.name", ": parse error: syntax error"),
        ("${}", ": parse error: syntax error"),
        ("x${value.nope}", ": 1:4: unknown variable accessed: value.nope"),
        ("${foo(1)}", ": 1:3: unknown function called: foo"),
    ],
)
def test_names_that_can_never_be_are_refused(harness: GuardedHarness, template: str, error: str) -> None:
    """The text of a rule itself is not lowered. Source: a real server."""
    rule = {"AuthMethod": "j", "BindType": "service", "BindName": template}
    answer = harness.as_(MASTER, "PUT /v1/acl/binding-rule", rule)
    assert (answer.status, answer.text) == (500, f"Invalid Binding Rule: invalid BindName{error}")


def test_the_meta_of_a_login_is_written_as_go_does(harness: GuardedHarness) -> None:
    harness.as_(MASTER, "PUT /v1/acl/binding-rule", {"AuthMethod": "j", "BindType": "node", "BindName": "n"})
    body = {"AuthMethod": "j", "BearerToken": token_of(), "Meta": {"b": "1", "a": "<&>\u2028é"}}
    description = harness.as_("", "POST /v1/acl/login", body).json["Description"]
    assert description == 'token created via login: {"a":"\\u003c\\u0026\\u003e\\u2028é","b":"1"}'
