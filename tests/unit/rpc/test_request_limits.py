"""`limits.request_limits` (Consul 1.15): the rates of calls that a server takes. Texts: its documentation."""

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from consulpy.errors import RPCError
from consulpy.metrics.registry import Registry
from consulpy.rpc.dispatch import serve
from consulpy.rpc.limits.request_limits import RequestLimits
from tests.harness.grpc import InMemoryGrpc, subscribed
from tests.harness.http import FakeAgent, HttpHarness

ELSEWHERE = "rate limit exceeded, try again later or against a different server"
LATER = "rate limit exceeded for operation that can only be performed by the leader, try again later"


def limited(*, enforces: bool = True, leads: bool = True, **rates: float) -> HttpHarness:
    """A server whose limits begin with full buckets."""
    harness = HttpHarness(FakeAgent().start())
    harness.agent.clock.advance(5)
    server = harness.agent.server
    server.metrics = Registry(lambda: 0.0)
    server.request_limits = RequestLimits(
        harness.agent.clock, server.metrics, lambda: leads, enforces=enforces, **rates
    )
    return harness


def exceeded(harness: HttpHarness) -> dict[tuple[str, str, str], int]:
    """The counter by limit, method and mode."""
    counters = harness.agent.server.metrics.to_json()["Counters"]  # type: ignore[attr-defined]
    return {
        (each["Labels"]["limit_type"], each["Labels"]["op"], each["Labels"]["mode"]): each["Count"]
        for each in counters
        if each["Name"].endswith("rpc.rate_limit.exceeded")
    }


def statuses(harness: HttpHarness, request: str, times: int, body: str = "") -> list[int]:
    return [harness.ask(request, body).status for _ in range(times)]


def test_reads_above_the_rate_are_429_and_come_back_with_time() -> None:
    harness = limited(read_rate=2.0)
    assert statuses(harness, "GET /v1/catalog/nodes", 20) == [200] * 20, "ten seconds of the rate"
    refused = harness.ask("GET /v1/catalog/nodes")
    assert (refused.status, refused.text) == (429, ELSEWHERE)
    assert harness.ask("PUT /v1/kv/a", "x").status == 200, "writes have a limit of their own"
    harness.agent.clock.advance(1)
    assert statuses(harness, "GET /v1/kv/a", 3) == [200, 200, 429]
    assert exceeded(harness) == {
        ("global/read", "Catalog.ListNodes", "enforcing"): 1,
        ("global/read", "KVS.Get", "enforcing"): 1,
    }


def test_a_leader_refuses_writes_with_503_and_others_with_429() -> None:
    harness = limited(write_rate=1.0)
    assert statuses(harness, "PUT /v1/kv/a", 10, "x") == [200] * 10
    refused = harness.ask("PUT /v1/kv/a", "x")
    assert (refused.status, refused.text) == (503, LATER)
    assert harness.ask("GET /v1/kv/a?raw").text == "x"
    follower = limited(write_rate=1.0, leads=False)
    statuses(follower, "PUT /v1/kv/a", 10, "x")
    assert follower.ask("PUT /v1/kv/a", "x").text == ELSEWHERE


def test_permissive_limits_only_count() -> None:
    harness = limited(enforces=False, read_rate=1.0)
    assert statuses(harness, "GET /v1/kv/a", 12) == [404] * 12
    assert exceeded(harness) == {("global/read", "KVS.Get", "permissive"): 2}


def test_blocking_queries_count_and_operators_do_not() -> None:
    harness = limited(read_rate=1.0)
    index = harness.ask("GET /v1/catalog/services").headers["x-consul-index"]
    clients = [harness.begin(f"GET /v1/catalog/services?index={index}&wait=1m") for _ in range(10)]
    assert [client.answer is None for client in clients] == [True] * 9 + [False]
    assert harness.ask("GET /v1/status/leader").status == 200
    assert harness.ask("GET /v1/operator/raft/configuration").status == 200
    for client in clients:
        client.hang_up()


def test_calls_and_subscriptions_of_other_agents_count() -> None:
    harness = limited(read_rate=1.0)
    server = harness.agent.server
    replies: list[Any] = []
    for _ in range(9):
        serve(server, "Catalog.ListNodes", {b"Datacenter": b"dc1"}, "127.0.0.9:4000").addBoth(replies.append)
    assert not any(isinstance(each, Failure) for each in replies)
    client = InMemoryGrpc(server)
    stream, _ = subscribed(harness, client)
    assert client.status(stream) is None
    serve(server, "Catalog.ListNodes", {b"Datacenter": b"dc1"}).addBoth(replies.append)
    assert str(replies[-1].value) == ELSEWHERE
    serve(server, "Status.Ping", {}).addBoth(replies.append)
    assert not isinstance(replies[-1], Failure)


@pytest.mark.parametrize(("rate", "taken"), [(-1.0, 50), (0.5, 1), (3.9, 30)])
def test_a_bucket_holds_ten_seconds_of_the_whole_rate(rate: float, taken: int) -> None:
    limits = RequestLimits(Clock(), Registry(lambda: 0.0), lambda: True, enforces=True, read_rate=rate)
    for _ in range(taken):
        limits.check("KVS.Get")
    if rate >= 0:
        with pytest.raises(RPCError, match="different server"):
            limits.check("KVS.Get")
