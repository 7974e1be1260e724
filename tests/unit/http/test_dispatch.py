"""The order in which bytes are answered: response cache, blocking group, fast path, Twisted."""

import pytest

from consulpy.http.cache.blocking_groups import BlockingRead
from consulpy.http.connection.dispatch import AwaitBody, Cached, Decision, Dispatcher, Fast, Full
from tests.harness.http import HttpHarness

REST = b" HTTP/1.1\r\nHost: h\r\n\r\n"
NODES = b"GET /v1/catalog/nodes" + REST
BLOCKING = b"GET /v1/catalog/nodes?index=1&wait=1s" + REST
WRITE = b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness()


def decide(harness: HttpHarness, data: bytes, *, look_up: bool = True) -> Decision:
    return harness.site.dispatcher.decide(data, look_up=look_up)


def cache(harness: HttpHarness) -> None:
    client = harness.begin("GET /v1/status/leader")
    for _ in range(2):
        client.send(NODES)


def test_a_cached_response_goes_first(harness: HttpHarness) -> None:
    cache(harness)

    decision = decide(harness, NODES)

    assert isinstance(decision, Cached)
    assert decision.response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (decision.rest, decision.closes) == (b"", False)


def test_pipelined_requests_are_answered_together_as_far_as_they_are_cached(harness: HttpHarness) -> None:
    cache(harness)

    decision = decide(harness, NODES + NODES + WRITE)

    assert isinstance(decision, Cached)
    assert decision.response.count(b"HTTP/1.1 200 OK") == 2
    assert decision.rest == WRITE


def test_what_the_cache_was_asked_for_is_not_asked_again(harness: HttpHarness) -> None:
    cache(harness)

    assert isinstance(decide(harness, NODES, look_up=False), Fast)


def test_a_blocking_query_waits_in_a_group(harness: HttpHarness) -> None:
    decision = decide(harness, BLOCKING)

    assert isinstance(decision, BlockingRead)
    assert decision.key == NODES
    assert (decision.options.min_query_index, decision.options.max_query_time) == (1, 1_000_000_000)


def test_to_decide_changes_no_group(harness: HttpHarness) -> None:
    decide(harness, BLOCKING)

    assert len(harness.site.dispatcher.groups) == 0


def test_a_whole_plain_request_takes_the_fast_path(harness: HttpHarness) -> None:
    decision = decide(harness, WRITE + b"x")

    assert isinstance(decision, Fast)
    assert decision.fill is None


def test_a_read_that_was_seen_before_fills_the_cache(harness: HttpHarness) -> None:
    request = b"GET /v1/catalog/services" + REST

    first, second = decide(harness, request), decide(harness, request)

    assert isinstance(first, Fast)
    assert first.fill is None
    assert isinstance(second, Fast)
    assert second.fill is not None


def test_a_head_waits_for_its_body(harness: HttpHarness) -> None:
    assert decide(harness, WRITE) == AwaitBody(WRITE)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /v1/catalog/no",
        b"DELETE /v1/kv/a" + REST,
        b"GET /v1/kv/a%20b" + REST,
        b"GET / HTTP/1.1\r\n\r\n",
        WRITE + b"xGET /v1/kv/b" + REST,
        b"\x06\x80",
    ],
)
def test_all_else_is_parsed_by_twisted(harness: HttpHarness, data: bytes) -> None:
    assert decide(harness, data) == Full(data, None)


def test_without_cache_groups_and_fast_path_twisted_parses_everything() -> None:
    dispatcher = Dispatcher(None, None, None, lambda: 0.0)

    assert dispatcher.decide(NODES) == Full(NODES, None)
