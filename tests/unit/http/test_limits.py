"""What no client may do to the HTTP API, and what it is told."""

from typing import Any

import pytest
from twisted.internet.address import IPv4Address

from consulpy.http.connection.early_channel import LINGER_S
from consulpy.http.connection.factory import REFUSING_MAX
from consulpy.http.connection.limits import BODY_MAX_BYTES, IDLE_TIMEOUT_S, REQUEST_TIMEOUT_S, ConnectionLimits
from consulpy.http.connection.request import UPLOADS_MAX
from consulpy.http.errors import HEADERS_MAX, HEADERS_MAX_BYTES, LINE_MAX_BYTES
from consulpy.rpc.spool_file import MEMORY_BYTES
from tests.harness.http import HttpHarness, InMemoryClient


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness()


def begun(harness: HttpHarness, data: bytes) -> InMemoryClient:
    asking = InMemoryClient(harness)
    asking.send(data)
    return asking


def test_a_body_that_announces_too_much_is_refused_unread(harness: HttpHarness) -> None:
    asking = begun(
        harness, b"PUT /v1/catalog/register HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX_BYTES + 1)
    )
    assert asking.answer is not None
    assert (asking.answer.status, asking.answer.headers["connection"]) == (413, "close")
    assert asking.answer.text == "Request body too large, max size: 8388608 bytes."
    asking.send(b"{" * 100_000)
    harness.agent.clock.advance(LINGER_S)
    assert not asking.transport.connected
    assert asking.raw.count(b"HTTP/1.1") == 1, "one answer, and no route was asked"


def test_a_body_in_chunks_is_counted(harness: HttpHarness) -> None:
    asking = begun(harness, b"PUT /v1/catalog/register HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    for _ in range(9):
        asking.send(chunk)
    asking.send(b"0\r\n\r\n")
    assert asking.answer is not None
    assert asking.answer.status == 413
    assert asking.raw.count(b"HTTP/1.1") == 1


def test_so_many_snapshots_are_received_at_a_time(harness: HttpHarness) -> None:
    """Each may be large, and comes before it is known whether its client may send it."""
    head = b"PUT /v1/snapshot HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (3 * MEMORY_BYTES)
    body = bytes(MEMORY_BYTES + 1)
    open_ = [begun(harness, head + body) for _ in range(UPLOADS_MAX)]
    assert [each.answer for each in open_] == [None] * UPLOADS_MAX
    small = begun(harness, head + bytes(MEMORY_BYTES))
    assert small.answer is None
    small.send(b"x")
    assert small.answer is not None
    assert (small.answer.status, small.answer.headers["connection"]) == (503, "close")

    open_[0].hang_up()
    again = begun(harness, head + body)
    assert again.answer is None
    again.hang_up()
    for each in open_[1:]:
        each.hang_up()
    assert harness.service.factory.uploads == 0


def test_a_body_in_chunks_arrives_whole(harness: HttpHarness) -> None:
    asking = begun(harness, b"PUT /v1/event/fire/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    asking.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert asking.answer is not None
    assert asking.answer.json["Payload"] == "YWJjZGU="


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * LINE_MAX_BYTES + b" HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * HEADERS_MAX_BYTES + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: %s\r\n" % (n, b"a" * 4000) for n in range(300)),
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * (HEADERS_MAX + 1),
        b"a" * (HEADERS_MAX_BYTES + 1),
    ],
    ids=["path", "header", "many headers", "many short headers", "no line at all"],
)
def test_headers_have_a_limit(harness: HttpHarness, head: bytes) -> None:
    asking = begun(harness, head + b"\r\n")
    assert asking.answer is not None
    assert (asking.answer.status, asking.answer.text) == (431, "431 Request Header Fields Too Large")


@pytest.mark.parametrize("field", [b"X: " + b"a" * 1_000_000 + b"\r\n", b"A: b\r\n" * (HEADERS_MAX - 10)])
def test_headers_may_be_as_large_as_in_go(harness: HttpHarness, field: bytes) -> None:
    """Bearer tokens with many groups, and the cookies of a host, exceed 64 KiB."""
    asking = begun(harness, b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n")
    assert asking.answer is not None
    assert asking.answer.status == 200


def test_a_thousand_parameters_are_no_fault(harness: HttpHarness) -> None:
    assert harness.ask("GET /v1/catalog/nodes?" + "node-meta=a:b&" * 1500).json == []


def test_a_long_filter_is_no_problem(harness: HttpHarness) -> None:
    expression = "%20or%20".join(f"Node==n{number}" for number in range(1500))
    assert harness.ask(f"GET /v1/catalog/nodes?filter={expression}").status == 200


@pytest.mark.parametrize(
    "part", [b"GET / HT", b"PUT /v1/event/fire/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"]
)
def test_a_request_that_drips_is_ended(harness: HttpHarness, part: bytes) -> None:
    asking = begun(harness, part[:1])
    step_s = REQUEST_TIMEOUT_S / len(part)
    for number in range(1, len(part)):
        harness.agent.clock.advance(step_s)
        asking.send(part[number : number + 1])
    assert asking.answer is None
    harness.agent.clock.advance(2 * step_s)
    assert asking.answer is not None
    assert asking.answer.status == 408


def limited(**limits: Any) -> HttpHarness:
    return HttpHarness(limits=ConnectionLimits(**limits))


def test_times_are_those_of_the_settings() -> None:
    """`http_config` of Consul 1.22: read_timeout, read_header_timeout, idle_timeout."""
    harness = limited(idle_s=600.0, request_s=300.0, head_s=20.0)
    idle, slow_head = InMemoryClient(harness), begun(harness, b"GET / HT")
    slow_body = begun(harness, b"PUT /v1/event/fire/x HTTP/1.1\r\nHost: a\r\n")
    slow_body.send(b"Content-Length: 99\r\n\r\nab")
    harness.agent.clock.advance(19)
    assert slow_head.answer is None
    harness.agent.clock.advance(2)
    assert slow_head.answer is not None
    assert (slow_head.answer.status, slow_head.answer.text) == (
        408,
        "The head of the request took more than 20 s to arrive.",
    )
    harness.agent.clock.advance(278)
    assert slow_body.answer is None
    harness.agent.clock.advance(2)
    assert slow_body.answer is not None
    assert (slow_body.answer.status, slow_body.answer.text) == (408, "The request took more than 300 s to arrive.")
    assert idle.transport.connected
    harness.agent.clock.advance(300)
    assert not idle.transport.connected


def test_a_request_may_take_any_time_if_that_is_set() -> None:
    harness = limited(request_s=0.0, idle_s=3600.0)
    asking = begun(harness, b"GET /v1/status/leader HTTP/1.1\r\n")
    harness.agent.clock.advance(3000)
    asking.send(b"Host: a\r\n\r\n")
    assert asking.answer is not None
    assert asking.answer.status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"PUT /v1/catalog/register HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n" + b" " * 101, 413),
        (b"PUT /v1/event/fire/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n" + b" " * 100, 200),
        (b"PUT /v1/event/fire/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", 413),
        (b"GET /v1/status/leader?" + b"a" * 500 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 500 + b"\r\n\r\n", 431),
        (b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200 + b"\r\n\r\n", 200),
    ],
)
def test_sizes_are_those_of_the_settings(request_: bytes, status: int) -> None:
    """`http_config.max_header_bytes` of Consul 1.10, `limits.http_max_request_body_size` of 2.1."""
    asking = begun(limited(head_bytes=400, body_bytes=100), request_)
    assert asking.answer is not None
    assert asking.answer.status == status


def test_sizes_above_the_defaults_too() -> None:
    head = b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\nX: " + b"a" * HEADERS_MAX_BYTES + b"\r\n\r\n"
    asking = begun(limited(head_bytes=2 * HEADERS_MAX_BYTES), head)
    assert asking.answer is not None
    assert asking.answer.status == 200


def test_a_silent_client_is_cut_off(harness: HttpHarness) -> None:
    asking = InMemoryClient(harness)
    harness.agent.clock.advance(IDLE_TIMEOUT_S + 1)
    assert not asking.transport.connected


def test_a_client_that_waits_for_an_answer_is_not_idle(harness: HttpHarness) -> None:
    asking = harness.begin("GET /v1/event/list?index=1&wait=5m")
    for _ in range(3):
        harness.agent.clock.advance(REQUEST_TIMEOUT_S - 30)
    assert asking.transport.connected
    assert asking.answer is None


def test_connections_of_one_client_have_a_limit() -> None:
    harness = HttpHarness(connections_per_client=2)
    first, second = InMemoryClient(harness), InMemoryClient(harness)
    third = refused(harness, "127.0.0.9")
    assert b"429 Too Many Requests" in third.raw
    assert not third.transport.connected
    assert harness.site.refused == 1
    assert refused(harness, "127.0.0.8").raw == b"", "another client is not concerned"
    first.hang_up()
    assert refused(harness, "127.0.0.9").raw == b""
    assert second.transport.connected


def test_those_above_the_limit_that_wait_for_a_handshake_are_few() -> None:
    """Over TLS the refusal is told after the handshake, for which a client may let us wait."""
    harness = HttpHarness(connections_per_client=1)
    first = InMemoryClient(harness)
    waiting = [harness.site.buildProtocol(first.address) for _ in range(REFUSING_MAX + 10)]
    assert [each is None for each in waiting] == [False] * REFUSING_MAX + [True] * 10
    waiting[0].connectionLost()
    assert harness.site.buildProtocol(first.address) is not None
    assert harness.site.refused == REFUSING_MAX + 11


def test_those_above_the_limit_take_no_descriptor_that_is_reserved_for_other_things() -> None:
    """With few descriptors, half TLS handshakes left none for script checks."""
    harness = HttpHarness(connections_per_client=2)
    harness.site.connections.total = 3
    first = InMemoryClient(harness)
    InMemoryClient(harness)
    assert [harness.site.buildProtocol(first.address) is None for _ in range(3)] == [False, True, True]
    assert not refused(harness, "127.0.0.8").raw
    assert harness.site.buildProtocol(first.address) is None


def refused(harness: HttpHarness, host: str) -> InMemoryClient:
    class Elsewhere(InMemoryClient):
        address = IPv4Address("TCP", host, 1)

    return Elsewhere(harness)


def test_no_limit_when_it_is_0() -> None:
    harness = HttpHarness(connections_per_client=0)
    assert all(InMemoryClient(harness).transport.connected for _ in range(500))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_no_http_costs_its_own_connection(harness: HttpHarness, data: bytes) -> None:
    asking = begun(harness, data)
    assert asking.raw.startswith(b"HTTP/1.1 400 Bad Request")
    harness.agent.clock.advance(LINGER_S)
    assert not asking.transport.connected
    assert harness.ask("GET /v1/status/leader").status == 200


@pytest.mark.parametrize("host", ["", "a..b", "xn--a", "[::1", "a" * 300])
def test_any_host_header_will_do(harness: HttpHarness, host: Any) -> None:
    asking = begun(harness, b"GET /v1/status/leader HTTP/1.1\r\nHost: " + host.encode("latin-1") + b"\r\n\r\n")
    assert asking.answer is not None
    assert asking.answer.status == 200


def test_several_requests_on_one_connection(harness: HttpHarness) -> None:
    asking = begun(harness, b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    assert asking.raw.count(b"HTTP/1.1 200 OK") == 3


class Counted(InMemoryClient):
    """A connection that ends as Twisted's do when it is aborted."""

    def __init__(self, harness: HttpHarness) -> None:
        super().__init__(harness)
        self.transport.abortConnection = self.hang_up


def test_when_all_connections_are_in_use_the_one_idle_for_longest_goes() -> None:
    harness = HttpHarness(connections_per_client=0)
    harness.site.connections.total = 6
    silent, partly, slow, waiting, asked, kept = (Counted(harness) for _ in range(6))
    partly.send(b"GET /v1/status/lea")
    slow.send(b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    waiting.send(b"GET /v1/event/list?index=1&wait=5m HTTP/1.1\r\nHost: a\r\n\r\n")
    asked.send(b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n")
    kept.send(b"GET /v1/catalog/nodes?index=1000&wait=5m HTTP/1.1\r\nHost: a\r\n\r\n")
    for gone in (silent, partly, slow, asked):
        assert gone.transport.connected
        Counted(harness).send(b"GET /v1/catalog/nodes?index=1000&wait=5m HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not gone.transport.connected
    assert waiting.transport.connected, "it waits for an answer"
    assert kept.transport.connected
    assert harness.site.buildProtocol(InMemoryClient.address) is None, "all wait for an answer"
    assert len(harness.site.connections) == 6


def test_many_fields_are_taken_as_long_as_they_are_small() -> None:
    harness = HttpHarness()
    client = InMemoryClient(harness)
    fields = b"".join(b"X%d: y\r\n" % number for number in range(3000))
    client.send(b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert client.answer is not None
    assert client.answer.status == 200
