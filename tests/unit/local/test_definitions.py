"""Definitions of services and checks, of requests and of files: decoding, validation, and Go's error texts."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.json_decode import GoError, decode_duration
from consulpy.local.definitions import (
    check_from_body,
    check_from_config,
    service_from_body,
    service_from_config,
    update_from_body,
)
from consulpy.local.health import service_json
from consulpy.local.state import Scripts
from consulpy.structs.service import Upstream
from tests.harness.local_agent import Agent


def test_a_name_is_enough() -> None:
    agent = Agent()
    agent.service({"Name": "cf-s"})
    assert agent.shown("cf-s") == {
        "ID": "cf-s",
        "Service": "cf-s",
        "Tags": [],
        "Meta": {},
        "Port": 0,
        "Address": "",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
    }


def test_all_members_are_registered() -> None:
    agent = Agent()
    agent.service(
        {
            "ID": "cf-s",
            "Name": "cf-name",
            "Tags": ["x", "y"],
            "Address": "10.36.0.1",
            "Port": 80,
            "Meta": {"a": "b"},
            "TaggedAddresses": {"wan": {"Address": "198.51.100.9", "Port": 8080}},
            "EnableTagOverride": True,
            "Weights": {"Passing": 3, "Warning": 2},
        }
    )
    own = {"Address": "10.36.0.1", "Port": 80}
    assert agent.shown("cf-s") == {
        "ID": "cf-s",
        "Service": "cf-name",
        "Tags": ["x", "y"],
        "Meta": {"a": "b"},
        "Port": 80,
        "Address": "10.36.0.1",
        "TaggedAddresses": {"lan_ipv4": own, "wan": {"Address": "198.51.100.9", "Port": 8080}, "wan_ipv4": own},
        "Weights": {"Passing": 3, "Warning": 2},
        "EnableTagOverride": True,
    }


def test_snake_case_is_accepted_where_consul_does() -> None:
    agent = Agent()
    agent.service(
        {
            "id": "s",
            "name": "n",
            "enable_tag_override": True,
            "tagged_addresses": {"lan": {"address": "10.36.0.2", "port": 1}},
            "check": {"ttl": "1h", "deregister_critical_service_after": "2h"},
        }
    )
    assert agent.shown("s")["TaggedAddresses"] == {"lan": {"Address": "10.36.0.2", "Port": 1}}
    assert agent.starter.running["service:s"].kind.deregister_critical_service_after == 7200 * 10**9


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"Name":5}', "json: cannot unmarshal number into Go struct field .Name of type string"),
        (
            b'{"Name":"x","Enable_Tag_Override":5}',
            "json: cannot unmarshal number into Go struct field .enable_tag_override of type bool",
        ),
        (b'{"Name":"x","Port":"80"}', "json: cannot unmarshal string into Go struct field .Port of type int"),
        (b'{"Name":"x","Port":1.5}', "json: cannot unmarshal number 1.5 into Go struct field .Port of type int"),
        (b'{"Name":"x","Tags":"a"}', "json: cannot unmarshal string into Go struct field .Tags of type []string"),
        (b'{"Name":"x","Tags":[1]}', "json: cannot unmarshal number into Go struct field .Tags of type string"),
        (b'{"Name":"x","Meta":{"a":1}}', "json: cannot unmarshal number into Go struct field .Meta of type string"),
        (b'{"Name":"x","Colour":1}', 'json: unknown field "Colour"'),
        (b'{"Name":"x","Check":{"Foo":1}}', 'json: unknown field "Foo"'),
        (b'{"Name":"x","Check":{"ID":"x"}}', 'json: unknown field "ID"'),
        (b'{"Name":"x","Check":{"alias_service":"x"}}', 'json: unknown field "alias_service"'),
        (b'{"Name":"x","Check":{"TTL":"soon"}}', 'time: invalid duration "soon"'),
        (
            b'{"Name":"x","Checks":{}}',
            "json: cannot unmarshal object into Go struct field .Checks of type structs.CheckTypes",
        ),
        (
            b'{"Name":"x","TaggedAddresses":{"lan":"a"}}',
            "json: cannot unmarshal string into Go struct field .TaggedAddresses of type structs.ServiceAddress",
        ),
        (
            b'{"Name":"x","Check":{"Header":{"a":"b"}}}',
            "json: cannot unmarshal string into Go struct field .Check of type []string",
        ),
        (
            b'{"Name":"x","Connect":{"Foo":1}}',
            'json: unknown field "Foo"',
        ),
        (
            b'{"Name":"x","Connect":{"Native":5}}',
            "json: cannot unmarshal number into Go struct field .Connect of type bool",
        ),
    ],
)
def test_bodies_are_decoded_strictly_with_gos_error_texts(body: bytes, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        service_from_body(body)
    assert str(caught.value) == f"Request decode failed: {text}"


@pytest.mark.parametrize(
    "body",
    [b'{"Name":"x"} trailing', b'{"NAME":"x","eNableTagoverride":true}'],
)
def test_bodies_that_consul_accepts_are_accepted(body: bytes) -> None:
    assert service_from_body(body).service.service == "x"


def test_errors_of_json_have_their_position() -> None:
    with pytest.raises(BadRequest, match="line 2, column 2"):
        service_from_body(b'{"Name":\n x}')


@given(st.binary(max_size=100))
def test_any_body_is_a_definition_or_a_bad_request(body: bytes) -> None:
    for decode in (service_from_body, check_from_body, update_from_body):
        with contextlib.suppress(BadRequest):
            decode(body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_members = st.sampled_from(
    ["Name", "Port", "Check", "Checks", "Proxy", "Connect", "Weights", "Meta", "TaggedAddresses"]
)


@given(st.dictionaries(_members, _json, max_size=4))
def test_any_member_of_any_type_is_a_definition_or_a_bad_request(body: dict[str, Any]) -> None:
    with contextlib.suppress(BadRequest):
        Agent().service({"Name": "x", **body})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "Missing service name"),
        ({"Name": "x", "Address": "0.0.0.0"}, "Invalid service address"),
        ({"Name": "x", "Address": "::"}, "Invalid service address"),
        ({"Name": "x", "Address": "[::]"}, "Invalid service address"),
        ({"Name": "x", "Weights": {"Passing": -1}}, "Invalid Weights: Passing must be greater than 0"),
        ({"Name": "x", "Weights": {}}, "Invalid Weights: Passing must be greater than 0"),
        (
            {"Name": "x", "Weights": {"Passing": 1, "Warning": -1}},
            "Invalid Weights: Warning must be greater or equal than 0",
        ),
        (
            {"Name": "x", "Weights": {"Passing": 70000, "Warning": 1}},
            "Invalid Weights: DNS Weight must be between 0 and 65535",
        ),
        (
            {"Name": "x", "Meta": {"a b": "c"}},
            "Invalid Service Meta: Couldn't load metadata pair ('a b', 'c'): Key contains invalid characters",
        ),
        (
            {"Name": "x", "Meta": {"consul-x": "c"}},
            (
                "Invalid Service Meta: Couldn't load metadata pair ('consul-x', 'c'): "
                "Key prefix 'consul-' is reserved for internal use"
            ),
        ),
        ({"Name": "x", "Check": {"HTTP": "u"}}, "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks"),
        ({"Name": "x", "Check": {"Interval": "10s"}}, "Invalid check: TTL must be > 0 for TTL checks"),
        ({"Name": "x", "Checks": [{}]}, "Invalid check: TTL must be > 0 for TTL checks"),
        (
            {"Name": "x", "Check": {"TTL": "1h", "Interval": "1s"}},
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        (
            {"Name": "x", "Check": {"AliasNode": "n", "TTL": "1s"}},
            "Invalid check: TTL must be not be set for Alias checks",
        ),
        (
            {"Name": "x", "Check": {"HTTP": "u", "Interval": "1s", "OutputMaxSize": -1}},
            "Invalid check: MaxOutputMaxSize must be positive",
        ),
        (
            {"Name": "x", "Check": {"TTL": "1h", "Status": "purple"}},
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        (
            {"Name": "x", "Kind": "connect-proxy"},
            (
                "2 errors occurred:\n\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n"
                "\t* Port must be set for a Connect proxy\n\n"
            ),
        ),
        (
            {"Name": "x", "Connect": {"SidecarService": {"ID": "q"}}},
            "1 error occurred:\n\t* A SidecarService cannot specify an ID as this is managed by the agent\n\n",
        ),
    ],
)
def test_invalid_registrations_are_refused_and_change_nothing(body: Any, text: str) -> None:
    agent = Agent()
    with pytest.raises(BadRequest) as caught:
        agent.service(body)
    assert str(caught.value) == text
    assert (agent.local.services, agent.local.checks) == ({}, {})


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "Missing check name"),
        ({"Name": "K", "TTL": "1h", "Status": "purple"}, 400, "Bad check status"),
        ({"Name": "K"}, 400, "Invalid check: TTL must be > 0 for TTL checks"),
        ({"CheckID": "k", "Name": "K", "TTL": "1h"}, 400, 'Request decode failed: json: unknown field "CheckID"'),
        ({"Name": "K", "TTL": "1h", "ServiceID": "none"}, 500, 'ServiceID "none" does not exist'),
        (
            {"Name": "K", "Args": ["true"], "Interval": "10s"},
            500,
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
        ),
    ],
)
def test_checks_that_cannot_run_are_refused(body: Any, status: int, text: str) -> None:
    with pytest.raises(RPCError) as caught:
        Agent().check(body)
    assert (caught.value.http_status, str(caught.value)) == (status, text)


def test_scripts_may_be_allowed_for_the_configuration_only() -> None:
    agent = Agent(scripts=Scripts(remote=False, local=True))
    agent.local.register_check(check_from_config({"name": "k", "args": ["true"], "interval": "10s"}), local=True)
    with pytest.raises(RPCError, match="remote calls"):
        agent.check({"Name": "k2", "Args": ["true"], "Interval": "10s"})


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("1s", 10**9), ("1h30m", 5400 * 10**9), ("500ms", 5 * 10**8), ("1.5s", 15 * 10**8), ("-1s", -(10**9)), ("0", 0)],
)
def test_durations_are_gos(text: str, nanoseconds: int) -> None:
    assert decode_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("soon", 'time: invalid duration "soon"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("", 'time: invalid duration ""'),
    ],
)
def test_invalid_durations_have_gos_error_texts(text: str, error: str) -> None:
    with pytest.raises(GoError) as caught:
        decode_duration(text)
    assert str(caught.value) == error


def test_configuration_accepts_snake_case() -> None:
    agent = Agent()
    definition = service_from_config(
        {
            "name": "web",
            "port": 80,
            "checks": [{"id": "k", "http": "http://x/", "interval": "10s", "success_before_passing": 3}],
            "connect": {
                "sidecar_service": {"proxy": {"upstreams": [{"destination_name": "db", "local_bind_port": 1}]}}
            },
        }
    )
    agent.local.register_service(definition, local=True)
    assert agent.starter.running["k"].kind.success_before_passing == 3
    upstreams = agent.local.services["web-sidecar-proxy"].proxy.upstreams
    shown = service_json(agent.local.services["web-sidecar-proxy"])["Proxy"]["Upstreams"]
    assert shown == [{"DestinationType": "service", "DestinationName": "db", "LocalBindPort": 1, "MeshGateway": {}}]
    assert upstreams == [Upstream(destination_type="service", destination_name="db", local_bind_port=1)]


def test_files_may_contain_what_only_the_api_refuses() -> None:
    """Seen: a real agent starts with an address of 0.0.0.0, an unknown status, and a check that has an id only."""
    agent = Agent()
    body = {"Name": "web", "Address": "0.0.0.0", "Check": {"ID": "w", "TTL": "1m", "Status": "nope"}}
    agent.local.register_service(service_from_config(body), local=True)
    agent.local.register_check(check_from_config({"ID": "k", "TTL": "1m", "Status": "odd"}), local=True)
    assert agent.local.services["web"].address == "0.0.0.0"
    assert {key: check.status for key, check in agent.local.checks.items()} == {"w": "nope", "k": "odd"}
    with pytest.raises(BadRequest, match="Invalid service address"):
        agent.local.register_service(service_from_config(body))
    with pytest.raises(BadRequest, match="Missing check name"):
        agent.local.register_check(check_from_config({"ID": "k", "TTL": "1m"}))


def test_only_a_node_check_in_a_file_has_no_type() -> None:
    """Seen in a real agent's /v1/agent/checks."""
    agent = Agent()
    agent.local.register_check(check_from_config({"ID": "f", "TTL": "1m"}), local=True)
    agent.local.register_check(check_from_config({"ID": "alias", "Name": "alias", "AliasService": "web"}), local=True)
    service = service_from_config({"Name": "web", "Check": {"ID": "s", "TTL": "1m"}})
    agent.local.register_service(service, local=True)
    agent.local.register_check(check_from_body(b'{"Name":"a","TTL":"1m"}'))
    assert {key: check.type for key, check in agent.local.checks.items()} == {
        "f": "",
        "alias": "",
        "s": "ttl",
        "a": "ttl",
    }
