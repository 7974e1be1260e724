"""Large answers are rendered elsewhere and sent in parts: the same bytes, one state, at the client's pace."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from consulpy.http.api.endpoint import TURN_MAX_S
from consulpy.http.api.large_body import (
    LARGE_BYTES,
    LARGE_ROWS,
    PART_BYTES,
    Parts,
    Rendering,
    is_large,
    json_parts,
    sliced,
)
from consulpy.http.api.render import Rows, to_bytes
from consulpy.http.connection.limits import DEFAULT_LIMITS, IDLE_TIMEOUT_S, ConnectionLimits
from tests.harness.http import HttpHarness

VALUE_BYTES = 400 * 1024
COUNT = LARGE_BYTES // VALUE_BYTES + 2

JSON = st.recursive(
    st.none() | st.integers() | st.text('a<&>\n"\xe9\udcff', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab<", max_size=2), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(JSON, max_size=200).map(lambda found: Rows(found, lambda row: row, lambda _row: 100))


def plainly(body: Any) -> Any:
    """The same body without `Rows`."""
    if isinstance(body, Rows):
        return body.shown()
    return {key: plainly(value) for key, value in body.items()} if isinstance(body, dict) else body


@given(st.one_of(ROWS, st.dictionaries(st.text('ab<"', max_size=3), st.one_of(JSON, ROWS), max_size=4)), st.booleans())
def test_in_parts_or_whole_the_bytes_are_the_same(body: Any, pretty: bool) -> None:
    whole = to_bytes(plainly(body), pretty)
    assert b"".join(json_parts(body, pretty)) == whole
    assert to_bytes(body, pretty) == whole


def test_no_part_is_much_larger_than_its_bound() -> None:
    sizes = [10, 200_000, 70_000, 5, 300_000] * 40
    body = Rows(["x" * size for size in sizes], lambda row: row, len)
    parts = list(json_parts(body, pretty=False))
    assert max(map(len, parts)) <= PART_BYTES + max(sizes) + 100
    assert len(list(json_parts(Rows(list(range(1000)), lambda row: row), pretty=False))) >= 1000 / 64


@pytest.mark.parametrize(
    ("body", "large"),
    [
        (Rows([b"x"] * LARGE_ROWS, str), False),
        (Rows([b"x"] * (LARGE_ROWS + 1), str), True),
        (Rows([b"x" * 1000] * 3000, str, len), True),
        (Rows([b"x" * 1000] * 1000, str, len), False),
        ({"Results": Rows([b"x" * 1000] * 3000, str, len)}, True),
        ({"Results": None}, False),
        (None, False),
    ],
)
def test_what_is_large(body: Any, large: bool) -> None:
    assert is_large(body) is large


class Elsewhere:
    """A thread that works when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, job: Callable[[], Any]) -> "Deferred[Any]":
        self.jobs.append((job, Deferred()))
        return self.jobs[-1][1]

    def work(self) -> None:
        for job, done in self.jobs:
            done.callback(job())
        self.jobs.clear()


def filled(in_thread: Elsewhere, *, short: bool, limits: ConnectionLimits = DEFAULT_LIMITS) -> HttpHarness:
    harness = HttpHarness(in_thread=in_thread, limits=limits)
    harness.begin("DELETE /v1/kv/none").hang_up()  # Klein's routes are loaded elsewhere too
    in_thread.work()
    if not short:
        harness.site.dispatcher.serve = None
    for number in range(COUNT):
        harness.tell(f"PUT /v1/kv/big/{number}", bytes([65 + number]) * VALUE_BYTES)
    return harness


READ = "GET /v1/kv/big/?recurse"


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("parameters", ["", "&pretty"])
@pytest.mark.parametrize("headers", [{}, {"Accept_Encoding": "gzip"}])
def test_a_large_answer_is_made_elsewhere_and_shows_the_state_of_its_index(
    short: bool, parameters: str, headers: dict[str, str]
) -> None:
    elsewhere = Elsewhere()
    harness = filled(elsewhere, short=short)
    before = harness.agent.server.store.kv.with_prefix(None, "big/")
    asking = harness.begin(READ + parameters, **headers)
    assert asking.raw == b""
    harness.tell("PUT /v1/kv/big/0", b"changed")
    harness.tell("DELETE /v1/kv/big/1")

    elsewhere.work()

    answer = asking.answer
    assert answer is not None
    assert answer.status == 200
    assert answer.headers["x-consul-index"] == str(before[0])
    assert answer.body == to_bytes([entry.to_json() for entry in before[1]], bool(parameters))
    sent = asking.raw.partition(b"\r\n\r\n")[2]
    assert answer.headers["content-length"] == str(len(sent))


def test_many_instances_of_a_prepared_query_are_rendered_elsewhere() -> None:
    elsewhere = Elsewhere()
    harness = filled(elsewhere, short=True)
    for number in range(LARGE_ROWS + 1):
        body = {"Node": f"n{number}", "Address": "10.0.0.1", "Service": {"Service": "web", "Port": 1}}
        harness.tell("PUT /v1/catalog/register", body)
    harness.tell("POST /v1/query", {"Name": "q", "Service": {"Service": "web"}})
    asking = harness.begin("GET /v1/query/q/execute")
    assert asking.raw == b""
    elsewhere.work()
    assert asking.answer is not None
    assert len(asking.answer.json["Nodes"]) == LARGE_ROWS + 1
    assert asking.answer.json["Nodes"][0]["Checks"] is None


def test_the_results_of_a_transaction_that_reads_much_are_rendered_elsewhere() -> None:
    """A transaction may read whole trees: 64 keys at their largest, or all keys, 64 times."""
    elsewhere = Elsewhere()
    harness = filled(elsewhere, short=True)
    operations = [{"KV": {"Verb": "get", "Key": "big/0"}}, {"KV": {"Verb": "get-tree", "Key": "big/"}}]
    asking = harness.begin("PUT /v1/txn", json.dumps(operations))
    assert asking.raw == b""
    elsewhere.work()
    assert asking.answer is not None
    results = asking.answer.json["Results"]
    assert [each["KV"]["Key"] for each in results] == ["big/0", *(f"big/{number}" for number in range(COUNT))]
    assert asking.answer.json["Errors"] is None


@pytest.mark.parametrize("short", [True, False])
def test_what_comes_behind_a_large_answer_is_answered_after_it(short: bool) -> None:
    elsewhere = Elsewhere()
    harness = filled(elsewhere, short=short)
    asking = harness.begin(READ)
    asking.send(b"GET /v1/status/leader HTTP/1.1\r\nHost: h\r\n\r\n")
    elsewhere.work()
    harness.agent.clock.advance(0)
    assert asking.raw.count(b"HTTP/1.1 200 OK") == 2
    assert asking.raw.endswith(b':8300"')


@pytest.mark.parametrize("short", [True, False])
def test_a_client_that_leaves_ends_the_work(short: bool) -> None:
    elsewhere = Elsewhere()
    harness = filled(elsewhere, short=short)
    asking = harness.begin(READ)
    asking.hang_up()
    [(job, _)] = elsewhere.jobs
    assert job().size == 0
    assert asking.raw == b""


@pytest.mark.parametrize("limit_s", [IDLE_TIMEOUT_S, 300.0])
def test_a_slow_client_is_sent_no_more_than_it_takes_and_is_cut_off_when_it_takes_nothing(limit_s: float) -> None:
    """`http_config.write_timeout` of Consul 1.22."""
    elsewhere = Elsewhere()
    harness = filled(elsewhere, short=True, limits=ConnectionLimits(write_s=limit_s))
    asking = harness.begin(READ)
    real = asking.transport.write

    def write(data: bytes) -> None:
        real(data)
        asking.channel._channel.pauseProducing()  # its buffer is full

    asking.transport.write = write
    elsewhere.work()
    first = len(asking.raw)
    one = VALUE_BYTES * 4 // 3 + 1000  # a part has one value at least
    assert 0 < first <= one

    harness.agent.clock.advance(limit_s / 2)
    asking.channel._channel.resumeProducing()
    assert first < len(asking.raw) <= first + one
    harness.agent.clock.advance(limit_s - 1)
    assert asking.transport.connected
    harness.agent.clock.advance(2)
    assert not asking.transport.connected


def test_a_whole_body_is_compressed_in_parts_too() -> None:
    body = json.dumps(list(range(500_000))).encode()
    made = Rendering(sliced(body), compress=True).run()
    assert gzip.decompress(b"".join(made.parts)) == body
    assert Parts(list(sliced(body))).size == len(body)


@pytest.mark.parametrize("short", [True, False])
def test_a_request_in_a_long_turn_waits_for_the_next_one(short: bool) -> None:
    """So costly reads that come together are made one in a turn, and gossip is read between them."""
    harness = filled(Elsewhere(), short=short)
    agent = harness.agent
    agent.turn.began_s = agent.clock.seconds() - TURN_MAX_S - 0.01
    asking = harness.begin("GET /v1/status/leader")
    gone = harness.begin("GET /v1/status/leader")
    gone.hang_up()
    agent.clock.callLater(0, lambda: setattr(agent.turn, "began_s", agent.clock.seconds()))
    assert asking.raw == b""

    agent.clock.advance(0)

    assert asking.raw.endswith(b':8300"')
    assert gone.raw == b""
