"""Bodies of requests: wrong types and unknown fields are refused in Consul's words, and nothing is written."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from consulpy.gocompat.newer_fields import NEWER, is_empty_value
from consulpy.http.api import routes
from consulpy.http.api.routing import ROUTES
from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import HttpHarness
from tests.unit.http.record_decoding import BODIES, NODE, RECORDED

routes.load_all()

#: Endpoints whose answers stand in decoding.json.
ENDPOINTS = sorted({(method, path) for method, path, *_ in json.loads(RECORDED.read_text())})


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_what_consul_refuses_is_refused_in_its_words(method: str, path: str) -> None:
    harness = HttpHarness()
    differences = []
    for how, where, body, status, text in json.loads(RECORDED.read_text()):
        if (how, where) != (method, path):
            continue
        answer = harness.ask(f"{method} {path}", json.dumps(body))
        if (answer.status, answer.text) != (status, text):
            differences.append((body, (status, text), (answer.status, answer.text)))
    assert not differences


def test_the_recording_has_every_endpoint_that_decodes_a_body() -> None:
    counted = Counter(f"{method} {path}" for method, path, *_ in json.loads(RECORDED.read_text()))
    assert len(counted) == len({(method, path) for method, path, *_ in BODIES}) == 17
    assert min(counted.values()) >= 8


#: Unknown fields that Consul takes without a word: a loss that nobody hears of.
SILENT_LOSSES: list[tuple[str, str, Any, str]] = [
    ("PUT", "/v1/session/create", {"Nmae": "x"}, "Nmae"),
    ("PUT", "/v1/session/create", {"lock_delay": "5s"}, "lock_delay"),
    ("PUT", "/v1/session/create", {"ServiceChecks": [{"ID": "serfHealth", "Name": "x"}]}, "Name"),
    ("PUT", "/v1/catalog/register", {**NODE, "Service": {"Service": "s", "Connect": {"Nativ": True}}}, "Nativ"),
    ("PUT", "/v1/catalog/register", {**NODE, "Check": {"Name": "c", "Definition": {"Htp": "x"}}}, "Htp"),
    ("PUT", "/v1/agent/service/register", {"Name": "w", "Connect": {"Nativ": True}}, "Nativ"),
    ("PUT", "/v1/txn", [{"Check": {"Check": {"Node": "n", "Name": "c", "Definition": {"Htp": "x"}}}}], "Htp"),
    ("POST", "/v1/connect/intentions", {"SourceName": "a", "DestinationName": "b", "Foo": 1}, "Foo"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "field"), SILENT_LOSSES)
def test_an_unknown_field_is_never_dropped(method: str, path: str, body: Any, field: str) -> None:
    harness = HttpHarness()
    before = harness.agent.server.store.index
    answer = harness.ask(f"{method} {path}", json.dumps(body))
    status = 500 if path == "/v1/connect/intentions" else 400  # Consul's
    assert (answer.status, f'unknown field "{field}"' in answer.text) == (status, True)
    assert harness.agent.server.store.index == before


def test_a_session_may_have_members_of_others() -> None:
    """Consul takes them, and it was recorded; a misspelled field of its own is one of `SILENT_LOSSES`."""
    harness = HttpHarness()
    harness.tell("PUT /v1/catalog/register", {"Node": "agent-one", "Address": "10.0.0.1", "Check": SERF_HEALTH})
    assert harness.ask("PUT /v1/session/create", {"Colour": "red"}).status == 200
    assert harness.ask("PUT /v1/session/create", {"Namespace": "team"}).status == 400


def test_one_wrong_operation_of_a_transaction_undoes_all() -> None:
    harness = HttpHarness()
    good = {"KV": {"Verb": "set", "Key": "a", "Value": "eA=="}}
    for bad in ({"KV": {"Verb": "set", "Key": "b", "Valeu": "eA=="}}, {"Lock": {}}, {**good, "Node": {"Verb": "get"}}):
        assert harness.ask("PUT /v1/txn", json.dumps([good, bad])).status == 400
        assert harness.ask("GET /v1/kv/a").status == 404


#: What clients of newer versions send: (version, who, method, path, body), from their public documentation and source.
NEWER_CLIENTS: list[tuple[str, str, str, str, Any]] = [
    ("1.10", "Go catalog, consul-esm", "PUT", "/v1/catalog/register", {
        "ID": "", "Node": "ext", "Address": "10.0.0.9", "TaggedAddresses": None, "NodeMeta": None, "Datacenter": "",
        "Service": {"ID": "s1", "Service": "s", "Tags": None, "Meta": None, "Port": 80, "Address": "", "Weights":
            {"Passing": 1, "Warning": 1}, "EnableTagOverride": False, "CreateIndex": 0, "ModifyIndex": 0},
        "Check": {"Node": "ext", "CheckID": "c", "Name": "c", "Status": "passing", "Notes": "", "Output": "",
            "ServiceID": "s1", "ServiceName": "s", "ServiceTags": None, "Type": "", "ExposedPort": 0, "Definition":
            {"HTTP": "", "Header": None, "Method": "", "Body": "", "TLSServerName": "", "TLSSkipVerify": False,
             "TCP": "", "TCPUseTLS": False, "UDP": "", "GRPC": "", "OSService": "", "GRPCUseTLS": False,
             "Interval": "10s", "Timeout": "0s", "DeregisterCriticalServiceAfter": "0s"},
            "CreateIndex": 0, "ModifyIndex": 0},
        "Checks": None, "SkipNodeUpdate": False, "Partition": "default", "Locality": None}),
    ("1.11", "Go catalog", "PUT", "/v1/catalog/deregister",
        {"Node": "ext", "Datacenter": "", "ServiceID": "s1", "CheckID": "", "Namespace": "default", "Partition": ""}),
    ("1.22", "Go agent", "PUT", "/v1/agent/service/register", {
        "ID": "w", "Name": "w", "Tags": ["a"], "Port": 80, "Ports": [], "Address": "10.0.0.1", "SocketPath": "",
        "EnableTagOverride": False, "Meta": {"a": "b"}, "Namespace": "default", "Partition": "default",
        "Locality": {"Region": "", "Zone": ""}, "Check": None, "Checks": [{"TTL": "10s", "H2PING": "",
        "H2PingUseTLS": False, "UDP": "", "OSService": "", "FailuresBeforeWarning": 0, "DisableRedirects": False}]}),
    ("1.10", "Nomad", "PUT", "/v1/agent/service/register", {
        "Name": "px", "Kind": "connect-proxy", "Port": 1, "Proxy": {"DestinationServiceName": "w", "Mode": "",
        "TransparentProxy": None, "Upstreams": [{"DestinationName": "b", "LocalBindPort": 1, "LocalBindSocketPath": "",
        "DestinationPeer": "", "DestinationPartition": "default", "CentrallyConfigured": False}]}}),
    ("1.14", "Go queries, Terraform", "POST", "/v1/query", {
        "ID": "", "Name": "q", "Session": "", "Token": "", "Service": {"Service": "s", "SamenessGroup": "",
        "Namespace": "", "Partition": "", "Near": "", "Failover": {"NearestN": 0, "Datacenters": None, "Targets": None},
        "IgnoreCheckIDs": None, "OnlyPassing": False, "Tags": None, "NodeMeta": None, "ServiceMeta": None,
        "Connect": False}, "DNS": {"TTL": ""}, "Template": {"Type": "", "Regexp": "", "RemoveEmptyTags": False}}),
    ("1.11", "Go transactions", "PUT", "/v1/txn", [
        {"KV": {"Verb": "set", "Key": "a", "Value": "eA==", "Flags": 0, "Index": 0, "Session": "", "Namespace": "",
                "Partition": ""}, "Node": None, "Service": None, "Check": None}]),
    ("1.10", "consul-esm", "PUT", "/v1/txn", [{"Check": {"Verb": "set", "Check": {
        "Node": "agent-one", "CheckID": "e", "Name": "e", "Status": "passing", "Notes": "", "Output": "",
        "ServiceID": "", "ServiceName": "", "ServiceTags": None, "Type": "", "ExposedPort": 0, "Definition":
        {"Interval": "0s", "Timeout": "0s", "DeregisterCriticalServiceAfter": "0s", "HTTP": ""}}}}]),
    ("1.9", "Go intentions", "POST", "/v1/connect/intentions", {
        "ID": "", "Description": "", "SourceNS": "", "SourceName": "a", "DestinationNS": "", "DestinationName": "b",
        "SourceType": "consul", "Action": "allow", "Permissions": None, "Meta": None, "Precedence": 0, "SourcePeer": "",
        "SourcePartition": "", "CreatedAt": "0001-01-01T00:00:00Z", "UpdatedAt": "0001-01-01T00:00:00Z", "Hash": None,
        "CreateIndex": 0, "ModifyIndex": 0}),
    ("1.16", "Terraform config entries", "PUT", "/v1/config", {
        "Kind": "service-defaults", "Name": "w", "Protocol": "http", "Mode": "", "TransparentProxy": None,
        "UpstreamConfig": None, "Destination": None, "MaxInboundConnections": 0, "MutualTLSMode": "",
        "EnvoyExtensions": [], "Partition": "default", "Namespace": "default"}),
    ("1.11", "Go sessions", "PUT", "/v1/session/create", {
        "CreateIndex": 0, "ID": "", "Name": "l", "LockDelay": 15000000000, "Behavior": "release",
        "TTL": "10s", "Namespace": "", "Checks": None, "NodeChecks": None, "ServiceChecks": None}),
    ("1.8", "py-consul", "PUT", "/v1/session/create", {"name": "l", "checks": ["serfHealth"], "lockdelay": "15s",
        "behavior": "delete", "ttl": "60s"}),
    ("1.8", "py-consul", "PUT", "/v1/agent/service/register", {"name": "p", "enabletagoverride": False, "token": "",
        "tags": [], "check": {"http": "http://127.0.0.1:1", "interval": "10s", "timeout": "1s",
        "deregistercriticalserviceafter": "90m"}}),
    ("1.8", "npm consul", "PUT", "/v1/agent/check/register", {"ID": "n", "Name": "n", "TTL": "15s",
        "Notes": "x", "Status": "passing"}),
    ("1.8", "Go autopilot", "PUT", "/v1/operator/autopilot/configuration", {
        "CleanupDeadServers": True, "LastContactThreshold": "200ms", "MaxTrailingLogs": 250, "MinQuorum": 0,
        "ServerStabilizationTime": "10s", "RedundancyZoneTag": "", "DisableUpgradeMigration": False,
        "UpgradeVersionTag": "", "CreateIndex": 0, "ModifyIndex": 0}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body"), [each[2:] for each in NEWER_CLIENTS], ids=[" ".join(each[:2]) for each in NEWER_CLIENTS]
)
def test_what_newer_clients_send_without_asking_for_anything_is_taken(method: str, path: str, body: Any) -> None:
    harness = HttpHarness()
    if path.startswith("/v1/session") or path == "/v1/txn":
        harness.tell("PUT /v1/catalog/register", {"Node": "agent-one", "Address": "10.0.0.1", "Check": SERF_HEALTH})
    answer = harness.ask(f"{method} {path}", json.dumps(body))
    assert answer.status == 200, answer.text


NOTHING: list[Any] = [None, "", 0, False, [], {}]


@pytest.mark.parametrize("value", NOTHING)
def test_newer_fields_that_are_honoured_take_every_value_that_says_nothing_too(value: Any) -> None:
    """Whatever its type is: clients of other languages write what is empty there."""
    check = {"Name": "c", "TTL": "10s", **dict.fromkeys(NEWER["CheckDefinition"], value)}
    assert HttpHarness().ask("PUT /v1/agent/check/register", json.dumps(check)).status == 200
    service = {"Name": "w", "Check": check, "Checks": [check]}
    assert HttpHarness().ask("PUT /v1/agent/service/register", json.dumps(service)).status == 200
    for path, body in (("token", {}), ("role", {"Name": "r", "ServiceIdentities": [{"ServiceName": "s"}]})):
        answer = GuardedHarness().as_(MASTER, f"PUT /v1/acl/{path}", json.dumps({**body, "TemplatedPolicies": value}))
        assert answer.status == 200, answer.text


@pytest.mark.parametrize("name", sorted(NEWER["CheckDefinition"]))
def test_of_another_type_they_are_refused_if_they_say_something(name: str) -> None:
    check = {"Name": "c", "TTL": "10s", name: ["x"]}
    answer = HttpHarness().ask("PUT /v1/agent/check/register", json.dumps(check))
    assert (answer.status, f".{name} of type" in answer.text) == (400, True)


SERF_HEALTH = {"Node": "agent-one", "CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing"}


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("PUT", "/v1/catalog/register", {**NODE, "Partition": "p"}, ["Partition", "Enterprise"]),
        ("PUT", "/v1/catalog/register", {**NODE, "Service": {"Service": "s", "Namespace": "n"}},
         ['json: unknown field "Namespace" - Namespaces are a Consul Enterprise feature']),
        ("PUT", "/v1/agent/service/register", {"Name": "w", "Locality": {"Region": "eu"}}, ["Locality", "1.16"]),
        ("PUT", "/v1/agent/service/register", {"Name": "w", "SocketPath": "/s"}, ["SocketPath", "1.10"]),
        ("PUT", "/v1/agent/service/register",
         {"Name": "w", "Connect": {"SidecarService": {"Proxy": {"Mode": "transparent"}}}}, ["Mode", "1.10"]),
        ("POST", "/v1/query", {"Service": {"Service": "s", "Failover": {"Targets": [{"Peer": "p"}]}}},
         ["Targets", "1.14"]),
        ("PUT", "/v1/txn", [{"KV": {"Verb": "set", "Key": "a", "Namespace": "n"}}], ["Namespace", "Enterprise"]),
        ("POST", "/v1/connect/intentions", {"SourceName": "a", "DestinationName": "b", "Permissions": [{}]},
         ["Permissions", "1.9"]),
        ("PUT", "/v1/config", {"Kind": "service-defaults", "Name": "w", "MutualTLSMode": "permissive"},
         ["MutualTLSMode", "1.16"]),
        ("PUT", "/v1/config", {"Kind": "service-defaults", "Name": "w", "namespace": "n"},
         ['invalid config key "namespace", namespaces are a Consul Enterprise feature']),
    ],
)  # fmt: skip
def test_what_asks_for_something_newer_is_refused_with_its_name_and_version(
    method: str, path: str, body: Any, words: list[str]
) -> None:
    harness = HttpHarness()
    before = harness.agent.server.store.index
    answer = harness.ask(f"{method} {path}", json.dumps(body))
    assert answer.status == 400
    assert all(word in answer.text for word in words), answer.text
    assert harness.agent.server.store.index == before


@pytest.mark.parametrize(
    ("name", "value", "nothing"),
    [
        ("Locality", None, True), ("Locality", {"Region": "", "Zone": None}, True), ("Ports", [], True),
        ("ExposedPort", 0, True), ("Namespace", "default", True), ("DestinationPartition", "default", True),
        ("Mode", "default", False), ("Targets", [{}], False), ("ExposedPort", 0.5, False), ("Partition", "d", False),
    ],
)  # fmt: skip
def test_values_that_say_nothing(name: str, value: Any, nothing: bool) -> None:
    assert is_empty_value(name, value) is nothing


def test_every_struct_of_the_table_is_one_of_a_body() -> None:
    """A struct of the table that no decoder knows would be a dead letter."""
    source = "".join(file.read_text() for file in Path("consulpy").rglob("*.py") if file.name != "newer.py")
    for struct in NEWER:
        assert f'fields_of("{struct}")' in source or f"class {struct}(" in source, struct
    assert ROUTES


def test_a_sidecar_in_the_catalog_is_stored_as_real_servers_read_it() -> None:
    """All members, durations in ns: a text there would end the decoding of the log entry at a real follower."""
    harness = HttpHarness()
    sidecar = {"check": {"interval": "10s", "TCP": "a:1"}, "proxy": {"upstreams": [{"destination_name": "x"}]}}
    body = {**NODE, "Service": {"Service": "s", "Connect": {"sidecar_service": sidecar}}}
    harness.tell("PUT /v1/catalog/register", json.dumps(body))
    node = harness.ask(f"GET /v1/catalog/node/{NODE['Node']}").json
    found = node["Services"]["s"]["Connect"]["SidecarService"]
    assert (found["Check"]["Interval"], found["Check"]["TCP"], found["Checks"]) == (10_000_000_000, "a:1", None)
    assert found["Proxy"]["Upstreams"][0]["DestinationName"] == "x"
    assert (found["Weights"], found["Tags"], found["Token"]) == (None, None, "")
