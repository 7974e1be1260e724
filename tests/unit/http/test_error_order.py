"""Which error counts if a request has several: its body's, that of an unknown token, or a missing right.

Source: the answers of Consul 1.8.7 to the same requests.
"""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from consulpy.codec.msgpack import unpack
from consulpy.errors import RPCError
from consulpy.rpc.messages import reply_of
from consulpy.structs.coordinate import Coord, Coordinate, DatacenterCoordinates
from tests.harness.guarded import MASTER, GuardedHarness

UNKNOWN = "cf000000-0000-0000-0000-0000000000ff"
NONE = "cf000000-0000-0000-0000-0000000000fe"
NOT_FOUND = (403, "ACL not found")
SERVICE, CHECK = "PUT /v1/agent/service/register", "PUT /v1/agent/check/register"
NO_NODE = (403, "Permission denied: Missing node:write on agent-one")


@pytest.fixture(scope="module")
def harness() -> GuardedHarness:
    harness = GuardedHarness()
    harness.as_(MASTER, SERVICE, {"Name": "loc"})
    return harness


@pytest.mark.parametrize(
    ("request_line", "body", "answer"),
    [
        ("GET /v1/query/none/execute", "", (404, "Query not found")),
        ("GET /v1/query/none/explain", "", (404, "Query not found")),
        (f"GET /v1/query/{NONE}", "", (404, "Query not found")),
        (f"GET /v1/connect/intentions/{NONE}", "", (404, "Intention not found")),
        ("PUT /v1/coordinate/update", {"Node": "n", "Coord": {}}, (500, "incompatible coordinate")),
        ("PUT /v1/catalog/deregister", {}, (500, "Must provide node")),
        (SERVICE, {}, (400, "Missing service name")),
        (SERVICE, {"Name": "a", "Address": "0.0.0.0"}, (400, "Invalid service address")),
        (SERVICE, {"Name": "a", "Meta": {"": "b"}}, NOT_FOUND),
        (CHECK, {"TTL": "1h"}, (400, "Missing check name")),
        (CHECK, {"Name": "a", "Status": "bad", "TTL": "1h"}, (400, "Bad check status")),
        ("PUT /v1/agent/check/update/none", {"Status": "bad"}, (400, "Invalid check status: 'bad'")),
        ("PUT /v1/agent/maintenance", "", (400, "Missing value for enable")),
        ("PUT /v1/agent/service/maintenance/", "", (400, "Missing service ID")),
        ("GET /v1/agent/health/service/name/", "", (500, "Bad request: Missing service Name")),
        ("PUT /v1/catalog/register", {"Node": "x", "Address": "y", "ID": "bad"}, NOT_FOUND),
        ("PUT /v1/kv/", "", (400, "Missing key name")),
    ],
)
def test_before_a_token_that_does_not_exist(
    harness: GuardedHarness, request_line: str, body: Any, answer: tuple[int, str]
) -> None:
    found = harness.as_(UNKNOWN, request_line, body)
    assert (found.status, found.text) == answer


@pytest.mark.parametrize(
    ("request_line", "body", "status", "text"),
    [
        (SERVICE, {"Name": "a", "Meta": {"": "b"}}, 400, "Invalid Service Meta"),
        (SERVICE, {"Name": "a", "Kind": "connect-proxy"}, 400, "2 errors occurred"),
        (
            SERVICE,
            {"Name": "a", "Connect": {"SidecarService": {"Connect": {"SidecarService": {}}}}},
            400,
            "1 error occurred:\n\t* A SidecarService cannot have a nested",
        ),
        (CHECK, {"Name": "a", "HTTP": "x"}, 400, "Invalid check: Interval must be > 0"),
        (CHECK, {"Name": "a", "TTL": "1h", "ServiceID": "none"}, *NO_NODE),
        ("PUT /v1/agent/check/deregister/", "", 500, 'Unknown check ""'),
        ("PUT /v1/agent/service/deregister/", "", 500, 'Unknown service {"" {}}'),
        ("PUT /v1/session/destroy/x", "", 500, "Session lookup failed: "),
        ("PUT /v1/catalog/register", {"Node": "x", "Address": "y", "ID": "bad"}, 500, "Bad node ID: "),
        (
            "PUT /v1/txn",
            '[{"KV": {"Verb": "set"}}]',
            409,
            '{"Results":null,"Errors":[{"OpIndex":0,"What":',
        ),
        ("PUT /v1/config", {"Kind": "service-splitter", "Name": "s", "Splits": []}, 500, "no splits configured"),
        ("POST /v1/connect/intentions", {}, 403, "Permission denied"),
        ("PUT /v1/coordinate/update", {"Node": "n", "Coord": {"Vec": [0] * 8}}, 403, "Permission denied"),
    ],
)
def test_before_a_missing_right(harness: GuardedHarness, request_line: str, body: Any, status: int, text: str) -> None:
    found = harness.as_("", request_line, body)
    assert (found.status, found.text.startswith(text)) == (status, True), found.text


def test_what_is_wrong_with_links_and_names(harness: GuardedHarness) -> None:
    for kind, what in (("Policies", "policy"), ("Roles", "role")):
        answer = harness.as_(MASTER, "PUT /v1/acl/token", {kind: [{"ID": NONE}]})
        assert (answer.status, answer.text) == (500, f'No such ACL {what} with ID "{NONE}"')
    assert harness.as_(MASTER, "PUT /v1/acl/token", {"Type": "client"}).status == 400
    assert harness.as_("allow", "POST /v1/acl/logout").text == "ACL not found"


def test_a_token_may_have_any_bytes(harness: GuardedHarness) -> None:
    for path in ("/v1/kv/a", "/v1/agent/members"):
        answer = harness.ask(f"GET {path}?token=%E9")
        assert (answer.status, answer.text) == NOT_FOUND


@pytest.mark.parametrize("token", [MASTER, UNKNOWN, ""])
def test_the_arguments_of_the_keyring_come_before_the_token(harness: GuardedHarness, token: str) -> None:
    for line, body in (("GET /v1/operator/keyring?relay-factor=9", b""), ("PUT /v1/operator/keyring", {"Key": 5})):
        assert harness.as_(token, line, body).status == 400


@pytest.mark.parametrize("token", [MASTER, UNKNOWN, ""])
def test_a_client_agent_has_no_keyring_operations(token: str) -> None:
    harness = GuardedHarness()
    harness.agent.lan.tags["role"] = "node"
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = harness.as_(token, f"{method} /v1/operator/keyring", {"Key": "k"})
        assert (answer.status, answer.text) == (500, "keyring operations must run against a server node")
    assert harness.agent.keys == []


def test_the_token_of_one_agent_is_none_for_the_keyring(harness: GuardedHarness) -> None:
    token = "cf000000-0000-0000-0000-00000000a9e7"
    harness.agent.access.tokens.set("agent_master", token)
    answer = harness.as_(token, "GET /v1/operator/keyring")
    assert (answer.status, answer.text) == NOT_FOUND


def test_reads_of_a_transaction_that_are_refused_tell_of_the_leader(harness: GuardedHarness) -> None:
    refused = '[{"KV": {"Verb": "check-not-exists", "Key": "a"}}]'
    assert harness.as_("", "PUT /v1/txn", refused).json["KnownLeader"] is True


def test_what_a_client_agent_gets_from_a_server_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coordinates of datacenters as they come over the wire; the errors of a server have a prefix there."""
    harness = GuardedHarness()
    row = DatacenterCoordinates("dc1", "wan", [Coordinate("n", coord=Coord())])

    class Servers:
        def call(self, method: str, *_: Any) -> "Deferred[Any]":
            if method == "Intention.Get":
                return fail(RPCError("rpc error making call: Intention not found"))
            return succeed(reply_of(list, unpack(b"\x91" + row.pack())))

    monkeypatch.setattr(harness.agent, "caller", Servers())
    [shown] = harness.ask("GET /v1/coordinate/datacenters").json
    assert (shown["Datacenter"], shown["AreaID"], shown["Coordinates"][0]["Node"]) == ("dc1", "wan", "n")
    assert harness.ask(f"GET /v1/connect/intentions/{NONE}").status == 500


def test_the_services_behind_an_unknown_gateway_are_an_empty_list(harness: GuardedHarness) -> None:
    assert harness.as_(MASTER, "GET /v1/catalog/gateway-services/none").json == []
