"""`?cached`: kept fresh while somebody asks, certain about its age when no server answers, bounded."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from consulpy.errors import NoServers, RPCError
from consulpy.http.cache import DATACENTERS_S, ENTRIES_MAX, RETRY_S, UNUSED_S, Cached, ReplyCache
from consulpy.structs.options import QueryMeta
from consulpy.structs.requests import ServiceNodesReply, ServiceRequest
from tests.http.standin import Door


class Servers:
    """A caller whose answers the test gives."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Deferred[Any]]] = []
        self.cancelled = 0

    def call(self, method: str, request: Any) -> "Deferred[Any]":
        call: Deferred[Any] = Deferred(lambda _: self._cancel())
        self.calls.append((request, call))
        return call

    def _cancel(self) -> None:
        self.cancelled += 1

    def answer(self, index: int) -> None:
        self.calls[-1][1].callback(ServiceNodesReply(meta=QueryMeta(index=index)))

    def fail(self) -> None:
        self.calls[-1][1].errback(NoServers())

    @property
    def asked_index(self) -> int:
        index: int = self.calls[-1][0].options.min_query_index
        return index


class Kept:
    """A cache, its servers and its clock."""

    def __init__(self) -> None:
        self.servers, self.clock = Servers(), Clock()
        self.cache = ReplyCache(self.servers, self.clock)

    def read(self, service: str = "web", **options: Any) -> list[Any]:
        request = ServiceRequest(datacenter="dc1", service_name=service)
        for name, value in options.items():
            setattr(request.options, name, value)
        got: list[Any] = []
        Deferred.fromCoroutine(self.cache.read("Catalog.ServiceNodes", request)).addBoth(got.append)
        return got

    def filled(self) -> "Kept":
        got = self.read()
        self.servers.answer(5)
        assert (got[0].hit, got[0].reply.meta.index) == (False, 5)
        self.clock.advance(0)
        return self


def test_the_second_reader_waits_for_nobody() -> None:
    kept = Kept().filled()
    (cached,) = kept.read()
    assert (cached.hit, cached.age_s, cached.reply.meta.index) == (True, 0, 5)
    assert kept.servers.asked_index == 5, "it is kept fresh by a blocking read"


def test_two_first_readers_make_one_call() -> None:
    kept = Kept()
    first, second = kept.read(), kept.read()
    assert len(kept.servers.calls) == 1
    kept.servers.answer(5)
    assert first[0].reply is second[0].reply


def test_a_change_is_there_for_the_next_reader() -> None:
    kept = Kept().filled()
    kept.servers.answer(9)
    assert kept.read()[0].reply.meta.index == 9


def test_a_reader_with_an_index_waits_for_the_change() -> None:
    kept = Kept().filled()
    got = kept.read(min_query_index=5)
    assert got == []
    kept.servers.answer(9)
    assert got[0].reply.meta.index == 9


def test_such_a_reader_gets_what_there_is_at_the_end() -> None:
    kept = Kept().filled()
    got = kept.read(min_query_index=5, max_query_time=2_000_000_000)
    kept.clock.advance(2)
    assert got[0].reply.meta.index == 5


def test_different_questions_have_different_answers() -> None:
    kept = Kept().filled()
    kept.read("db")
    kept.read(filter="ServiceName==web")
    assert len(kept.cache) == 3
    assert kept.read(allow_stale=True)[0].hit, "how fresh it is to be makes no difference"


def test_while_no_server_answers_the_last_answer_tells_its_age() -> None:
    kept = Kept().filled()
    kept.servers.fail()
    kept.clock.advance(7)
    assert kept.read()[0].age_s == 7


def test_too_old_for_this_reader() -> None:
    kept = Kept().filled()
    kept.servers.fail()
    kept.clock.advance(0.5)
    got = kept.read(max_age=100_000_000)
    kept.servers.fail()
    assert isinstance(got[0].value, NoServers)
    got = kept.read(max_age=100_000_000, stale_if_error=10_000_000_000)
    kept.servers.fail()
    assert isinstance(got[0], Cached)


def test_refreshing_is_tried_again_more_and_more_seldom() -> None:
    kept = Kept().filled()
    for number in range(4):
        kept.servers.fail()
        calls = len(kept.servers.calls)
        kept.clock.advance(RETRY_S * 2**number * 0.9)
        assert len(kept.servers.calls) == calls
        kept.clock.advance(RETRY_S * 2**number * 0.2)
        assert len(kept.servers.calls) == calls + 1
    assert kept.servers.asked_index == 0, "the first answer after a failure comes at once"
    kept.servers.answer(6)
    assert kept.read()[0].age_s == 0


def test_a_first_question_that_fails_is_not_kept() -> None:
    kept = Kept()
    first, second = kept.read(), kept.read()
    kept.servers.fail()
    assert isinstance(first[0].value, RPCError)
    assert isinstance(second[0].value, RPCError)
    assert len(kept.cache) == 0


def test_what_nobody_asks_for_is_forgotten() -> None:
    kept = Kept().filled()
    kept.clock.advance(UNUSED_S + 1)
    kept.servers.answer(9)
    kept.clock.advance(0)
    assert len(kept.cache) == 0


def test_there_is_a_bound() -> None:
    kept = Kept()
    for number in range(ENTRIES_MAX + 10):
        kept.read(f"s{number}")
    assert len(kept.cache) == ENTRIES_MAX
    assert kept.servers.cancelled == 10


def test_closing_asks_no_more() -> None:
    kept = Kept().filled()
    kept.cache.close()
    assert kept.servers.cancelled == 1
    assert kept.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "path", ["catalog/services", "catalog/service/x", "catalog/connect/x", "health/service/x", "health/connect/x"]
)
def test_who_understands_cached(path: str) -> None:
    door = Door()
    assert door.ask(f"GET /v1/{path}?cached").headers["x-cache"] == "MISS"
    door.agent.clock.advance(0)
    headers = door.ask(f"GET /v1/{path}?cached").headers
    assert (headers["x-cache"], headers["age"]) == ("HIT", "0")


@pytest.mark.parametrize("path", ["catalog/nodes", "catalog/node/x", "health/checks/x", "health/state/any"])
def test_who_does_not(path: str) -> None:
    assert "x-cache" not in Door().ask(f"GET /v1/{path}?cached").headers


def test_datacenters_are_kept_a_minute() -> None:
    door = Door()
    assert door.ask("GET /v1/catalog/datacenters?cached").headers["x-cache"] == "MISS"
    door.agent.clock.advance(3)
    assert door.ask("GET /v1/catalog/datacenters?cached").headers["age"] == "3"
    door.agent.clock.advance(DATACENTERS_S)
    assert door.ask("GET /v1/catalog/datacenters?cached").headers["x-cache"] == "MISS"
