"""Responses without a body that nobody reads, and to clients that end their own side.

Statuses are those of real Consul.
"""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from consulpy.errors import RPCError
from consulpy.http.connection.early_channel import BODY_WITHIN_S, HALF_CLOSED_S, LINGER_S, UNREAD_MAX_BYTES
from tests.harness.http import HttpHarness, InMemoryClient

LARGE = UNREAD_MAX_BYTES
NEXT = b"PUT /v1/kv/smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"


def head(method: str, path: str, length: int | str, *more: str) -> bytes:
    framing = "Transfer-Encoding: chunked" if length == "chunked" else f"Content-Length: {length}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", framing, *more, "", ""]).encode()


def hang_up_own_side(client: InMemoryClient) -> None:
    client.transport.protocol.readConnectionLost()


UNREAD = [
    ("GET", "/v1/status/leader", 200),
    ("GET", "/v1/kv/none", 404),
    ("GET", "/v1/kv/%C3%A9%20x", 404),
    ("GET", "/v1/nope", 404),
    ("GET", "/v1/catalog/nodes?index=x", 400),
    ("GET", "/v1/session/create", 405),
    ("PUT", "/v1/status/leader", 405),
    ("POST", "/v1/kv/a", 405),
    ("FOO", "/v1/kv/a", 405),
    ("OPTIONS", "/v1/kv/a", 200),
    ("DELETE", "/v1/kv/a", 200),
    ("PUT", "/v1/kv/a?cas=x", 500),
    ("PUT", "/v1/kv/", 400),
    ("PUT", "/v1/session/destroy/aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", 200),
    ("PUT", "/", 200),
    ("PUT", "/v1//kv/a", 301),
    ("PUT", "/v1/kv/%zz", 400),
    ("GET", "/ui/", 404),
]
READ = [("PUT", "/v1/kv/a"), ("PUT", "/v1/txn"), ("PUT", "/v1/session/create"), ("POST", "/v1/query")]


@pytest.mark.parametrize(("method", "path", "status"), UNREAD)
@pytest.mark.parametrize("length", [LARGE, 10**12])
def test_a_large_body_that_nobody_reads_is_not_awaited(
    method: str, path: str, status: int, length: int, faults: list[str]
) -> None:
    harness = HttpHarness()
    client = InMemoryClient(harness)
    client.send(head(method, path, length))
    assert client.answer is not None
    assert (client.answer.status, client.answer.headers["connection"]) == (status, "close")
    client.send(NEXT)
    harness.agent.clock.advance(LINGER_S)
    assert client.raw.count(b"HTTP/1.1 ") == 1
    assert not client.transport.connected
    assert harness.ask("GET /v1/kv/?keys").json == []
    assert faults == []


@pytest.mark.parametrize(("method", "path", "status"), UNREAD)
@pytest.mark.parametrize("length", [5, LARGE - 1, "chunked"])
def test_a_small_one_is_awaited_for_a_moment(method: str, path: str, status: int, length: Any) -> None:
    """Then the connection ends: what would come is the body, not a request."""
    harness = HttpHarness()
    client = InMemoryClient(harness)
    client.send(head(method, path, length))
    assert client.answer is None
    harness.agent.clock.pump([BODY_WITHIN_S / 2] * 4)
    assert client.answer is not None
    assert (client.answer.status, client.answer.headers["connection"]) == (status, "close")
    client.send(NEXT)
    harness.agent.clock.advance(LINGER_S)
    assert client.raw.count(b"HTTP/1.1 ") == 1
    assert not client.transport.connected


@pytest.mark.parametrize(("method", "path", "status"), UNREAD)
def test_who_asks_for_leave_to_send_one_gets_the_response_at_once(method: str, path: str, status: int) -> None:
    client = InMemoryClient(HttpHarness())
    client.send(head(method, path, 5, "Expect: 100-continue"))
    assert client.answer is not None
    assert client.answer.status == status
    assert b"100 Continue" not in client.raw


@pytest.mark.parametrize(("method", "path"), READ)
@pytest.mark.parametrize("length", [5, LARGE, "chunked"])
def test_a_body_that_is_read_is_awaited(method: str, path: str, length: Any) -> None:
    harness = HttpHarness()
    client = InMemoryClient(harness)
    client.send(head(method, path, length))
    harness.agent.clock.pump([BODY_WITHIN_S / 2] * 8)
    assert client.raw == b""
    client = InMemoryClient(harness)
    client.send(head(method, path, length, "Expect: 100-continue"))
    assert client.raw == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_body_that_comes_in_time_keeps_the_connection() -> None:
    harness = HttpHarness()
    client = InMemoryClient(harness)
    for _ in range(3):
        client.send(head("GET", "/v1/status/leader", 300))
        harness.agent.clock.advance(BODY_WITHIN_S / 2)
        client.send(b"x" * 300)
        harness.agent.clock.advance(BODY_WITHIN_S * 3)
    assert client.raw.count(b"HTTP/1.1 200 OK") == 3
    assert b"close" not in client.raw


def test_a_value_that_is_too_large_is_refused_before_it_comes() -> None:
    client = InMemoryClient(HttpHarness())
    client.send(head("PUT", "/v1/kv/a", 600_000))
    assert client.answer is not None
    assert client.answer.status == 413
    assert "Request body(600000 bytes) too large, max size: 524288 bytes" in client.answer.text


@pytest.mark.parametrize("framing", ["5", "0x", "chunked"])
def test_a_head_request_has_no_body(framing: str) -> None:
    """As in Go: what a HEAD announces may be a request that somebody hides."""
    client = InMemoryClient(HttpHarness())
    client.send(head("HEAD", "/v1/status/leader", framing))
    assert client.raw.startswith(b"HTTP/1.1 400 ")


class SlowHarness(HttpHarness):
    """Deletions and reads of keys are answered when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Deferred[Any]]] = []
        self.agent.caller = self

    def call(self, method: str, *_arguments: Any) -> "Deferred[Any]":
        waiting: Deferred[Any] = Deferred()
        self.calls.append((method, waiting))
        return waiting


def test_an_endpoint_that_has_begun_is_not_called_again() -> None:
    harness = SlowHarness()
    client = InMemoryClient(harness)
    client.send(head("DELETE", "/v1/kv/a?cas=7", LARGE))
    client.send(b"x" * LARGE)
    harness.agent.clock.advance(200.0)
    assert client.raw == b""
    harness.calls[0][1].callback(True)
    assert client.answer is not None
    assert (client.answer.status, client.answer.text) == (200, "true")
    assert len(harness.calls) == 1


def test_its_error_is_the_response() -> None:
    harness = SlowHarness()
    client = InMemoryClient(harness)
    client.send(head("DELETE", "/v1/kv/a", LARGE))
    harness.calls[0][1].errback(RPCError("No cluster leader"))
    assert client.answer is not None
    assert (client.answer.status, client.answer.text) == (500, "No cluster leader")


def test_a_client_that_hangs_up_ends_the_attempt(faults: list[str]) -> None:
    harness = SlowHarness()
    client = InMemoryClient(harness)
    client.send(head("DELETE", "/v1/kv/a", LARGE))
    client.hang_up()
    assert harness.calls[0][1].called, "cancelled"
    assert faults == []


@pytest.mark.parametrize("pieces", [1, 3])
def test_who_ends_the_own_side_gets_all_responses(pieces: int) -> None:
    """`printf ... | nc -N HOST 8500`, and scripts that shut their side down behind the last request."""
    harness = SlowHarness()
    client = InMemoryClient(harness)
    put = b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
    requests = put + b"DELETE /v1/kv/b%20 HTTP/1.1\r\nHost: a\r\n\r\n" + put
    for at in range(pieces):
        client.send(requests[at * 60 : (at + 1) * 60 if at + 1 < pieces else None])
    hang_up_own_side(client)
    for at in range(3):
        assert len(harness.calls) == at + 1
        assert client.transport.connected
        harness.agent.clock.advance(1.0)
        harness.calls[at][1].callback(True)
    assert client.raw.count(b"HTTP/1.1 200 OK") == 3
    assert not client.transport.connected


def test_it_is_not_waited_for_ever() -> None:
    harness = SlowHarness()
    client = InMemoryClient(harness)
    client.send(b"GET /v1/kv/a HTTP/1.1\r\nHost: a\r\n\r\n")
    hang_up_own_side(client)
    harness.agent.clock.advance(HALF_CLOSED_S - 1)
    assert client.transport.connected
    hang_up_own_side(client)
    harness.agent.clock.advance(1)
    assert not client.transport.connected
    assert harness.calls[0][1].called, "cancelled"


@pytest.mark.parametrize(
    "part",
    [
        b"GET /v1/sta",
        b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n",
        head("PUT", "/v1/kv/a", 5) + b"abc",
        head("PUT", "/v1/kv/a", 5),
        head("PUT", "/v1/kv/a", "chunked") + b"5\r\nab",
        head("PUT", "/v1/kv/a%20b", 5),
    ],
)
def test_a_request_without_an_end_is_refused(part: bytes) -> None:
    harness = HttpHarness()
    client = InMemoryClient(harness)
    client.send(part)
    hang_up_own_side(client)
    assert client.raw.startswith(b"HTTP/1.1 400 Bad Request")
    harness.agent.clock.advance(LINGER_S)
    assert not client.transport.connected
    assert harness.ask("GET /v1/kv/?keys").json == []


@pytest.mark.parametrize("path", ["/v1/status/leader", "/"])
def test_one_whose_body_nobody_reads_is_answered(path: str) -> None:
    client = InMemoryClient(HttpHarness())
    client.send(head("GET", path, 5) + b"ab")
    hang_up_own_side(client)
    assert client.raw.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("behind", [b"", b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_who_only_waits_and_ends_its_side_has_gone(behind: bytes) -> None:
    """So do watchers that are stopped, of which there may be thousands."""
    harness = HttpHarness()
    client = InMemoryClient(harness)
    client.send(behind + b"GET /v1/kv/a?index=100000 HTTP/1.1\r\nHost: a\r\n\r\n")
    hang_up_own_side(client)
    assert not client.transport.connected
    assert harness.agent.server.waiting == 0


def test_so_has_who_waits_and_announced_a_body() -> None:
    harness = SlowHarness()
    client = InMemoryClient(harness)
    client.send(head("GET", "/v1/kv/a?index=100000", LARGE))
    hang_up_own_side(client)
    assert not client.transport.connected
    assert harness.calls[0][1].called, "cancelled"


def test_an_idle_connection_is_closed_with_its_client() -> None:
    harness = HttpHarness()
    first, second = InMemoryClient(harness), harness.begin("GET /v1/kv/%C3%A9")
    for client in (first, second):
        hang_up_own_side(client)
        assert not client.transport.connected
