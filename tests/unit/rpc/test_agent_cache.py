"""Copies of replies: fresh while somebody asks, certain about their age when no server answers, bounded."""

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from consulpy.errors import BadRequest, NoServers, RPCError
from consulpy.rpc.cache.agent_cache import (
    ENTRIES_MAX,
    EVICTION_MIN_IDLE_S,
    PAUSE_S,
    REFRESH_WAIT_S,
    RETRY_MAX_S,
    RETRY_S,
    TTL_S,
    AgentCache,
    CacheResult,
)
from consulpy.rpc.cache.caching_caller import CachingCaller
from consulpy.rpc.cache.tag import NODE, SERVICE
from consulpy.rpc.limits.time_slice import SLICE_S
from consulpy.structs.options import QueryMeta
from consulpy.structs.requests import NodeRequest, ServiceNodesReply, ServiceRequest

S = 1_000_000_000


class Servers:
    """A caller whose answers the test gives."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Deferred[Any]]] = []
        self.cancelled = 0
        self.catalog_writes = 0

    def call(self, method: str, request: Any, dependencies: Any = None) -> "Deferred[Any]":
        call: Deferred[Any] = Deferred(lambda _: self._cancel())
        self.calls.append((request, call))
        return call

    def _cancel(self) -> None:
        self.cancelled += 1

    def answer(self, index: int, last_contact_s: float = 0) -> None:
        meta = QueryMeta(index=index, last_contact=int(last_contact_s * S), known_leader=True)
        self.calls[-1][1].callback(ServiceNodesReply(meta=meta))

    def fail(self, error: Exception | None = None) -> None:
        self.calls[-1][1].errback(error or NoServers())

    @property
    def asked(self) -> Any:
        return self.calls[-1][0].options


class Kept:
    """Copies, their servers and their clock."""

    def __init__(self) -> None:
        self.servers, self.clock = Servers(), Clock()
        self.cache = AgentCache(self.servers, self.clock, self.servers)

    def read(self, service: str = "web", *, cache_first: bool = True, **options: Any) -> list[Any]:
        request = ServiceRequest(datacenter="dc1", service_name=service)
        for name, value in options.items():
            setattr(request.options, name, value)
        got: list[Any] = []
        reading = self.cache.read("Catalog.ServiceNodes", request, cache_first=cache_first)
        Deferred.fromCoroutine(reading).addBoth(got.append)
        return got

    def filled(self, index: int = 5) -> "Kept":
        got = self.read()
        self.servers.answer(index)
        assert (got[0].hit, got[0].reply.meta.index) == (False, index)
        self.clock.advance(PAUSE_S)
        return self

    def cut_off(self) -> "Kept":
        self.servers.fail()
        return self


def test_the_second_reader_waits_for_nobody() -> None:
    kept = Kept().filled()
    (copy,) = kept.read()
    assert (copy.hit, copy.age_s, copy.reply.meta.index) == (True, 0, 5)


def test_a_copy_is_kept_fresh_by_a_blocking_read_that_any_server_may_answer() -> None:
    asked = Kept().filled().servers.asked
    assert (asked.min_query_index, asked.max_query_time, asked.allow_stale) == (5, REFRESH_WAIT_S * S, True)


def test_a_reply_of_index_zero_does_not_make_it_ask_without_a_pause() -> None:
    assert Kept().filled(index=0).servers.asked.min_query_index == 1


def test_what_changes_all_the_time_is_asked_for_with_pauses() -> None:
    kept = Kept().filled()
    calls = len(kept.servers.calls)
    kept.servers.answer(6)
    kept.clock.advance(PAUSE_S / 2)
    assert len(kept.servers.calls) == calls
    kept.clock.advance(PAUSE_S)
    assert len(kept.servers.calls) == calls + 1


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


def test_thousands_that_wait_for_one_change_share_a_slice_of_each_turn() -> None:
    kept, request = Kept().filled(), ServiceRequest(datacenter="dc1", service_name="web")
    request.options.min_query_index = 5
    answered: list[Any] = []

    def slow(found: Any) -> None:
        kept.clock.rightNow += SLICE_S / 3 + 1e-6
        answered.append(found)

    readings = [
        Deferred.fromCoroutine(kept.cache.read("Catalog.ServiceNodes", request, cache_first=True)) for _ in range(7)
    ]
    for reading in readings:
        reading.addCallbacks(slow, lambda failure: failure.trap(CancelledError))
    kept.servers.answer(9)
    assert len(answered) == 3
    readings[4].cancel()
    kept.clock.advance(0)
    assert [found.reply.meta.index for found in answered] == [9] * 6


def test_such_a_reader_gets_what_there_is_at_the_end() -> None:
    kept = Kept().filled()
    got = kept.read(min_query_index=5, max_query_time=2 * S)
    kept.clock.advance(2)
    assert got[0].reply.meta.index == 5


def test_different_questions_have_different_answers() -> None:
    kept = Kept().filled()
    kept.read("db")
    kept.read(filter="ServiceName==web")
    assert len(kept.cache) == 3
    assert kept.read(allow_stale=True)[0].hit, "how fresh it is to be makes no difference"


def test_who_asks_from_where_makes_a_difference_only_to_an_order_by_distance() -> None:
    kept = Kept()
    for address, near in (("127.0.0.1", ""), ("127.0.0.2", ""), ("127.0.0.1", "n1"), ("127.0.0.1", "n2")):
        request = ServiceRequest(datacenter="dc1", service_name="web")
        request.source.ip, request.source.node = address, near
        Deferred.fromCoroutine(kept.cache.read("Catalog.ServiceNodes", request)).addErrback(lambda _: None)
    assert len(kept.cache) == 3


# -- while no server answers


def test_the_last_answer_tells_how_long_ago_it_was_certain() -> None:
    kept = Kept().filled()
    kept.clock.advance(20)
    kept.cut_off().clock.advance(7)
    (copy,) = kept.read()
    assert copy.age_s == pytest.approx(27 + PAUSE_S), "from the last reply: since then nothing is known"
    meta = copy.reply.meta
    assert (meta.last_contact / S, meta.known_leader, meta.index) == (pytest.approx(27 + PAUSE_S), False, 5)
    assert (kept.cache.stale, kept.cache.stale_ms) == (1, pytest.approx(1000 * copy.age_s))


def test_too_old_for_this_reader_of_the_cache() -> None:
    kept = Kept().filled().cut_off()
    kept.clock.advance(0.5)
    got = kept.read(use_cache=True, max_age=S // 10)
    kept.servers.fail()
    assert isinstance(got[0].value, NoServers)
    got = kept.read(use_cache=True, max_age=S // 10, stale_if_error=10 * S)
    kept.servers.fail()
    assert isinstance(got[0], CacheResult)


def test_trying_again_happens_more_and_more_seldom() -> None:
    kept = Kept().filled()
    pause_s = RETRY_S
    for _ in range(6):
        kept.servers.fail()
        calls = len(kept.servers.calls)
        kept.clock.advance(pause_s * 0.9)
        assert len(kept.servers.calls) == calls
        kept.clock.advance(pause_s * 0.2)
        assert len(kept.servers.calls) == calls + 1
        pause_s = min(2 * pause_s, RETRY_MAX_S)
    assert kept.servers.asked.min_query_index == 0, "the first answer after a failure comes at once"
    kept.servers.answer(6)
    assert kept.read()[0].age_s == 0


def test_one_copy_tries_for_all_and_all_are_fresh_again_soon_after() -> None:
    kept = Kept()
    for name in ("a", "b", "c"):
        kept.read(name)
        kept.servers.answer(5)
    kept.clock.advance(PAUSE_S)
    refreshing = kept.servers.calls[-3:]
    for _, call in refreshing:
        call.errback(NoServers())
    calls = len(kept.servers.calls)
    kept.clock.pump([0.1] * 12)
    assert len(kept.servers.calls) == calls + 1
    kept.servers.answer(6)
    for _ in range(60):
        kept.clock.advance(0.1)
        for request, call in kept.servers.calls[calls:]:
            if not call.called and not request.options.min_query_index:
                call.callback(ServiceNodesReply(meta=QueryMeta(index=7)))
    assert [kept.read(name)[0].age_s for name in ("a", "b", "c")] == [0, 0, 0]


def test_a_first_question_that_fails_is_not_kept() -> None:
    kept = Kept()
    first, second = kept.read(), kept.read()
    kept.servers.fail()
    assert isinstance(first[0].value, RPCError)
    assert isinstance(second[0].value, RPCError)
    assert len(kept.cache) == 0


def test_an_error_that_a_server_answers_is_no_reason_for_an_old_answer() -> None:
    kept = Kept().filled()
    kept.servers.fail(BadRequest("no such filter"))
    got = kept.read()
    assert got == [], "asked again"
    kept.servers.fail(BadRequest("no such filter"))
    assert isinstance(got[0].value, BadRequest)


# -- who says how stale it may be, and who wrote


def test_a_reader_with_a_bound_gets_nothing_older_while_a_server_answers() -> None:
    kept = Kept().filled()
    kept.clock.advance(6)
    assert kept.read(allow_stale=True, max_stale_duration=10 * S)[0].hit
    got = kept.read(allow_stale=True, max_stale_duration=5 * S)
    assert got == [], "the blocking read proves nothing about the last six seconds"
    assert kept.servers.asked.min_query_index == 0
    kept.servers.answer(5)
    assert got[0].reply.meta.index == 5


def test_the_server_s_own_staleness_counts() -> None:
    kept = Kept()
    kept.read()
    kept.servers.answer(5, last_contact_s=4)
    kept.clock.advance(2)
    assert kept.read(allow_stale=True, max_stale_duration=5 * S) == []


def test_who_wrote_reads_what_was_written() -> None:
    kept = Kept().filled()
    kept.servers.catalog_writes += 1
    got = kept.read()
    assert got == []
    kept.servers.answer(8)
    assert got[0].reply.meta.index == 8
    kept.clock.advance(PAUSE_S)
    assert kept.read()[0].hit


# -- bounds


def test_what_nobody_asks_for_is_forgotten() -> None:
    kept = Kept().filled()
    kept.clock.advance(TTL_S + 1)
    kept.servers.answer(9)
    kept.clock.advance(PAUSE_S)
    assert len(kept.cache) == 0


def test_who_asks_for_the_version_uses_the_copy() -> None:
    """DNS and HTTP keep what they made from a copy, and ask for its version only."""
    kept = Kept().filled()
    for _ in range(30):
        assert kept.cache.validator((SERVICE, "web")) is not None
        kept.clock.advance(TTL_S / 10)
        kept.servers.answer(5)
        kept.clock.advance(PAUSE_S)
    assert len(kept.cache) == 1
    for _ in range(12):
        kept.clock.advance(TTL_S / 10)
        if not kept.servers.calls[-1][1].called:
            kept.servers.answer(5)
        kept.clock.advance(PAUSE_S)
    assert len(kept.cache) == 0


def test_so_it_is_while_no_server_answers() -> None:
    kept = Kept().filled()
    for _ in range(int(TTL_S)):
        if not kept.servers.calls[-1][1].called:
            kept.servers.fail()
        kept.clock.advance(2)
    assert len(kept.cache) == 0
    assert kept.clock.getDelayedCalls() == []


def test_a_flood_finds_no_room_and_is_answered_nevertheless() -> None:
    kept = Kept()
    for number in range(ENTRIES_MAX):
        kept.read(f"s{number}")
        kept.servers.answer(5)
    flooded = kept.read("flood")
    kept.servers.answer(5)
    assert len(kept.cache) == ENTRIES_MAX
    assert (flooded[0].hit, kept.read("s0")[0].hit) == (False, True)
    kept.clock.advance(EVICTION_MIN_IDLE_S + 1)
    kept.read("s0")
    kept.read("new")
    assert len(kept.cache) == ENTRIES_MAX
    assert kept.read("s0")[0].hit, "it was asked for since"


def test_what_is_asked_once_is_not_kept_unless_it_is_wanted() -> None:
    kept = Kept()
    kept.read(cache_first=False)
    kept.servers.answer(5)
    kept.clock.advance(1)
    assert (len(kept.cache), len(kept.servers.calls)) == (0, 1)
    kept.read(cache_first=False)
    assert len(kept.cache) == 1


def test_closing_asks_no_more() -> None:
    kept = Kept().filled()
    kept.cache.close()
    assert kept.servers.cancelled == 1
    assert kept.clock.getDelayedCalls() == []


# -- versions: may what was made of the copies be kept?


def test_a_version_lasts_until_something_about_it_changes() -> None:
    kept = Kept()
    web = (SERVICE, "web")
    assert kept.cache.validator(web) is None
    kept.filled()
    first = kept.cache.validator(web)
    assert first is not None
    assert kept.cache.validator((NODE, "web")) is None
    assert kept.cache.validator(web) == first
    kept.servers.answer(6)
    second = kept.cache.validator(web)
    assert second not in (None, first)
    kept.servers.catalog_writes += 1
    assert kept.cache.validator(web) != second
    kept.clock.advance(PAUSE_S)
    kept.servers.fail()
    assert kept.cache.validator(web) is None, "each answer is to tell its age"


def test_who_was_answered_without_a_copy_spoils_the_version() -> None:
    kept = Kept().filled()
    before = kept.cache.validator((SERVICE, "web"))
    kept.read(filter="Port==1", cache_first=False)
    kept.servers.answer(5)
    assert kept.cache.validator((SERVICE, "web")) != before


# -- the caller in front of the listeners


def called(kept: Kept, method: str, request: Any) -> list[Any]:
    got: list[Any] = []
    CachingCaller(kept.servers, kept.cache, "dc1").call(method, request).addBoth(got.append)
    return got


def test_a_stale_read_that_asks_for_the_cache_is_copied_at_once() -> None:
    kept = Kept()
    for _ in range(2):
        request = NodeRequest(datacenter="dc1", node="n")
        request.options.allow_stale = request.options.use_cache = True
        if not called(kept, "Catalog.ServiceNodes", request):
            kept.servers.answer(5)
    assert (len(kept.cache), kept.cache.hits) == (1, 1)


@pytest.mark.parametrize(
    ("method", "stale", "datacenter", "copied"),
    [
        ("Catalog.ServiceNodes", True, "dc1", True),
        ("Catalog.ServiceNodes", False, "dc1", False),
        ("Catalog.ServiceNodes", True, "dc2", False),
        ("KVS.Get", True, "dc1", False),
    ],
)
def test_only_repeated_stale_reads_of_the_own_catalog_are_copied(
    method: str, stale: bool, datacenter: str, copied: bool
) -> None:
    kept = Kept()
    for _ in range(3):
        request = NodeRequest(datacenter=datacenter, node="n")
        request.options.allow_stale = stale
        if not called(kept, method, request):
            kept.servers.answer(5)
    assert len(kept.cache) == copied
    assert len(kept.servers.calls) == (2 if copied else 3)
