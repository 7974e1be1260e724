"""Odd request lines, fields and framings: one answer and an end, never silence, never two requests out of one."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from consulpy.http.connection.early_channel import LINGER_S
from consulpy.http.connection.limits import IDLE_TIMEOUT_S, REQUEST_TIMEOUT_S
from tests.harness.effort import cases
from tests.harness.http import HttpHarness, InMemoryClient

SMUGGLED = b"PUT /v1/kv/smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
PUT = b"PUT /v1/kv/outer HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    "head",
    [
        PUT + b"Transfer-Encoding: identity\r\n\r\n",
        PUT + b"Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
        PUT + b"Content-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n",
        PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked, identity\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        PUT + b"Transfer-Encoding: xchunked\r\n\r\n",
        PUT + b"Transfer-Encoding:\r\n\r\n",
        PUT + b"Transfer-Encoding : chunked\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
        PUT + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        PUT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        PUT + b"Content-Length: 1, 2\r\n\r\n",
        PUT + b"Content-Length: +1\r\n\r\n",
        PUT + b"Content-Length: -1\r\n\r\n",
        PUT + b"Content-Length: 0x1\r\n\r\n",
        PUT + b"Content-Length: 1 1\r\n\r\n",
        PUT + b"Content-Length:\r\n\r\n",
        PUT + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        PUT + b"Content-Length: 1\xb2\r\n\r\n",
        PUT + b" folded: 1\r\n\r\n",
        PUT + b"A: b\r\n\tfolded\r\n\r\n",
        PUT + b"A: b\nContent-Length: 0\r\n\r\n",
        PUT + b"A: b\rContent-Length: 0\r\n\r\n",
        PUT + b"A b\r\n\r\n",
        PUT + b": b\r\n\r\n",
        PUT + b"A\x00: b\r\n\r\n",
        PUT + b"A: b\x00\r\n\r\n",
        PUT + b"A: \x07\r\n\r\n",
        PUT + b"A: b\x7fc\r\n\r\n",
        PUT + b"A: b\x0bc\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\n\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nno field\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA : b\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\n\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
        PUT.replace(b"\r\n", b"\n") + b"\n",
        PUT + b"\n",
        PUT + b"\n\n",
        b"PUT /v1/kv/outer HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT /v1/kv/outer HTTP/1.1\nHost: a\r\n\r\n",
        b"PUT /v1/kv/outer HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"PUT /v1/kv/outer HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"PUT /v1/kv/outer HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"PUT /v1/kv/outer HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"PUT /v1/kv/outer HTTP/1.1\r\nHost: a@b\r\n\r\n",
        b"PUT /v1/kv/outer HTTP/1.1\r\n\r\n",
        b"PUT /v1/kv/outer HTTP/2.0\r\nHost: a\r\n\r\n",
        b"PUT /v1/kv/outer HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"PUT /v1/kv/outer  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT\t/v1/kv/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        b" PUT /v1/kv/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT /v1/kv/outer\r\nHost: a\r\n\r\n",
        b"PUT /v1/kv/out er HTTP/1.1\r\nHost: a\r\n\r\n",
        b"P@T /v1/kv/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT v1/kv/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT /v1/kv/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT http://a:b/v1/kv/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT http://[::1/v1/kv/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\nPUT /v1/kv/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    ],
)
@pytest.mark.parametrize("pieces", ["whole", "bytes", "behind"])
def test_an_odd_framing_is_refused_and_nothing_behind_it_is_read(head: bytes, pieces: str, faults: list[str]) -> None:
    harness = HttpHarness()
    asking = InMemoryClient(harness)
    if pieces == "behind":
        asking.send(GET + b"\r\n" + head + SMUGGLED)
    elif pieces == "whole":
        asking.send(head + SMUGGLED)
    else:
        for at in range(len(head) if len(head) < 1000 else 0):
            asking.send(head[at : at + 1])
        asking.send(SMUGGLED if len(head) < 1000 else head + SMUGGLED)
    harness.agent.clock.advance(LINGER_S)
    answers = asking.raw.split(b"HTTP/1.1 ")[1:]
    status = b"501" if b"Transfer-Encoding:" in head and _is_unknown(head) else b"400"
    assert [answer[:3] for answer in answers] == [b"200", status][pieces != "behind" :]
    assert b"\r\nConnection: close\r\n" in answers[-1]
    assert not asking.transport.connected
    assert harness.ask("GET /v1/kv/?keys").json == [], "nothing was written"
    assert faults == []


@pytest.mark.parametrize("size", [b"ffffffffffffffffff", b"7fffffffffffffff", b"800001"])
def test_a_chunk_that_is_too_large_is_refused_before_it_comes(size: bytes) -> None:
    asking = InMemoryClient(HttpHarness())
    asking.send(PUT + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nx")
    assert asking.answer is not None
    assert asking.answer.status == 413


def test_a_semicolon_stands_between_parameters_too() -> None:
    """As in the Go that Consul 1.8.7 is built with."""
    harness = HttpHarness()
    harness.tell("PUT /v1/kv/a/b", "x")
    assert harness.ask("GET /v1/kv/a/?keys;separator=/").json == ["a/b"]
    assert harness.ask("GET /v1/kv/a/?keys&filter=a%3Bb").json == ["a/b"]


def _is_unknown(head: bytes) -> bool:
    """As real Consul: an unknown encoding is not implemented, whatever else is wrong."""
    value = head.partition(b"Transfer-Encoding:")[2].partition(b"\r\n")[0].strip()
    return value != b"chunked"


def test_an_unknown_expectation_is_answered_417() -> None:
    assert HttpHarness().ask("PUT /v1/kv/a", b"x", Expect="a-pony").status == 417


def test_an_unknown_expectation_is_answered_before_the_body_comes() -> None:
    harness = HttpHarness()
    asking = InMemoryClient(harness)
    asking.send(PUT + b"Expect: a-pony\r\nContent-Length: 3\r\n\r\n")
    assert asking.raw.startswith(b"HTTP/1.1 417 Expectation Failed\r\n")
    asking.send(b"abc" + SMUGGLED)
    harness.agent.clock.advance(LINGER_S)
    assert not asking.transport.connected
    assert harness.ask("GET /v1/kv/?keys").json == []


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (PUT + b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n", b"100"),
        (PUT + b"Expect: x, 100-continue\r\nContent-Length: 3\r\n\r\n", b"100"),
        (PUT + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", b"100"),
        (PUT + b"Expect: 100-continued\r\nContent-Length: 3\r\n\r\n", b"417"),
        (GET + b"Expect: 100-continue\r\n\r\n", b"200"),
        (PUT + b"Expect:\r\nContent-Length: 0\r\n\r\n", b"200"),
    ],
)
def test_who_asks_for_leave_to_send_a_body_gets_it(head: bytes, status: bytes) -> None:
    """As Go: one of several words is enough, and without a body there is nothing to continue with."""
    asking = InMemoryClient(HttpHarness())
    asking.send(head)
    assert asking.raw[9:12] == status


@pytest.mark.parametrize("method", [b"G\xffT", b"G\xc3\xa9T", b"\x80"])
def test_a_method_has_no_bytes_outside_of_ascii(method: bytes) -> None:
    """Only a path's are escaped for clients that send them raw."""
    asking = InMemoryClient(HttpHarness())
    asking.send(method + b" /v1/status/leader?\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert asking.raw.startswith(b"HTTP/1.1 400 Bad Request\r\n")


_words = st.sampled_from(
    b"GET|PUT|POST|HEAD|/v1/kv/a|/v1/status/leader|*|http://x/v1/kv/a|HTTP/1.1|HTTP/1.0|HTTP/9.9|"
    b"Host: a|Host:|Host: a b|Content-Length: 3|Content-Length: 0|content-length:03|Content-Length: 3,3|"
    b"Transfer-Encoding: chunked|transfer-encoding:identity|Transfer-Encoding: \x0bchunked|"
    b"Connection: close|Connection: keep-alive|Expect: 100-continue|Expect: x|"
    b"Upgrade: h2c|Trailer: x|abc|3\r\nabc\r\n|0\r\n\r\n|3;x=\n|%|%2e|?|?index=1|"
    b" |  |\t|\r\n|\n|\r|\r\n\r\n|\x00|\xff|:".split(b"|")
)
_mixed = st.lists(_words | st.binary(max_size=3), max_size=14).map(b"".join)
_headers = st.lists(_words, max_size=5).map(b"\r\n".join)
_requests = st.builds(
    lambda method, target, version, headers, body: (
        b"%s %s %s\r\n%s\r\n\r\n%s" % (method, target, version, headers, body)
    ),
    st.sampled_from([b"GET", b"PUT", b"DELETE", b"OPTIONS"]) | _words,
    st.sampled_from([b"/v1/kv/a", b"/v1/catalog/nodes", b"/v1/kv/a?index=2"]) | _words,
    st.just(b"HTTP/1.1") | _words,
    st.just(b"Host: a") | _headers.map(lambda more: b"Host: a\r\n" + more) | _headers,
    st.just(b"") | _words | _mixed,
)


@settings(max_examples=cases(400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_requests | _mixed, min_size=1, max_size=3).map(b"".join), st.integers(1, 40))
@example(b"GET / HTTP/1.1\nHost: a\n\n", 40)
@example(PUT + b"Content-Length: " + b"9" * 4301 + b"\r\n\r\n", 40)
def test_any_bytes_end_in_an_answer_or_are_awaited_no_longer_than_allowed(
    faults: list[str], data: bytes, size: int
) -> None:
    harness = HttpHarness()
    asking = InMemoryClient(harness)
    for at in range(0, len(data), size):
        asking.send(data[at : at + size])
    assert faults == []
    for _ in range(8):  # waits of blocking reads, then the time of a request, then that of an idle connection
        harness.agent.clock.advance(max(REQUEST_TIMEOUT_S, IDLE_TIMEOUT_S, 700.0))
    assert faults == []
    assert not asking.transport.connected or not data, "nobody waits for ever"
    if data.strip(b"\r\n"):
        assert asking.raw.startswith(b"HTTP/1."), "nobody is left without an answer"
    ends = [answer for answer in asking.raw.split(b"HTTP/1.1 ")[1:] if answer.startswith(b"400")]
    assert all(b"Traceback" not in answer for answer in ends)


@pytest.mark.parametrize("data", [b"\x06\x84\xa4Node", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\x00", b"\xff" * 40])
def test_another_protocol_is_refused_at_once(data: bytes) -> None:
    """A gossip agent that joins this port, or a client that speaks TLS, waits for us to speak."""
    client = InMemoryClient(HttpHarness())

    client.send(data)

    assert client.raw.startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("key", ["a", "a%20b", "%C3%A9"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 300])
def test_pipelined_requests_are_all_answered(key: str, count: int) -> None:
    harness = HttpHarness()
    asking = InMemoryClient(harness)
    asking.send(f"PUT /v1/kv/{key} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".encode() * count)
    harness.agent.clock.pump([0.01] * 3)
    assert asking.raw.count(b"HTTP/1.1 200 OK") == asking.raw.count(b"HTTP/1.1 ") == count
    assert asking.transport.connected


@pytest.mark.parametrize(
    ("fields", "stays"),
    [
        (b"Connection: close\r\n", False),
        (b"Connection: Close, x\r\n", False),
        (b"Connection: x,close\r\n", False),
        (b"Connection: x\r\nConnection: y , close\r\n", False),
        (b"Connection: close-not\r\n", True),
        (b"Connection: keep-alive, x\r\n", True),
    ],
)
@pytest.mark.parametrize("key", [b"a", b"a%20b"])
def test_close_may_be_one_of_several_options(fields: bytes, stays: bool, key: bytes) -> None:
    asking = InMemoryClient(HttpHarness())
    asking.send(b"PUT /v1/kv/%b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n%b\r\n" % (key, fields) + SMUGGLED)
    assert asking.raw.count(b"HTTP/1.1 200 OK") == 1 + stays
    assert (b"\r\nConnection: close\r\n" in asking.raw, bool(asking.transport.connected)) == (not stays, stays)


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "FOO"])
def test_only_options_ask_the_server_as_a_whole(method: str) -> None:
    asking = InMemoryClient(HttpHarness())
    asking.send(f"{method} * HTTP/1.1\r\nHost: a\r\n\r\n".encode() + SMUGGLED)
    assert asking.raw.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert asking.raw.count(b"HTTP/1.1 ") == 1
    asking = InMemoryClient(HttpHarness())
    asking.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert asking.raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Twisted" not in asking.raw


def test_a_trailer_of_sound_fields_is_taken() -> None:
    asking = InMemoryClient(HttpHarness())
    asking.send(PUT + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n" + SMUGGLED)
    assert asking.raw.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("option", [b"keep-alive", b"Keep-Alive", b"x, keep-alive"])
@pytest.mark.parametrize("request_", [PUT + b"Content-Length: 1\r\n", GET, b"GET /v1/nothing HTTP/1.1\r\n"])
def test_a_client_of_http_1_0_may_keep_its_connection(request_: bytes, option: bytes) -> None:
    """As Go, for `ab -k` and old proxies: the response says so, and has its length."""
    asking = InMemoryClient(HttpHarness())
    head = request_.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Connection: " + option + b"\r\n\r\n"
    body = b"x" if b"Content-Length" in head else b""
    for count in (1, 2, 3):
        asking.send(head + body)
        assert asking.raw.count(b"HTTP/1.0 ") == asking.raw.count(b"\r\nConnection: keep-alive\r\n") == count
    assert asking.transport.connected


def test_http_1_0_ends_the_connection_unless_it_is_asked_to_keep_it() -> None:
    asking = InMemoryClient(HttpHarness())
    asking.send(GET.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n")
    assert asking.raw.startswith(b"HTTP/1.0 200 OK")
    assert not asking.transport.connected


def test_an_endless_response_ends_with_the_connection_in_http_1_0() -> None:
    """It has no length: a kept connection would leave the client waiting."""
    asking = InMemoryClient(HttpHarness())
    asking.send(b"GET /v1/agent/monitor HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"HTTP/1.0 200 OK" in asking.raw
    assert b"keep-alive" not in asking.raw


@pytest.mark.parametrize("origin", ["http://a", "HTTP://a:8500", "https://[::1]:80", "http://b@a", "http://"])
def test_a_target_may_be_a_whole_url(origin: str) -> None:
    asking = InMemoryClient(HttpHarness())
    asking.send(f"GET {origin}/v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert asking.raw.startswith(b"HTTP/1.1 200 OK")
