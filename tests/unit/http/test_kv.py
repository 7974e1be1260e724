"""Keys, sessions and transactions through the HTTP API; tests/conformance has the answers of real Consul."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from consulpy.http.api.routes.session import _session_in
from consulpy.http.api.write_limits import WriteLimits
from tests.harness.http import FakeAgent, HttpHarness


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness(FakeAgent().start())


def test_a_key_is_written_read_and_removed(harness: HttpHarness) -> None:
    assert harness.ask("PUT /v1/kv/a/b?flags=7", b"x").text == "true"
    (entry,) = json.loads(harness.ask("GET /v1/kv/a/b").text)
    assert (entry["Key"], entry["Value"], entry["Flags"]) == ("a/b", "eA==", 7)
    assert harness.ask("GET /v1/kv/a/b?raw").text == "x"
    assert harness.ask("GET /v1/kv/a/?keys").text == '["a/b"]'
    assert harness.ask("DELETE /v1/kv/a/?recurse").text == "true"
    assert harness.ask("GET /v1/kv/a/b").status == 404


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("PUT /v1/kv/", 400, "Missing key name"),
        ("PUT /v1/kv/a?flags=x", 500, 'strconv.ParseUint: parsing "x": invalid syntax'),
        ("PUT /v1/kv/a?cas=1&acquire=b", 400, "Conflicting flags: acquire=b&cas=1"),
        ("DELETE /v1/kv/a?recurse&cas=1", 400, "Conflicting flags: cas=1&recurse="),
        ("PUT /v1/session/renew/", 400, "Missing session"),
        ("PUT /v1/txn", 400, "Failed to parse body: EOF"),
    ],
)
def test_mistakes_in_consuls_words(harness: HttpHarness, line: str, status: int, text: str) -> None:
    answer = harness.ask(line)
    assert (answer.status, answer.text.strip()) == (status, text)


def test_values_end_at_512_kib(harness: HttpHarness) -> None:
    assert harness.ask("PUT /v1/kv/big", b"x" * (512 * 1024)).text == "true"
    answer = harness.ask("PUT /v1/kv/big", b"x" * (512 * 1024 + 1))
    assert answer.status == 413
    assert answer.text.startswith("Request body(524289 bytes) too large, max size: 524288 bytes.")


def test_a_session_locks_a_key(harness: HttpHarness) -> None:
    created = harness.ask("PUT /v1/session/create", b'{"NodeChecks": [], "LockDelay": "0s"}')
    session = json.loads(created.text)["ID"]
    assert harness.ask(f"PUT /v1/kv/l?acquire={session}", b"me").text == "true"
    (entry,) = json.loads(harness.ask("GET /v1/kv/l").text)
    assert (entry["Session"], entry["LockIndex"]) == (session, 1)
    assert harness.ask(f"PUT /v1/session/destroy/{session}").text == "true"
    assert "Session" not in json.loads(harness.ask("GET /v1/kv/l").text)[0]


@pytest.mark.parametrize(
    ("body", "checks"),
    [
        ({}, ["serfHealth"]),
        ({"NodeChecks": [None]}, ["serfHealth"]),
        ({"NodeChecks": [None, "x"]}, ["serfHealth", "x"]),
        ({"NodeChecks": []}, []),
        ({"NodeChecks": None}, None),
        ({"Checks": None}, []),
        ({"Checks": None, "NodeChecks": ["x"]}, []),
        ({"Checks": ["serfHealth"], "NodeChecks": None}, None),
        ({"Name": None, "Behavior": None, "LockDelay": None}, ["serfHealth"]),
    ],
)
def test_a_null_in_a_session_is_what_consul_makes_of_it(body: dict[str, Any], checks: list[str] | None) -> None:
    request: Any = SimpleNamespace(body=json.dumps(body).encode())
    agent: Any = SimpleNamespace(node_name="n")
    assert _session_in(agent, request).node_checks == checks


def test_a_transaction_is_all_or_nothing(harness: HttpHarness) -> None:
    body = b'[{"KV": {"Verb": "set", "Key": "t", "Value": "MQ=="}}, {"KV": {"Verb": "get", "Key": "none"}}]'
    answer = harness.ask("PUT /v1/txn", body)
    assert answer.status == 409
    errors = [{"OpIndex": 1, "What": 'key "none" doesn\'t exist'}]
    assert json.loads(answer.text) == {"Results": None, "Errors": errors}
    assert harness.ask("GET /v1/kv/t").status == 404
    assert harness.ask("PUT /v1/txn", b"[" + b",".join([b"{}"] * 129) + b"]").status == 413


def test_limits_are_those_of_the_configuration(harness: HttpHarness) -> None:
    """Texts as a real agent with the same limits words them."""
    harness.agent.limits = WriteLimits(value_bytes=10, txn_bytes=100, txn_operations=2)
    tail = "See https://www.consul.io/docs/agent/options.html"
    large = harness.ask("PUT /v1/kv/a", b"12345678901")
    assert (large.status, large.text) == (
        413,
        f"Request body(11 bytes) too large, max size: 10 bytes. {tail}#kv_max_value_size.",
    )
    value = b'[{"KV":{"Verb":"set","Key":"a","Value":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="}}]'
    assert harness.ask("PUT /v1/txn", value).text == 'Value for key "a" is too large (20 > 10 bytes)'
    whole = b"[" + b",".join([b'{"KV":{"Verb":"set","Key":"a","Value":"MTIz"}}'] * 3) + b"]"
    assert harness.ask("PUT /v1/txn", whole).text == (
        f"Request body({len(whole)} bytes) too large, max size: 100 bytes. {tail}#txn_max_req_len."
    )
    harness.agent.limits = WriteLimits(txn_operations=2)
    assert harness.ask("PUT /v1/txn", whole).text == "Transaction contains too many operations (3 > 2)"


_BYTES = "Failed to parse body: json: cannot unmarshal {} into Go struct field KVTxnOp.KV.Value of type {}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 255], b"\x01\xff"),
        ([104, None], b"h\0"),
        ([], b""),
        (None, b""),
        ([256], _BYTES.format("number 256", "uint8")),
        ([-1], _BYTES.format("number -1", "uint8")),
        ([1.5], _BYTES.format("number 1.5", "uint8")),
        (["a"], _BYTES.format("string", "uint8")),
        ([[1]], _BYTES.format("array", "uint8")),
        (1, _BYTES.format("number", "[]uint8")),
        ({}, _BYTES.format("object", "[]uint8")),
    ],
)
def test_a_value_of_a_transaction_may_be_a_list_of_bytes(
    harness: HttpHarness, value: Any, expected: bytes | str
) -> None:
    """As Go reads a `[]byte`. Recorded from real Consul."""
    answer = harness.ask("PUT /v1/txn", json.dumps([{"KV": {"Verb": "set", "Key": "bytes", "Value": value}}]))
    if isinstance(expected, str):
        assert (answer.status, answer.text) == (400, expected)
    else:
        assert answer.status == 200
        assert harness.ask("GET /v1/kv/bytes?raw").body == expected
