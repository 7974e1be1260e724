"""Watchers that ask the same wait together: one answer for all, the same bytes as each would get by itself."""

import re
from collections.abc import Callable

import pytest

from consulpy.http.cache.blocking_groups import BATCH, IDLE_GROUPS_MAX
from consulpy.rpc.limits.time_slice import SLICE_S
from consulpy.state.store import Store
from tests.harness.http import HttpHarness, InMemoryClient, Response

REGISTER = "PUT /v1/catalog/register"


def filled() -> HttpHarness:
    """A settled agent with a key and a service."""
    harness = HttpHarness(connections_per_client=0)
    harness.tell("PUT /v1/kv/a/b", "x")
    register(harness, "web", "n")
    harness.agent.clock.pump([0.5] * 20)
    return harness


def register(harness: HttpHarness, service: str, node: str) -> None:
    harness.tell(REGISTER, {"Node": node, "Address": "10.0.0.1", "Service": {"Service": service}})


def index_of(harness: HttpHarness, path: str) -> int:
    return int(harness.ask(f"GET {path}").headers["x-consul-index"])


def wait(harness: HttpHarness, path: str, index: int, more: str = "", **headers: str) -> InMemoryClient:
    sign = "&" if "?" in path else "?"
    waiting = harness.begin(f"GET {path}{sign}index={index}{more}", **headers)
    harness.agent.clock.advance(0)
    return waiting


def turn(harness: HttpHarness, times: int = 2) -> None:
    for _ in range(times):
        harness.agent.clock.advance(0)


def plain(answer: Response | None) -> tuple[int, dict[str, str], bytes]:
    assert answer is not None
    return answer.status, {name: value for name, value in answer.headers.items() if name != "date"}, answer.body


def test_one_answer_is_made_for_all() -> None:
    harness = filled()
    path = "/v1/health/service/web?passing"
    index = index_of(harness, path)
    waiting = [wait(harness, path, index) for _ in range(3 * BATCH)]
    server = harness.agent.server
    assert (server.waiting, len(server.store.watchers)) == (3 * BATCH, 1)
    before = server.queries
    register(harness, "web", "m")
    turn(harness, 4)
    assert server.queries == before + 1
    assert server.waiting == 0
    expected = plain(harness.ask(f"GET {path}"))
    assert all(plain(each.answer) == expected for each in waiting)


def test_thousands_are_answered_in_several_turns() -> None:
    harness = filled()
    waiting = [wait(harness, "/v1/kv/a/b", index_of(harness, "/v1/kv/a/b")) for _ in range(2 * BATCH)]
    answered: list[int] = []
    harness.tell("PUT /v1/kv/a/b", "y")
    harness.agent.clock.callLater(0, lambda: answered.append(sum(each.answer is not None for each in waiting)))
    turn(harness)
    assert answered == [BATCH], "others have their turn in between"
    assert all(each.answer is not None for each in waiting)


def test_the_groups_that_one_change_wakes_share_a_slice_of_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are services that are not there: each of them may appear whenever one disappears."""
    harness = filled()
    paths = [f"/v1/health/service/none{number}" for number in range(7)]
    waiting = [wait(harness, path, index_of(harness, path)) for path in paths]
    woken, clock = harness.agent.server.woken, harness.agent.clock
    update = woken.defer

    def slow_defer(key: object, run: Callable[[], None]) -> None:
        def slow() -> None:
            clock.rightNow += SLICE_S / 3 + 1e-6
            run()

        update(key, slow)

    monkeypatch.setattr(woken, "defer", slow_defer)
    harness.tell("PUT /v1/catalog/deregister", {"Node": "n"})
    answered: list[int] = []
    clock.callLater(0, lambda: answered.append(sum(each.answer is not None for each in waiting)))
    clock.advance(0)
    assert answered == [3], "others have their turn in between"
    assert all(each.answer is not None for each in waiting)


def test_who_knows_less_than_the_others_is_answered_at_once() -> None:
    harness = filled()
    first = index_of(harness, "/v1/kv/a/b")
    harness.tell("PUT /v1/kv/a/b", "y")
    second = index_of(harness, "/v1/kv/a/b")
    knows, late = wait(harness, "/v1/kv/a/b", second), wait(harness, "/v1/kv/a/b", first)
    turn(harness)
    assert (knows.answer, plain(late.answer)) == (None, plain(harness.ask("GET /v1/kv/a/b")))


def test_a_change_elsewhere_wakes_nobody() -> None:
    harness = filled()
    waiting = wait(harness, "/v1/health/service/web", index_of(harness, "/v1/health/service/web"))
    before = harness.agent.server.queries
    register(harness, "other", "m")
    harness.tell("PUT /v1/kv/z", "y")
    turn(harness)
    assert waiting.answer is None
    assert harness.agent.server.queries == before


def test_time_runs_out_for_each_by_itself() -> None:
    harness = filled()
    index = index_of(harness, "/v1/kv/a/b")
    short, long = (wait(harness, "/v1/kv/a/b", index, f"&wait={seconds}s") for seconds in (10, 100))
    harness.agent.clock.advance(9.9)
    assert short.answer is None
    harness.agent.clock.advance(10 / 16 + 0.2)
    assert plain(short.answer) == plain(harness.ask("GET /v1/kv/a/b"))
    assert long.answer is None
    harness.agent.clock.advance(100)
    assert long.answer is not None


def test_a_key_that_is_not_there_is_waited_for() -> None:
    harness = filled()
    index = index_of(harness, "/v1/kv/none")
    waiting = wait(harness, "/v1/kv/none", index, "&raw")
    harness.tell("PUT /v1/kv/other", "x")
    turn(harness)
    assert waiting.answer is None
    harness.tell("PUT /v1/kv/none", "now")
    turn(harness)
    assert waiting.answer is not None
    assert (waiting.answer.status, waiting.answer.body) == (200, b"now")


def test_a_request_behind_one_that_waits_is_answered_after_it() -> None:
    harness = filled()
    waiting = wait(harness, "/v1/kv/a/b?raw", index_of(harness, "/v1/kv/a/b"))
    waiting.send(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n")
    waiting.send(b"\r\n")
    assert waiting.raw == b""
    harness.tell("PUT /v1/kv/a/b", "first")
    turn(harness)
    assert re.findall(rb"\r\n\r\n(first|\".*\")", waiting.raw) == [b"first", b'"127.35.0.1:8300"']


def test_a_connection_waits_again_and_again() -> None:
    harness = filled()
    asking = InMemoryClient(harness)
    for number in range(3):
        index = index_of(harness, "/v1/kv/a/b")
        asking.send(f"GET /v1/kv/a/b?raw&index={index} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        turn(harness)
        harness.tell("PUT /v1/kv/a/b", f"value {number}")
        turn(harness)
    assert re.findall(rb"value \d", asking.raw) == [b"value 0", b"value 1", b"value 2"]


def test_who_sends_too_much_behind_it_is_cut_off() -> None:
    harness = filled()
    waiting = wait(harness, "/v1/kv/a/b", index_of(harness, "/v1/kv/a/b"))
    for _ in range(20):
        waiting.send(b"x" * 4096)
    assert not waiting.transport.connected or waiting.transport.disconnecting
    assert harness.agent.server.waiting == 0


def test_who_leaves_waits_no_more() -> None:
    harness = filled()
    waiting = [wait(harness, "/v1/kv/a/b", index_of(harness, "/v1/kv/a/b")) for _ in range(10)]
    assert harness.agent.server.waiting == 10
    for each in waiting:
        each.hang_up()
    assert harness.agent.server.waiting == 0
    harness.tell("PUT /v1/kv/a/b", "y")
    assert len(harness.agent.server.store.watchers) == 0
    assert len(harness.site.dispatcher.groups) == 0


def test_groups_in_which_nobody_waits_are_bounded() -> None:
    harness = filled()
    for number in range(IDLE_GROUPS_MAX + 5):
        wait(harness, f"/v1/kv/k{number}", 10_000).hang_up()
    assert len(harness.site.dispatcher.groups) == IDLE_GROUPS_MAX


def test_a_restored_state_answers_everybody() -> None:
    harness = filled()
    waiting = wait(harness, "/v1/kv/a/b", 10_000)
    turn(harness)
    assert waiting.answer is None
    harness.agent.server.store.replace_by(Store())
    turn(harness)
    assert waiting.answer is not None
    assert waiting.answer.status == 404


def test_the_last_request_of_a_connection_closes_it() -> None:
    harness = filled()
    waiting = wait(harness, "/v1/kv/a/b", index_of(harness, "/v1/kv/a/b"), Connection="close")
    harness.tell("PUT /v1/kv/a/b", "y")
    turn(harness)
    assert waiting.answer is not None
    assert not waiting.transport.connected


@pytest.mark.parametrize(
    "path",
    [
        "/v1/kv/a/b",
        "/v1/kv/a?recurse",
        "/v1/kv/a?keys&separator=/",
        "/v1/kv/none",
        "/v1/health/service/web?passing&tag=x",
        "/v1/health/service/web?filter=Bad==",
        "/v1/health/state/any?stale",
        "/v1/health/node/n?consistent",
        "/v1/catalog/nodes?dc=dc1",
        "/v1/catalog/nodes?dc=nowhere",
        "/v1/catalog/services?pretty",
        "/v1/catalog/node/none",
        "/v1/catalog/service/",
        "/v1/kv/a/b?%69ndex=3",
        "/v1/kv/a/b?index=2",
    ],
)
@pytest.mark.parametrize("more", ["&wait=1s", "&wait=soon", ""])
def test_both_ways_give_the_same_answer(path: str, more: str) -> None:
    answers = []
    for together in (True, False):
        harness = filled()
        if not together:
            harness.site.dispatcher.groups = None
        waiting = wait(harness, path, 1, more, Accept_Encoding="gzip")
        harness.tell("PUT /v1/kv/a/b", "y")
        register(harness, "web", "m")
        for _ in range(10):
            harness.agent.clock.advance(100)
        answers.append(plain(waiting.answer))
    assert answers[0] == answers[1]


def test_who_speaks_http_1_0_gets_the_end_of_the_connection_too() -> None:
    harness = filled()
    for path in ("/v1/kv/a/b?raw", f"/v1/kv/a/b?raw&index={index_of(harness, '/v1/kv/a/b')}"):
        for number in range(4):
            asking = InMemoryClient(harness)
            asking.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            harness.tell("PUT /v1/kv/a/b", f"y{number}{len(path)}")
            turn(harness)
            assert asking.answer is not None
            assert not asking.transport.connected


def test_a_request_line_without_a_protocol_is_refused_each_time() -> None:
    harness = filled()
    for path in ("/v1/kv/a/b", "/v1/kv/a/b?index=1"):
        for _ in range(3):
            asking = InMemoryClient(harness)
            asking.send(f"GET {path}\r\n\r\n".encode())
            assert asking.answer is not None
            assert asking.answer.status == 400


def test_a_value_that_looks_like_a_header_closes_nothing() -> None:
    harness = filled()
    waiting = wait(harness, "/v1/kv/a/b?raw", index_of(harness, "/v1/kv/a/b"))
    harness.tell("PUT /v1/kv/a/b", "x\r\nConnection: close\r\nX-Consul-Index: 1\r\n\r\n")
    turn(harness)
    assert waiting.answer is not None
    assert waiting.transport.connected


def test_everybody_is_counted_once() -> None:
    harness = filled()
    index = index_of(harness, "/v1/kv/a/b")
    for _ in range(5):
        wait(harness, "/v1/kv/a/b", index)
    harness.tell("PUT /v1/kv/a/b", "y")
    turn(harness)
    counts = {each["Name"]: each["Count"] for each in harness.agent.metrics.to_json()["Samples"]}
    assert counts["consul.http.GET.v1.kv._"] == 1 + 5


@pytest.mark.parametrize("wait_for", ["", "&wait=0s", "&wait=5m"])
def test_what_has_no_index_is_not_waited_for(wait_for: str) -> None:
    """The 404 of a node has none, so no client can know when it changed; the second one waited for the whole time."""
    harness = filled()
    path = "/v1/internal/ui/node/none"
    for _ in range(3):
        waiting = wait(harness, path, 1, wait_for)
        turn(harness)
        assert waiting.answer is not None
        assert waiting.answer.status == 404
    together = [wait(harness, path, 1, wait_for) for _ in range(3)]
    turn(harness)
    assert [each.answer is not None for each in together] == [True] * 3
    assert harness.agent.server.waiting == 0
