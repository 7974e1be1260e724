"""`X-Consulpy-Denied` of every refusal: whose token it was, and which right it lacks."""

import json
from typing import Any

import pytest

from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import Response

LEAF_URI = "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/a"
#: Requests, and the right that each needs.
REFUSED: list[tuple[str, Any, str]] = [
    ("GET /v1/kv/a", b"", 'key:read "a"'),
    ("PUT /v1/kv/a", b"1", 'key:write "a"'),
    ("PUT /v1/session/create", {}, 'session:write "agent-one"'),
    ("PUT /v1/event/fire/x", b"", 'event:write "x"'),
    ("GET /v1/operator/keyring", b"", "keyring:read"),
    ("GET /v1/operator/raft/configuration", b"", "operator:read"),
    ("GET /v1/acl/tokens", b"", "acl:read"),
    ("GET /v1/acl/templated-policies", b"", "acl:read"),
    ("GET /v1/acl/token/11111111-2222-3333-4444-555555555555", b"", "acl:read"),
    ("GET /v1/snapshot", b"", "acl:write"),
    ("GET /v1/agent/self", b"", 'agent:read "agent-one"'),
    ("PUT /v1/agent/service/register", {"Name": "b"}, 'service:write "b"'),
    ("GET /v1/connect/ca/configuration", b"", "operator:write"),
    ("PUT /v1/connect/ca/configuration", {"Provider": "consul", "Config": {}}, "operator:write"),
    (
        "POST /v1/agent/connect/authorize",
        {"Target": "web", "ClientCertURI": LEAF_URI, "ClientCertSerial": "1"},
        'service:write "web"',
    ),
    ("PUT /v1/txn", [{"KV": {"Verb": "set", "Key": "a", "Value": ""}}], 'key:write "a"'),
    (
        "PUT /v1/txn",
        [{"KV": {"Verb": "set", "Key": "a", "Value": ""}}, {"KV": {"Verb": "delete", "Key": "b"}}],
        'key:write "a", key:write "b"',
    ),
    ("PUT /v1/txn", [{"KV": {"Verb": "check-index", "Key": "c", "Index": 1}}], 'key:read "c"'),
]


@pytest.fixture(scope="module")
def harness() -> GuardedHarness:
    harness = GuardedHarness()
    authority: Any = object()  # Connect is on; nothing that is refused gets to it
    harness.agent.server.authority = authority
    return harness


def asked(harness: GuardedHarness, secret: str, request_line: str, body: Any) -> Response:
    """Headers of ours are for clients with a `User-Agent`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return harness.ask(request_line, data, X_Consul_Token=secret, User_Agent="test")


@pytest.mark.parametrize(("request_line", "body", "missing"), REFUSED)
def test_a_refusal_names_token_and_right(harness: GuardedHarness, request_line: str, body: Any, missing: str) -> None:
    secret = harness.token("")
    accessor = harness.as_(secret, "GET /v1/acl/token/self").json["AccessorID"]
    answer = asked(harness, secret, request_line, body)
    assert answer.status in (403, 409, 500), answer.text
    assert answer.headers["x-consulpy-denied"] == f"accessor={accessor}, {missing}"
    assert "missing" not in answer.text.lower().replace("missing service", "")
    assert json.dumps(secret) not in answer.text


def test_a_transaction_that_fails_otherwise_lacks_nothing(harness: GuardedHarness) -> None:
    operations = [{"KV": {"Verb": "check-index", "Key": "c", "Index": 1}}]
    answer = asked(harness, MASTER, "PUT /v1/txn", operations)
    assert (answer.status, answer.headers.get("x-consulpy-denied")) == (409, None)
