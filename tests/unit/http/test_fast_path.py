"""The short way answers as the plain way does, byte for byte, and takes only what it is sure of."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import LogLevel, globalLogPublisher

from consulpy.errors import RPCError
from consulpy.http import fast_path
from consulpy.http.cache.blocking_groups import PIPELINED_MAX_BYTES
from consulpy.http.connection.early_channel import BODY_WITHIN_S
from consulpy.http.connection.limits import IDLE_TIMEOUT_S
from consulpy.http.fast_path import BODY_MAX_BYTES
from consulpy.http.listener import HttpConfig, HttpService
from consulpy.structs.kv import DirEntry
from tests.harness.effort import cases
from tests.harness.http import HttpHarness, InMemoryClient

CASES = Path(__file__).parents[2] / "conformance" / "cases"
UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DATE = re.compile(rb"\r\nDate: [^\r]*")


def put(path: str, body: bytes = b"", *lines: str) -> bytes:
    head = [f"PUT {path} HTTP/1.1", "Host: localhost", *lines, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


def short(**config: Any) -> HttpHarness:
    return HttpHarness(**config)


def plain(**config: Any) -> HttpHarness:
    harness = HttpHarness(**config)
    harness.site.dispatcher.serve = None
    return harness


def told(harness: HttpHarness, *requests: bytes) -> bytes:
    """The answers to requests of one connection, without what no two answers share."""
    asking = InMemoryClient(harness)
    for request in requests:
        asking.send(request)
    harness.agent.clock.advance(0)
    if asking.transport.connected:
        asking.hang_up()
    return UUID.sub(b"<uuid>", DATE.sub(b"", asking.raw))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that took the short way."""
    found, real = [], fast_path.parse_request

    def noting(data: bytes) -> fast_path.FastRequest | None:
        request = real(data)
        if request is not None:
            found.append(data)
        return request

    monkeypatch.setattr(fast_path, "parse_request", noting)
    return found


def steps(node: Any) -> Any:
    if isinstance(node, dict):
        if isinstance(node.get("do"), str) and " /v1/" in node["do"]:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from steps(each)


def requests_of_cases() -> list[bytes]:
    """Every request of the conformance cases that does not wait, in their order."""
    found = []
    for file in sorted(CASES.glob("*.json")):
        for step in steps(json.loads(file.read_text())):
            method, _, path = step["do"].partition(" ")
            if " " in path or "{" in path or "snapshot" in path or "index=" in path:
                continue
            if method == "GET":
                found.append(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                continue
            body = step.get("body", "x" * step.get("body_size", 0))
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            found.append(put(path, data).replace(b"PUT", method.encode(), 1))
    return found


@pytest.mark.parametrize(
    "line",
    [
        "User-Agent: test",
        "Accept-Encoding: gzip",
        "X-Consul-Namespace: a",
        "Origin: http://localhost",
        "Connection: close",
    ][: cases(10)],
)
def test_each_request_of_the_conformance_cases_is_answered_alike_both_ways(line: str, taken: list[bytes]) -> None:
    config = {"response_headers": {"X-Site": "one", "server": "two", "ETag": " a\r\nb "}}
    harnesses = short(**config), plain(**config)
    requests = [request.replace(b"\r\n", f"\r\n{line}\r\n".encode(), 1) for request in requests_of_cases()]
    unequal = []
    for request in requests:
        answers = {told(harness, request) for harness in harnesses}
        if len(answers) != 1:
            unequal.append((request[:200], answers))
    assert not unequal
    assert len(taken) > 350
    assert harnesses[0].agent.server.store.index == harnesses[1].agent.server.store.index
    counted = [
        {key: value.count for key, value in harness.agent.metrics.sample_totals.items()} for harness in harnesses
    ]
    assert counted[0] == counted[1]


ODD = (
    b"PUT /v1/kv/a HTTP/1.0\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nHost: i\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 01\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length : 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n more\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nX-A: \xff\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nX-A: a\0b\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nX-A: a\nX-B: b\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\n: a\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/%61 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/%zz HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1//kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a//b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/../a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a/.. HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a/.?b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a\tb HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/\xc3\xa4 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a#b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT  /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1 \r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\n\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /v1/kv/a HTTP/1.1\nHost: h\nContent-Length: 1\n\nx",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\n\r\nx",
    put("/v1/kv/a", b"x", "X-A: " + "a" * fast_path.HEAD_MAX_BYTES),
)  # fmt: skip


@pytest.mark.parametrize("request_", ODD)
def test_what_needs_a_second_look_goes_the_plain_way(request_: bytes, taken: list[bytes]) -> None:
    one, two = short(), plain()
    assert told(one, request_) == told(two, request_)
    assert not taken
    assert kept(one) == kept(two)


SURE = (
    put("/v1/kv/a/b.c/", b"x"),
    put("/v1/kv/a..b/...", b"x"),
    put("/v1/kv/a?flags=7&cas=0&%zz", b"x"),
    put("/v1/kv/a?flags=%37", b"x"),
    put("/v1/kv/a?dc=nowhere", b"x"),
    put("/v1/kv/", b"x"),
    put("/v1/nothing/here", b"x"),
    put("/v1/catalog/nodes", b"x"),
    put("/v1/kv", b"x"),
    put("/v1/kv/a", b"\0\xff\r\n\r\nPUT /v1/kv/c HTTP/1.1"),
    put("/v1/kv/a", b"x", "connection: Keep-Alive", "X-CONSUL-TOKEN: t", "Empty:"),
    put("/v1/kv/a", b"x" * 60_000),
    b"PUT /v1/agent/maintenance?enable=true HTTP/1.1\r\nHost:\r\n\r\n",
    put("/v1/agent/service/register", b"{"),
    put("/v1/query/nope", b"{}", "Accept-Encoding: gzip"),
)


@pytest.mark.parametrize("request_", SURE)
def test_what_is_plain_takes_the_short_way(request_: bytes, taken: list[bytes]) -> None:
    one, two = short(), plain()
    assert told(one, request_, request_) == told(two, request_, request_)
    assert len(taken) == 2
    assert kept(one) == kept(two)


@pytest.mark.parametrize(
    "request_", [put("/v1/kv/a", b"x", "Connection: close"), put("/v1/kv/", b"x", "connection: Close")]
)
def test_the_last_request_of_a_connection_ends_it_both_ways(request_: bytes, taken: list[bytes]) -> None:
    answers = []
    for harness in (short(), plain()):
        asking = InMemoryClient(harness)
        asking.send(request_)
        assert not asking.transport.connected
        assert b"\r\nConnection: close\r\n" in asking.raw
        answers.append(DATE.sub(b"", asking.raw))
    assert answers[0] == answers[1]
    assert taken == [request_]


def apart(harness: HttpHarness, *parts: bytes) -> InMemoryClient:
    asking = InMemoryClient(harness)
    for part in parts:
        asking.send(part)
    return asking


def test_a_body_that_comes_after_its_head_is_waited_for(taken: list[bytes]) -> None:
    request = put("/v1/kv/a", b"value")
    answers = [DATE.sub(b"", apart(harness, request[:-5], request[-5:]).raw) for harness in (short(), plain())]
    assert answers[0] == answers[1]
    assert taken == [request]


@pytest.mark.parametrize("second", [b"val", b"value" + put("/v1/kv/b", b"more")])
def test_what_is_not_whole_and_alone_after_that_goes_the_plain_way(second: bytes, taken: list[bytes]) -> None:
    request = put("/v1/kv/a", b"value")
    harness = short()
    asking = apart(harness, request[:-5], second)
    if second == b"val":
        assert asking.answer is None
        asking.send(b"ue")
    assert asking.answer is not None
    assert kept(harness)[0].value == b"value"
    assert request not in taken


def test_a_body_that_is_late_or_never_comes_has_the_limits_of_all_others(taken: list[bytes]) -> None:
    request = put("/v1/kv/a", b"value")
    harness = short()
    late, never, gone = (apart(harness, request[:-5]) for _ in range(3))
    gone.hang_up()
    harness.agent.clock.advance(BODY_WITHIN_S)
    late.send(request[-5:])
    assert late.answer is not None
    harness.agent.clock.pump([IDLE_TIMEOUT_S / 2] * 3)
    assert not never.transport.connected
    assert taken == []
    assert not [call for call in harness.agent.clock.getDelayedCalls() if "_body_is_late" in str(call.func)]


@pytest.mark.parametrize("line", ["Expect: 100-continue", "Connection: upgrade"])
def test_a_head_that_needs_a_second_look_is_not_kept(line: str) -> None:
    request = put("/v1/kv/a", b"value", line)
    answers = [apart(harness, request[:-5]).raw for harness in (short(), plain())]
    assert answers[0] == answers[1]


def test_a_large_body_is_not_waited_for() -> None:
    head = put("/v1/kv/a", b"x" * (BODY_MAX_BYTES + 1)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert not fast_path.needs_body(head)
    assert fast_path.needs_body(head.replace(str(BODY_MAX_BYTES + 1).encode(), str(BODY_MAX_BYTES).encode()))


def kept(harness: HttpHarness) -> list[DirEntry]:
    return harness.agent.server.store.kv.with_prefix(None, "")[1]


@settings(max_examples=cases(200), deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b" ", b"\r\n", b"\n", b":", b"/", b"?", b"%2f", b".", b"\0", b"x", b"0", b"a: b\r\n", b"\xc3"]
        ),
        max_size=3,
    ),
    st.lists(st.integers(0, 90), min_size=3, max_size=3),
)
def test_whatever_is_put_into_a_request_both_ways_say_the_same(parts: list[bytes], places: list[int]) -> None:
    request = put("/v1/kv/a/b?flags=1", b"value")
    for part, place in zip(parts, places, strict=False):
        request = request[:place] + part + request[place:]
    one, two = short(), plain()
    assert told(one, request) == told(two, request)
    assert [(each.key, each.value, each.flags) for each in kept(one)] == [
        (each.key, each.value, each.flags) for each in kept(two)
    ]


def test_writes_are_refused_where_they_are_not_allowed_from() -> None:
    config: dict[str, Any] = {"allow_write_from": ("10.0.0.0/8",), "block_endpoints": ("/v1/agent",)}
    for path in ("/v1/kv/a", "/v1/agent/maintenance"):
        answer = told(short(**config), put(path, b"x"))
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert answer == told(plain(**config), put(path, b"x"))


def test_each_way_logs_the_same_line() -> None:
    seen: list[tuple[str, str, str]] = []

    def observe(event: Any) -> None:
        if event["log_level"] is LogLevel.debug and "latency" in event:
            seen.append((event["method"], event["url"], event["source"]))

    globalLogPublisher.addObserver(observe)
    try:
        for harness in (short(), plain()):
            lane_of_door, agent = harness.site.dispatcher.serve, harness.agent
            harness.site = HttpService(
                agent.clock, HttpConfig((), 0), agent, lambda: True, in_thread=maybeDeferred
            ).factory
            harness.site.dispatcher.serve = lane_of_door and harness.site.dispatcher.serve
            told(harness, put("/v1/kv/a?flags=1", b"x"))
    finally:
        globalLogPublisher.removeObserver(observe)
    assert seen == [("PUT", "/v1/kv/a?flags=1", "127.0.0.9")] * 2


def test_several_at_once_are_answered_in_their_order() -> None:
    requests = b"".join(put(f"/v1/kv/a?cas={number}", b"%d" % number) for number in (0, 1, 0))
    one, two = short(), plain()
    assert told(one, requests) == told(two, requests)
    assert kept(one) == kept(two)


class Slow:
    """A server whose disk takes its time."""

    def __init__(self) -> None:
        self.calls: list[Deferred[Any]] = []
        self.cancelled = 0

    def call(self, _method: str, _request: Any) -> "Deferred[Any]":
        self.calls.append(Deferred(self._cancel))
        return self.calls[-1]

    def _cancel(self, _: Any) -> None:
        self.cancelled += 1


@pytest.fixture
def slow() -> HttpHarness:
    harness = short()
    harness.agent.caller = Slow()
    return harness


def test_what_comes_behind_a_write_is_answered_after_it(slow: HttpHarness) -> None:
    asking = InMemoryClient(slow)
    asking.send(put("/v1/kv/a", b"x"))
    asking.send(put("/v1/kv/b", b"x")[:30])
    asking.send(put("/v1/kv/b", b"x")[30:] + b"GET /v1/status/leader HTTP/1.1\r\nHost: h\r\n\r\n")
    assert asking.raw == b""
    slow.agent.caller.calls[0].callback(True)
    assert asking.raw.count(b"HTTP/1.1 200 OK") == 1
    slow.agent.caller.calls[1].errback(RPCError("no"))
    slow.agent.caller.calls[2].callback("127.0.0.1:8300")
    first, second, third = asking.raw.split(b"HTTP/1.1 ")[1:]
    assert (first[-4:], second[:4], second[-2:]) == (b"true", b"500 ", b"no")
    assert b":8300" in third


def test_who_sends_much_behind_a_write_is_not_read_until_it_is_answered(slow: HttpHarness) -> None:
    asking = InMemoryClient(slow)
    asking.send(put("/v1/kv/a", b"x"))
    assert asking.transport.producerState == "producing"
    asking.send(put("/v1/kv/b", b"x" * (PIPELINED_MAX_BYTES + 1)))
    assert asking.transport.producerState == "paused"
    slow.agent.caller.calls[0].callback(True)
    assert asking.transport.producerState == "producing"
    slow.agent.caller.calls[1].callback(True)
    assert asking.raw.count(b"HTTP/1.1 200 OK") == 2


def test_a_client_that_leaves_is_waited_for_no_more(slow: HttpHarness) -> None:
    asking = InMemoryClient(slow)
    asking.send(put("/v1/kv/a", b"x"))
    asking.hang_up()
    assert slow.agent.caller.cancelled == 1
    assert asking.raw == b""


def test_a_write_may_take_longer_than_the_idle_time(slow: HttpHarness) -> None:
    asking = InMemoryClient(slow)
    asking.send(put("/v1/kv/a", b"x"))
    slow.agent.clock.pump([IDLE_TIMEOUT_S / 2] * 5)
    assert asking.transport.connected
    slow.agent.caller.calls[0].callback(True)
    assert asking.raw.endswith(b"true")
    slow.agent.clock.advance(IDLE_TIMEOUT_S - 1)
    assert asking.transport.connected
    slow.agent.clock.pump([1, 1])
    assert not asking.transport.connected


def test_our_own_fault_is_an_empty_500(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = short()

    def broken(_request: Any, _path: str) -> None:
        raise ZeroDivisionError

    harness.site.dispatcher.serve = broken
    answer = told(harness, put("/v1/kv/a", b"x"))
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert answer.endswith(b"\r\nContent-Length: 0\r\n\r\n")


def test_a_flood_of_different_heads_is_forgotten() -> None:
    harness = short()
    for number in range(fast_path.HEADS_MAX + 50):
        told(harness, put("/v1/kv/a", b"x", f"X-Request-Id: {number}"))
    assert len(fast_path._heads) <= fast_path.HEADS_MAX
