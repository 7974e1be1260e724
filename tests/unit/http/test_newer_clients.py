"""What clients of Consul 1.9 to 1.22 send, by client and version: taken when it asks for nothing newer.

Go: the structs of its `api` package as encoding/json writes them; Terraform: config entries with all of their fields.
"""

import json
from typing import Any

import pytest

from consulpy.structs.acl import RESERVED_PREFIX
from tests.harness.guarded import MASTER, GuardedAgent, GuardedHarness
from tests.harness.http import FakeAgent, HttpHarness

SECRET = "11111111-2222-3333-4444-555555555555"
ZERO_TIME = "0001-01-01T00:00:00Z"
INDEXES = {"CreateIndex": 0, "ModifyIndex": 0}
SERVICE = {
    "ID": "web1", "Service": "web", "Tags": None, "Meta": None, "Port": 80, "Address": "", "EnableTagOverride": False,
    "Weights": {"Passing": 1, "Warning": 1}, "Datacenter": "dc1", "Namespace": "default", "Partition": "default",
    "PeerName": "", "SocketPath": "", "Ports": None, "Locality": None, **INDEXES,
}  # fmt: skip
FAILOVER = {"*": {"Datacenters": ["dc2"], "Targets": None, "Policy": {"Mode": "sequential"}, "SamenessGroup": ""}}
GATEWAY_TLS = {"Enabled": False, "SDS": None, "TLSMinVersion": "TLS_AUTO"}

#: Version, client, request, body.
CATALOG: list[tuple[str, str, str, Any]] = [
    ("1.22", "Go catalog", "PUT /v1/catalog/register", {"Node": "n", "Address": "127.0.0.9", "Service": SERVICE}),
    ("1.20", "consul-esm", "PUT /v1/txn", [
        {"KV": None, "Node": {"Verb": "set", "Node": {"ID": "", "Node": "n", "Address": "127.0.0.9", "PeerName": ""}}},
        {"Service": {"Verb": "set", "Node": "n", "Service": SERVICE}},
    ]),
    ("1.20", "Go agent", "PUT /v1/agent/service/register", {
        "Kind": "connect-proxy", "Name": "p", "Port": 2, "Check": None, "Checks": None, "Proxy": {
            "DestinationServiceName": "web", "Mode": "direct", "MutualTLSMode": "strict", "TransparentProxy": None,
            "AccessLogs": {"Enabled": False, "Type": "stdout"}, "EnvoyExtensions": [], "MeshGateway": {}, "Expose": {},
        },
    }),
    ("1.16", "Terraform service-resolver", "PUT /v1/config", {
        "Kind": "service-resolver", "Name": "web", "ConnectTimeout": "5s", "RequestTimeout": "0s", "LoadBalancer": None,
        "Failover": FAILOVER, "Redirect": None, "PrioritizeByLocality": {"Mode": "none"},
    }),
    ("1.17", "Terraform service-router", "PUT /v1/config", {
        "Kind": "service-router", "Name": "web", "Routes": [{
            "Match": {"HTTP": {"PathPrefix": "/a", "CaseInsensitive": False}},
            "Destination": {"Service": "web", "RequestTimeout": "0s", "IdleTimeout": "0s", "RetryOn": None},
        }],
    }),
    ("1.12", "k8s ingress-gateway", "PUT /v1/config", {
        "Kind": "ingress-gateway", "Name": "ig", "TLS": GATEWAY_TLS, "Defaults": None, "Listeners": [
            {"Port": 1, "Protocol": "tcp", "TLS": None, "Services": [{"Name": "db", "RequestHeaders": None}]},
        ],
    }),
    ("1.16", "k8s proxy-defaults", "PUT /v1/config", {
        "Kind": "proxy-defaults", "Name": "global", "AccessLogs": {"Enabled": False}, "MutualTLSMode": "strict",
        "FailoverPolicy": {"Mode": "", "Regions": None}, "TransparentProxy": {"DialedDirectly": False},
    }),
]  # fmt: skip

ACL: list[tuple[str, str, str, Any]] = [
    ("1.11", "Go token", "PUT /v1/acl/token", {
        "AccessorID": "", "SecretID": "", "Description": "x", "Local": False, "CreateTime": ZERO_TIME,
        "Namespace": "", "Partition": "default", "AuthMethodNamespace": "", "TemplatedPolicies": None, **INDEXES,
    }),
    ("1.11", "Go policy", "PUT /v1/acl/policy", {
        "ID": "", "Name": "n", "Description": "", "Rules": "", "Datacenters": None, "Hash": None, "Partition": "",
        "Namespace": "default", **INDEXES,
    }),
    ("1.17", "Go role", "PUT /v1/acl/role", {
        "ID": "", "Name": "n", "Description": "", "Hash": None, "TemplatedPolicies": [], "Namespace": "", **INDEXES,
    }),
    ("1.14", "Go authorization", "POST /v1/internal/acl/authorize", [
        {"Resource": "key", "Access": "read", "Segment": "a", "Namespace": "default", "Partition": ""},
    ]),
    ("1.11", "CLI agent token", "PUT /v1/agent/token/agent_recovery", {"Token": SECRET}),
    ("1.15", "CLI agent token", "PUT /v1/agent/token/config_file_service_registration", {"Token": SECRET}),
    ("1.17", "CLI agent token", "PUT /v1/agent/token/dns", {"Token": SECRET}),
]  # fmt: skip


def names(cases: list[tuple[str, str, str, Any]]) -> list[str]:
    return [f"{version} {client}" for version, client, *_ in cases]


@pytest.mark.parametrize(("request_", "body"), [case[2:] for case in CATALOG], ids=names(CATALOG))
def test_what_asks_for_nothing_newer_is_taken(request_: str, body: Any) -> None:
    harness = HttpHarness(FakeAgent().start())
    harness.ask("PUT /v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http"})
    answer = harness.ask(request_, json.dumps(body))
    assert answer.status == 200, answer.text


@pytest.mark.parametrize(("request_", "body"), [case[2:] for case in ACL], ids=names(ACL))
def test_the_same_of_access_control(request_: str, body: Any) -> None:
    answer = GuardedHarness().as_(MASTER, request_, json.dumps(body))
    assert answer.status == 200, answer.text


@pytest.mark.parametrize(
    ("request_", "body", "words"),
    [
        ("PUT /v1/acl/token", {"Namespace": "team"}, ["Namespace", "Enterprise"]),
        ("PUT /v1/acl/policy", {"Name": "x", "Partition": "team"}, ["Partition", "Enterprise"]),
        ("PUT /v1/acl/role", {"Name": "x", "Colour": 1}, ["Colour"]),
        ("PUT /v1/acl/binding-rule", {"AuthMethod": "m", "Namespace": "team"}, ["Namespace", "Enterprise"]),
        ("PUT /v1/acl/auth-method", {"Name": "m", "NamespaceRules": [{}, {"BindNamespace": "x"}]}, ["Rules"]),
        ("PUT /v1/acl/auth-method", {"Name": "m", "TokenNameFormat": "x"}, ["TokenNameFormat", "1.9 or later"]),
        ("PUT /v1/acl/bootstrap", {"Secret": SECRET}, ["Secret"]),
    ],
)  # fmt: skip
def test_what_asks_for_something_newer_is_refused_by_name(request_: str, body: Any, words: list[str]) -> None:
    harness = GuardedHarness()
    before = harness.agent.log.store.index
    answer = harness.as_(MASTER, request_, body)
    assert answer.status == 400
    assert all(word in answer.text for word in words), answer.text
    assert harness.agent.log.store.index == before


def test_the_first_token_may_have_a_secret_that_was_chosen() -> None:
    """`consul acl bootstrap FILE` (1.13)."""
    harness = GuardedHarness(GuardedAgent(master="").start())
    for bad in ("no uuid", f"{RESERVED_PREFIX}aa"):
        answer = harness.as_("", "PUT /v1/acl/bootstrap", {"BootstrapSecret": bad})
        assert (answer.status, "BootstrapSecret" in answer.text) == (400, True)
    made = harness.as_("", "PUT /v1/acl/bootstrap", {"BootstrapSecret": SECRET}).json
    assert made["SecretID"] == SECRET
    assert harness.as_(SECRET, "GET /v1/acl/policies").status == 200
    again = harness.as_("", "PUT /v1/acl/bootstrap", {"BootstrapSecret": SECRET[:-1] + "6"})
    assert (again.status, "no longer allowed" in again.text) == (403, True)


@pytest.mark.parametrize(
    ("client", "query"),
    [
        ("Prometheus 2.40", "catalog/services?stale=&wait=120000ms&index=0"),
        ("Traefik 3", "health/service/web?dc=&partition=&ns=&stale="),
        ("Traefik 3", "catalog/services?dc=dc1&peer="),
        ("npm consul 2", "health/service/web?passing=1&near=_agent"),
        ("py-consul 1.8", "catalog/nodes?stale=1&node-meta=a:b"),
        ("Go 1.32", "health/service/web?cached=&stale=&merge-central-config="),
        ("Nomad 1.9", "agent/self?namespace=&partition="),
    ],
)
def test_parameters_of_newer_clients_are_taken_when_they_are_empty(client: str, query: str) -> None:
    harness = HttpHarness(FakeAgent().start())
    assert harness.ask(f"GET /v1/{query}", User_Agent=client.replace(" ", "/")).status == 200, client
