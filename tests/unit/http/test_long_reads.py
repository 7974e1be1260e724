"""Filters of many rows are evaluated over several turns of the reactor, with the answers that one turn would give."""

from collections.abc import Iterator
from typing import Any

import pytest

from consulpy.clock import Clock, Timer
from consulpy.rpc import long_read
from consulpy.rpc.endpoints import _result_filters
from consulpy.rpc.long_read import LongRead, LongReads
from consulpy.structs.options import QueryMeta
from consulpy.testing.simulation.clock import HeapClock
from tests.harness.http import HttpHarness, InMemoryClient, Response

NODES = 12
TURN_S = 0.001
FILTERS = {
    "/v1/catalog/nodes": "Node matches `[13579]$`",
    "/v1/catalog/service/web": "ServiceMeta.n != `3`",
    "/v1/catalog/node/n1": "Service == web",
    "/v1/catalog/node-services/n1": "Service != web",
    "/v1/health/node/n1": "Name contains `c`",
    "/v1/health/checks/web": "Node matches `[13579]$`",
    "/v1/health/state/any": "Status == passing",
    "/v1/health/service/web": "Checks.Status == critical or Service.Meta.n == `4`",
    "/v1/health/service/web?passing": "Node.Node != n2",
    "/v1/health/service/web?near=agent-one": "Node.Node != n2",
    "/v1/internal/ui/nodes": "Node matches `[13579]$`",
    "/v1/internal/ui/services": "Node.Node matches `[13579]$`",
    "/v1/connect/intentions": "SourceName == a",
}
PATH = "/v1/health/service/web?filter=Node.Node+matches+`[13579]$`"


@pytest.fixture
def harness() -> HttpHarness:
    harness = HttpHarness(connections_per_client=0)
    for number in range(NODES):
        register(harness, number, "critical" if number % 3 else "passing")
    for name in "abc":
        intention = {"SourceName": name, "DestinationName": "x", "Action": "allow", "SourceType": "consul"}
        harness.tell("POST /v1/connect/intentions", intention)
    harness.agent.clock.pump([0.5] * 20)
    return harness


class SlowTurns:
    """A clock whose next turn is a millisecond away."""

    def __init__(self, clock: Clock) -> None:
        self.seconds = clock.seconds
        self._clock = clock

    def callLater(self, delay: float, callable: Any, *args: Any, **kw: Any) -> Timer:  # noqa: A002
        return self._clock.callLater(delay + TURN_S, callable, *args, **kw)


@pytest.fixture
def row_by_row(harness: HttpHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row in each turn."""
    slow_down(harness, monkeypatch)


def slow_down(harness: HttpHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_result_filters, "ROWS_AT_ONCE", 0)
    monkeypatch.setattr(_result_filters, "ROWS_OF_A_STEP", 1)
    monkeypatch.setattr(long_read, "SLICE_S", 0.0)
    monkeypatch.setattr(harness.agent.server.long_reads, "_clock", SlowTurns(harness.agent.clock))


def register(harness: HttpHarness, number: int, status: str = "passing") -> None:
    node, meta = f"n{number}", {"n": str(number)}
    check = {"Node": node, "CheckID": "c", "Name": "c", "Status": status, "ServiceID": "web"}
    service = {"Service": "web", "ID": "web", "Meta": meta, "Port": 80}
    body = {"Node": node, "Address": "10.0.0.1", "Service": service, "Check": check}
    harness.tell("PUT /v1/catalog/register", body)


def filtered(path: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}filter={FILTERS[path].replace(' ', '+')}"


def plain(answer: Response | None) -> tuple[int, dict[str, str], bytes]:
    assert answer is not None
    return answer.status, {name: value for name, value in answer.headers.items() if name != "date"}, answer.body


def turns(harness: HttpHarness, count: int) -> None:
    for _ in range(count):
        harness.agent.clock.advance(TURN_S)


def wait(harness: HttpHarness, index: int) -> InMemoryClient:
    waiting = harness.begin(f"GET {PATH}&index={index}")
    turns(harness, 1)
    return waiting


def nodes_in(client: InMemoryClient) -> list[str]:
    assert client.answer is not None
    return [row["Node"]["Node"] for row in client.answer.json]


@pytest.mark.parametrize("path", FILTERS)
def test_the_answer_is_the_same(harness: HttpHarness, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = plain(harness.ask(f"GET {filtered(path)}"))
    assert len(at_once[2]) > 0, "the filter takes something"
    slow_down(harness, monkeypatch)
    later = harness.begin(f"GET {filtered(path)}")
    assert later.answer is None
    turns(harness, 3 * NODES)
    assert plain(later.answer) == at_once


@pytest.mark.parametrize("path", ["/v1/health/service/web", "/v1/catalog/nodes", "/v1/health/service/none"])
def test_a_bad_expression_is_told_at_once(harness: HttpHarness, row_by_row: None, path: str) -> None:
    answer = harness.ask(f"GET {path}?filter=Foo+==+1")
    assert answer.status == 500
    assert "Failed to create boolean expression evaluator" in answer.text
    waiting = harness.begin(f"GET {path}?filter=Foo+==+1&index=100000")
    turns(harness, 1)
    assert waiting.answer is not None
    assert waiting.answer.status == 500


def test_others_have_their_turn_and_the_rows_are_those_of_one_moment(harness: HttpHarness, row_by_row: None) -> None:
    index = harness.agent.server.store.index
    reading = harness.begin(f"GET {PATH}")
    turns(harness, 3)
    for number in range(NODES):
        harness.tell("PUT /v1/catalog/deregister", {"Node": f"n{number}"})
    assert harness.ask("GET /v1/health/service/web").json == []
    turns(harness, 2 * NODES)
    assert nodes_in(reading) == ["n1", "n11", "n3", "n5", "n7", "n9"]
    assert reading.answer is not None
    assert int(reading.answer.headers["x-consul-index"]) <= index


def test_several_share_the_turns(harness: HttpHarness, row_by_row: None) -> None:
    reading = [harness.begin(f"GET {PATH}&pretty={number}") for number in range(3)]
    turns(harness, 3 * NODES)
    assert [each.answer is not None for each in reading] == [False] * 3
    turns(harness, NODES)
    assert all(each.answer is not None for each in reading)


def test_who_hangs_up_costs_no_more(harness: HttpHarness, row_by_row: None) -> None:
    reading = harness.begin(f"GET {PATH}")
    turns(harness, 2)
    assert len(harness.agent.server.long_reads) == 1
    reading.hang_up()
    assert len(harness.agent.server.long_reads) == 0


def test_the_answer_is_cached_unless_a_row_changed_meanwhile(harness: HttpHarness, row_by_row: None) -> None:
    cache = harness.service.cache
    for changes in (True, False):
        for status in ("warning", "critical"):  # what was asked twice is cached
            reading = harness.begin(f"GET {PATH}")
            turns(harness, 3)
            if changes:
                register(harness, 1, status)
            turns(harness, 2 * NODES)
            assert reading.answer is not None
        assert len(cache) == (0 if changes else 1)
    assert plain(harness.ask(f"GET {PATH}")) == plain(reading.answer)


class TestBlockingQueries:
    def test_one_evaluation_answers_all(self, harness: HttpHarness, row_by_row: None) -> None:
        index = self.current(harness)
        waiting = [wait(harness, index) for _ in range(5)]
        turns(harness, 2 * NODES)
        assert not any(each.answer for each in waiting)
        before = harness.agent.server.queries
        register(harness, 13)
        turns(harness, 2 * NODES)
        assert [nodes_in(each) for each in waiting] == [["n1", "n11", "n13", "n3", "n5", "n7", "n9"]] * 5
        assert harness.agent.server.queries == before + 1

    def test_a_change_during_the_evaluation_is_not_missed(self, harness: HttpHarness, row_by_row: None) -> None:
        waiting = wait(harness, self.current(harness))
        turns(harness, 2 * NODES)
        register(harness, 13)
        turns(harness, 3)
        register(harness, 15)
        turns(harness, 2 * NODES)
        assert waiting.answer is not None
        assert "n15" not in nodes_in(waiting)
        again = wait(harness, int(waiting.answer.headers["x-consul-index"]))
        turns(harness, 2 * NODES)
        assert "n15" in nodes_in(again)

    def test_a_change_while_the_first_response_is_made_answers(self, harness: HttpHarness, row_by_row: None) -> None:
        waiting = wait(harness, self.current(harness))
        turns(harness, 3)
        register(harness, 13)
        turns(harness, 4 * NODES)
        assert "n13" in nodes_in(waiting)

    @pytest.mark.parametrize("more", ["", "&near=agent-one"])  # in a group, and by itself
    def test_a_wait_ends_with_the_same_index(self, harness: HttpHarness, row_by_row: None, more: str) -> None:
        index = self.current(harness)
        waiting = harness.begin(f"GET {PATH}&index={index}&wait=2s{more}")
        harness.agent.clock.pump([0.05] * 60)
        assert waiting.answer is not None
        assert int(waiting.answer.headers["x-consul-index"]) == index
        assert nodes_in(waiting) == ["n1", "n11", "n3", "n5", "n7", "n9"]

    def test_by_itself_it_evaluates_nothing_before_its_index_has_passed(
        self, harness: HttpHarness, row_by_row: None
    ) -> None:
        waiting = harness.begin(f"GET {PATH}&index={self.current(harness)}&near=agent-one")
        turns(harness, 2)
        assert len(harness.agent.server.long_reads) == 0
        register(harness, 13)
        turns(harness, 2)
        assert len(harness.agent.server.long_reads) == 1
        waiting.hang_up()
        assert len(harness.agent.server.long_reads) == 0

    def current(self, harness: HttpHarness) -> int:
        return int(harness.ask("GET /v1/health/service/web").headers["x-consul-index"])


def test_an_error_of_a_step_is_the_result() -> None:
    def steps() -> Iterator[None]:
        yield
        raise ValueError("bad row")

    clock = HeapClock()
    reads = LongReads(clock)
    failures: list[object] = []
    reads.finish(LongRead(QueryMeta(), steps())).addErrback(failures.append)  # type: ignore[arg-type]
    clock.advance(0)
    assert "bad row" in str(failures[0])
    assert len(reads) == 0
