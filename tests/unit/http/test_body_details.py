"""Fields of bodies that are read in a way of their own, as seen on Consul 1.8.7."""

import json
from typing import Any

import pytest

from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import HttpHarness

NODE = {"Node": "n", "Address": "10.0.0.1"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"Passing": 3}, {"Passing": 3, "Warning": 0}),
        ({"Passing": 3, "Warning": None}, {"Passing": 3, "Warning": 0}),
        ({"Warning": 2}, {"Passing": 1, "Warning": 1}),
        ({}, {"Passing": 1, "Warning": 1}),
        ({"Passing": 3, "Warning": 2}, {"Passing": 3, "Warning": 2}),
    ],
)
@pytest.mark.parametrize("path", ["catalog/register", "txn"])
def test_a_weight_that_is_left_out_is_zero(given: dict[str, Any], shown: dict[str, int], path: str) -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/catalog/register", NODE)
    service = {"ID": "w", "Service": "w", "Weights": given}
    if path == "txn":
        answer = harness.ask("PUT /v1/txn", json.dumps([{"Service": {"Verb": "set", "Node": "n", "Service": service}}]))
    else:
        answer = harness.ask("PUT /v1/catalog/register", {**NODE, "Service": service})
    assert answer.status == 200
    assert harness.ask("GET /v1/catalog/service/w").json[0]["ServiceWeights"] == shown


def definition(harness: HttpHarness, fields: dict[str, Any]) -> Any:
    harness.tell("PUT /v1/catalog/register", NODE)
    check = {"Node": "n", "CheckID": "c", "Name": "c", "Definition": fields}
    return harness.ask("PUT /v1/txn", json.dumps([{"Check": {"Verb": "set", "Check": check}}]))


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"IntervalDuration": "10s"}, {"Interval": "10s"}),
        ({"IntervalDuration": 5_000_000_000}, {"Interval": "5s"}),
        ({"IntervalDuration": "10s", "Interval": "11s"}, {"Interval": "10s"}),
        ({"TimeoutDuration": "3s"}, {"Timeout": "3s"}),
        ({"DeregisterCriticalServiceAfterDuration": "1m"}, {"DeregisterCriticalServiceAfter": "1m0s"}),
        ({"IntervalDuration": True}, {}),
        ({"Timeout": "3s"}, {"Timeout": "3s"}),
    ],
)
def test_durations_of_a_transactions_check_have_two_spellings(fields: dict[str, Any], shown: dict[str, str]) -> None:
    answer = definition(HttpHarness(), fields)
    assert answer.status == 200, answer.text
    assert answer.json["Results"][0]["Check"]["Definition"] == shown


@pytest.mark.parametrize("name", ["Interval", "Timeout", "DeregisterCriticalServiceAfter"])
@pytest.mark.parametrize(("value", "written"), [(None, "null"), (True, "true"), ([], "[]"), ({}, "{}")])
def test_the_shorter_one_is_a_text_or_a_number(name: str, value: Any, written: str) -> None:
    answer = definition(HttpHarness(), {name: value})
    text = f'Failed to parse body: strconv.ParseFloat: parsing "{written}": invalid syntax'
    assert (answer.status, answer.text) == (400, text)


@pytest.mark.parametrize(
    ("proxy", "where"),
    [
        ({"Upstreams": [{"DestinationType": 1}]}, "Upstream.Service.Service.Proxy.Upstreams.DestinationType"),
        ({"MeshGateway": {"Mode": 1}}, "MeshGatewayConfig.Service.Service.Proxy.MeshGateway.Mode"),
        (
            {"Upstreams": [{"MeshGateway": {"Mode": 1}}]},
            "MeshGatewayConfig.Service.Service.Proxy.Upstreams.MeshGateway.Mode",
        ),
    ],
)
def test_errors_within_a_transactions_proxy_name_the_client_librarys_types(proxy: Any, where: str) -> None:
    body = [{"Service": {"Verb": "set", "Node": "n", "Service": {"Service": "w", "Proxy": proxy}}}]
    answer = HttpHarness().ask("PUT /v1/txn", json.dumps(body))
    kind = "api.MeshGatewayMode" if "MeshGateway" in where else "api.UpstreamDestType"
    assert (
        answer.text
        == f"Failed to parse body: json: cannot unmarshal number into Go struct field {where} of type {kind}"
    )


def test_failures_before_critical_below_zero_are_taken() -> None:
    body = {"Name": "c", "TTL": "1m", "FailuresBeforeCritical": -1}
    assert HttpHarness().ask("PUT /v1/agent/check/register", body).status == 200


@pytest.mark.parametrize(
    "body", [{"OverrideProtocl": "http"}, {"override_mesh_gatway": None}, {"OverrideMeshGateway": {"Moed": "local"}}]
)
def test_a_misspelled_override_of_a_discovery_chain_is_refused(body: dict[str, Any]) -> None:
    answer = HttpHarness().ask("POST /v1/discovery-chain/web", body)
    assert (answer.status, "invalid config key" in answer.text) == (400, True)


def test_a_foreign_name_beside_the_overrides_is_taken_as_in_consul() -> None:
    answer = HttpHarness().ask("POST /v1/discovery-chain/web", {"Colour": "red", "OverrideProtocol": "http"})
    assert answer.text == "Connect must be enabled in order to use this endpoint", "the call was made"


@pytest.mark.parametrize("value", [[], {}])
def test_the_mode_of_a_mesh_gateway_has_a_type_of_its_own(value: Any) -> None:
    answer = HttpHarness().ask(
        "PUT /v1/config", {"Kind": "service-defaults", "Name": "w", "MeshGateway": {"Mode": value}}
    )
    assert "'MeshGateway.Mode' expected type 'structs.MeshGatewayMode', got unconvertible type" in answer.text


def test_a_number_as_a_text_has_the_digits_of_a_float() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/config", {"Kind": "service-defaults", "Name": 12345678901234567890})
    assert harness.ask("GET /v1/config/service-defaults").json[0]["Name"] == "12345678901234567000"


def test_a_short_name_of_a_session_is_not_dropped_where_it_is_misspelled() -> None:
    answer = HttpHarness().ask("PUT /v1/session/create", {"TLT": "10s"})
    assert (answer.status, answer.text) == (400, 'Request decode failed: json: unknown field "TLT"')


@pytest.mark.parametrize(
    ("request_line", "body", "text"),
    [
        ("PUT /v1/acl/policy", 5, "number into Go value of type struct { Hash string; *structs.Alias }"),
        ("PUT /v1/acl/policy", {"Name": 5}, "number into Go struct field .Name of type string"),
        (
            "PUT /v1/acl/role",
            {"Policies": 5},
            "number into Go struct field .Policies of type []structs.ACLRolePolicyLink",
        ),
        (
            "PUT /v1/acl/role",
            {"Policies": ["x"]},
            "string into Go struct field .Policies of type structs.ACLRolePolicyLink",
        ),
        ("PUT /v1/acl/token", {"Roles": ["x"]}, "string into Go struct field .Roles of type structs.ACLTokenRoleLink"),
        (
            "PUT /v1/acl/token",
            {"NodeIdentities": 5},
            "number into Go struct field .NodeIdentities of type []*structs.ACLNodeIdentity",
        ),
        ("POST /v1/internal/acl/authorize", "x", "string into Go value of type []structs.ACLAuthorizationRequest"),
        (
            "POST /v1/internal/acl/authorize",
            [{"Resource": 5}],
            "number into Go struct field ACLAuthorizationRequest.Resource of type acl.Resource",
        ),
    ],
)
def test_wrong_types_in_bodies_about_acls_are_named_as_by_consul(request_line: str, body: Any, text: str) -> None:
    answer = GuardedHarness().as_(MASTER, request_line, json.dumps(body))
    assert answer.status == 400
    assert answer.text.endswith(f"json: cannot unmarshal {text}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, 'parsing time "true" as ""2006-01-02T15:04:05Z07:00"": cannot parse "true" as """'),
        ({}, 'parsing time "{}" as ""2006-01-02T15:04:05Z07:00"": cannot parse "{}" as """'),
        ("x", 'parsing time ""x"" as ""2006-01-02T15:04:05Z07:00"": cannot parse "x"" as "2006"'),
    ],
)
def test_a_time_that_is_none_is_shown_as_it_was_written(value: Any, text: str) -> None:
    answer = GuardedHarness().as_(MASTER, "PUT /v1/acl/token", json.dumps({"ExpirationTime": value}))
    assert (answer.status, answer.text) == (400, f"Bad request: Token decoding failed: {text}")


@pytest.mark.parametrize(("body", "status"), [({"Type": ""}, 500), ({"Type": None}, 200), ({}, 200)])
def test_an_empty_type_of_a_legacy_token_is_none(body: dict[str, Any], status: int) -> None:
    answer = GuardedHarness().as_(MASTER, "PUT /v1/acl/create", json.dumps(body))
    assert answer.status == status, answer.text
    assert status == 200 or answer.text == "Invalid ACL Type"
