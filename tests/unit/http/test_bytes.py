"""Keys and names are bytes, as in Consul: any that a path can carry are put, read, listed and deleted.

The values are those of real Consul 1.8.7, asked the same.
"""

import pytest

from tests.harness.http import HttpHarness, InMemoryClient


def keys(harness: HttpHarness, target: str) -> object:
    return harness.ask(f"GET {target}").json


def test_a_key_of_any_bytes_is_put_read_listed_and_deleted() -> None:
    harness = HttpHarness()
    assert harness.ask("PUT /v1/kv/caf%E9", "one").json is True
    assert harness.ask("PUT /v1/kv/caf%C3%A9", "two").json is True
    assert harness.ask("GET /v1/kv/caf%E9?raw").body == b"one"
    assert harness.ask("GET /v1/kv/caf%C3%A9?raw").body == b"two"
    assert b'"Key":"caf\\ufffd"' in harness.ask("GET /v1/kv/caf%E9").body
    assert harness.ask("GET /v1/kv/caf?keys").body == '["café","caf\\ufffd"]'.encode()
    assert [row["Value"] for row in harness.ask("GET /v1/kv/caf?recurse").json] == ["dHdv", "b25l"]
    assert harness.ask("PUT /v1/kv/caf%E9?cas=0", "x").json is False
    assert harness.ask("DELETE /v1/kv/caf%E9").json is True
    assert keys(harness, "/v1/kv/caf?keys") == ["café"]


def test_every_byte_that_is_no_text_is_shown_as_one_replacement_character() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/kv/q%E2%82", "x")
    assert b'"Key":"q\\ufffd\\ufffd"' in harness.ask("GET /v1/kv/q%E2%82").body
    assert harness.ask("GET /v1/kv/q?keys&pretty").body == b'[\n    "q\\ufffd\\ufffd"\n]\n'


def test_keys_stand_in_the_order_of_their_bytes() -> None:
    harness = HttpHarness()
    for key in ("%F0%9F%98%80", "%E9", "%EF%BF%BD", "%80", "%C3%A9", "z"):
        harness.tell(f"PUT /v1/kv/k{key}", key)
    values = [harness.ask(f"GET /v1/kv/k{key}?raw").text for key in ("%80", "z")]
    assert values == ["%80", "z"]
    assert keys(harness, "/v1/kv/k?keys") == ["kz", "k\ufffd", "ké", "k\ufffd", "k\ufffd", "k😀"]


def test_a_prefix_or_a_separator_may_be_a_part_of_a_character() -> None:
    harness = HttpHarness()
    for key in ("caf%C3%A9/a", "caf%C3%A9/b", "caf%E9/c", "caf%E9/d"):
        harness.tell(f"PUT /v1/kv/{key}", "x")
    assert keys(harness, "/v1/kv/caf%C3?keys") == ["café/a", "café/b"]
    assert keys(harness, "/v1/kv/caf%C3?keys&separator=/") == ["café/"]
    assert keys(harness, "/v1/kv/caf?keys&separator=%A9") == ["café", "caf\ufffd/c", "caf\ufffd/d"]
    assert keys(harness, "/v1/kv/caf%E9?keys&separator=/") == ["caf\ufffd/"]
    assert harness.ask("DELETE /v1/kv/caf%C3?recurse").json is True
    assert keys(harness, "/v1/kv/?keys") == ["caf\ufffd/c", "caf\ufffd/d"]


@pytest.mark.parametrize("prefix", ["w%C3", "w%C3%A9", "w"])
def test_who_waits_for_a_prefix_of_bytes_is_woken(prefix: str) -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/kv/other", "x")
    index = harness.agent.server.store.index
    waiting = harness.begin(f"GET /v1/kv/{prefix}?recurse&index={index}")
    assert waiting.answer is None
    harness.tell("PUT /v1/kv/w%C3%A9", "x")
    harness.agent.clock.advance(0)
    assert waiting.answer is not None
    assert waiting.answer.json[0]["Key"] == "wé"


def test_a_session_locks_a_key_of_any_bytes() -> None:
    harness = HttpHarness()
    check = {"Node": "agent-one", "CheckID": "serfHealth", "Name": "s", "Status": "passing"}
    harness.tell("PUT /v1/catalog/register", {"Node": "agent-one", "Address": "10.0.0.1", "Check": check})
    session = harness.ask("PUT /v1/session/create").json["ID"]
    assert harness.ask(f"PUT /v1/kv/l%FF?acquire={session}").json is True
    assert harness.ask("GET /v1/kv/l%FF").json[0]["Session"] == session
    assert harness.ask(f"PUT /v1/kv/l%FF?release={session}").json is True


@pytest.mark.parametrize("target", ["/v1/kv/caf\xe9", "/v1/kv/caf%E9", "/v1/kv/caf\xe9?x=\xe9"])
def test_a_request_line_may_have_bytes_that_are_not_escaped(target: str) -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/kv/caf%E9", "one")
    asking = InMemoryClient(harness)
    asking.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1"))
    assert asking.answer is not None
    assert asking.answer.status == 200


def test_a_note_may_come_as_it_is_typed() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/agent/check/register", {"Name": "c", "TTL": "1m"})
    asking = InMemoryClient(harness)
    asking.send("PUT /v1/agent/check/pass/c?note=höhe HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
    assert asking.answer is not None
    assert asking.answer.status == 200
    assert harness.ask("GET /v1/agent/checks").json["c"]["Output"] == "höhe"


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        ("GET /v1/catalog/service/x%E9", 200, "[]"),
        ("GET /v1/catalog/node/x%E9", 200, "null"),
        ("GET /v1/health/node/x%E9", 200, "[]"),
        ("GET /v1/query/x%E9/execute", 404, "Query not found"),
        ("GET /v1/config/service-defaults/x%E9", 404, 'Config entry not found for "service-defaults" / "x\\xe9"'),
        ("PUT /v1/agent/check/pass/x%E9", 500, 'CheckID "x\\xe9" does not have associated TTL'),
        ("GET /v1/coordinate/node/x%E9", 404, ""),
        ("GET /v1/x%E9", 404, ""),
        ("GET /v1/kv/u%E2%80%A8x", 400, ""),
        ("PUT /v1/kv/a%00b", 400, ""),
    ],
)
def test_other_endpoints_take_bytes_for_what_they_are(request_: str, status: int, text: str) -> None:
    answer = HttpHarness().ask(request_)
    assert (answer.status, answer.text) == (status, text)


def test_a_plain_error_has_the_bytes_as_they_came() -> None:
    answer = HttpHarness().ask("GET /v1/agent/service/x%E9")
    assert (answer.status, answer.body) == (404, b"unknown service ID: x\xe9")


def test_a_redirect_keeps_the_bytes() -> None:
    answer = HttpHarness().ask("GET /v1/catalog//x%E9")
    assert (answer.status, answer.headers["location"]) == (301, "/v1/catalog/x%E9")


@pytest.mark.parametrize("kind", ["name", "id"])
def test_the_reason_for_a_health_has_the_bytes_as_they_came(kind: str) -> None:
    asking = InMemoryClient(HttpHarness())
    asking.send(f"GET /v1/agent/health/service/{kind}/x%E9 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    reason = next(line for line in asking.raw.split(b"\r\n") if line.lower().startswith(b"x-consul-reason: "))
    assert b" x\xe9 " in reason


@pytest.mark.parametrize("target", ["/v1/kv/a{}b", "/v1/status/leader?a={}", "/{}"])
@pytest.mark.parametrize("control", ["\x00", "\x01", "\t", "\x1f", "\x7f"])
def test_a_request_line_with_a_control_character_is_refused(target: str, control: str) -> None:
    asking = InMemoryClient(HttpHarness())
    asking.send(f"GET {target.format(control)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert asking.answer is not None
    assert (asking.answer.status, asking.answer.text) == (400, "400 Bad Request")
