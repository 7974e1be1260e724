"""Log-in by an auth method: a service account of Kubernetes, and what its binding rules give."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from consulpy.acl.auth_config import KubernetesConfig
from consulpy.acl.binding import ServiceAccount
from tests.harness.guarded import MASTER, GuardedHarness

#: A JWT without a signature.
JWT = "eyJhbGciOiJub25lIn0.e30.eA"


@pytest.fixture
def harness() -> GuardedHarness:
    return GuardedHarness()


def test_a_service_account_of_kubernetes_logs_in(harness: GuardedHarness) -> None:
    jwt = JWT
    config = {"Host": "https://kube:8443", "CACert": ca_certificate(), "ServiceAccountJWT": jwt}
    made = harness.as_(MASTER, "PUT /v1/acl/auth-method", {"Name": "kube", "Type": "kubernetes", "Config": config})
    assert made.status == 200, made.text
    rule = {
        "AuthMethod": "kube",
        "BindType": "service",
        "BindName": "k8s-${serviceaccount.name}",
        "Selector": "serviceaccount.namespace == default",
    }
    assert harness.as_(MASTER, "PUT /v1/acl/binding-rule", rule).status == 200
    asked: list[tuple[str, str]] = []
    account = ServiceAccount("default", "web", "u")

    def review(config: KubernetesConfig, bearer: str) -> ServiceAccount:
        asked.append((config.Host, bearer))
        return account

    harness.agent.server.review_token = review
    token = harness.as_("", "POST /v1/acl/login", {"AuthMethod": "kube", "BearerToken": jwt})
    assert token.status == 200, token.text
    assert token.json["ServiceIdentities"] == [{"ServiceName": "k8s-web"}]
    assert asked == [("https://kube:8443", jwt)]
    account = ServiceAccount("other", "web", "u")
    refused = harness.as_("", "POST /v1/acl/login", {"AuthMethod": "kube", "BearerToken": jwt})
    assert (refused.status, refused.text) == (403, "Permission denied")
    assert harness.as_("", "POST /v1/acl/login", {"AuthMethod": "kube", "BearerToken": "x"}).status == 500
    assert len(asked) == 2


@pytest.fixture
def kubernetes(harness: GuardedHarness) -> GuardedHarness:
    """With the auth method `kube`, by which the service account default/Web logs in."""
    config = {"Host": "https://kube:8443", "CACert": ca_certificate(), "ServiceAccountJWT": JWT}
    harness.as_(MASTER, "PUT /v1/acl/auth-method", {"Name": "kube", "Type": "kubernetes", "Config": config})
    harness.agent.server.review_token = lambda _config, _bearer: ServiceAccount("default", "Web", "u")
    return harness


def login(harness: GuardedHarness) -> Any:
    return harness.as_("", "POST /v1/acl/login", {"AuthMethod": "kube", "BearerToken": JWT})


def test_a_binding_rule_gives_a_templated_policy_with_variables(kubernetes: GuardedHarness) -> None:
    """BindVars (Consul 1.17), as Nomad and consul-k8s write them."""
    rule = {
        "AuthMethod": "kube",
        "BindType": "templated-policy",
        "BindName": "builtin/service",
        "BindVars": {"name": "k8s-${serviceaccount.name}"},
    }
    made = kubernetes.as_(MASTER, "PUT /v1/acl/binding-rule", rule)
    assert made.status == 200, made.text
    assert made.json["BindVars"] == rule["BindVars"]
    again = kubernetes.as_(MASTER, f"GET /v1/acl/binding-rule/{made.json['ID']}").json
    assert again == made.json
    token = login(kubernetes)
    assert token.json["TemplatedPolicies"] == [
        {"TemplateName": "builtin/service", "TemplateVariables": {"name": "k8s-web"}}
    ]
    register = "PUT /v1/catalog/register"
    body = {"Node": "n", "Address": "127.0.0.9", "SkipNodeUpdate": True, "Service": {"Service": "k8s-web"}}
    kubernetes.as_(MASTER, register, {"Node": "n", "Address": "127.0.0.9"})
    assert kubernetes.as_(token.json["SecretID"], register, body).status == 200
    body["Service"] = {"Service": "other"}
    assert kubernetes.as_(token.json["SecretID"], register, body).status == 403


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"BindType": "templated-policy", "BindName": "builtin/none"}, "invalid BindName"),
        ({"BindType": "templated-policy", "BindName": "builtin/service"}, "name is required"),
        ({"BindType": "templated-policy", "BindName": "builtin/dns", "BindVars": {"Name": "x"}}, "has no variables"),
        (
            {"BindType": "templated-policy", "BindName": "builtin/service", "BindVars": {"Name": "${colour}"}},
            "unknown variable accessed: colour",
        ),
        ({"BindType": "service", "BindName": "x", "BindVars": {"Name": "x"}}, "BindVars needs the BindType"),
        ({"BindType": "group", "BindName": "x"}, 'unknown BindType "group"'),
    ],
)
def test_a_binding_rule_that_can_give_nothing_is_refused(
    kubernetes: GuardedHarness, rule: dict[str, Any], why: str
) -> None:
    answer = kubernetes.as_(MASTER, "PUT /v1/acl/binding-rule", {"AuthMethod": "kube", **rule})
    assert answer.status in (400, 500)
    assert why in answer.text
    assert kubernetes.as_(MASTER, "GET /v1/acl/binding-rules").json == []


def ca_certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
