"""Watchers that ask the same wait together: one answer for all, the same bytes as each would get by itself."""

import re

import pytest

from consulpy.http.cache.blocking_groups import BATCH, IDLE_GROUPS_MAX
from consulpy.state.store import Store
from tests.harness.http import HttpHarness, InMemoryClient, Response

REGISTER = "PUT /v1/catalog/register"


def filled() -> HttpHarness:
    """A settled agent with a key and a service."""
    door = HttpHarness(connections_per_client=0)
    door.tell("PUT /v1/kv/a/b", "x")
    register(door, "web", "n")
    door.agent.clock.pump([0.5] * 20)
    return door


def register(door: HttpHarness, service: str, node: str) -> None:
    door.tell(REGISTER, {"Node": node, "Address": "10.0.0.1", "Service": {"Service": service}})


def index_of(door: HttpHarness, path: str) -> int:
    return int(door.ask(f"GET {path}").headers["x-consul-index"])


def wait(door: HttpHarness, path: str, index: int, more: str = "", **headers: str) -> InMemoryClient:
    sign = "&" if "?" in path else "?"
    waiting = door.begin(f"GET {path}{sign}index={index}{more}", **headers)
    door.agent.clock.advance(0)
    return waiting


def turn(door: HttpHarness, times: int = 2) -> None:
    for _ in range(times):
        door.agent.clock.advance(0)


def plain(answer: Response | None) -> tuple[int, dict[str, str], bytes]:
    assert answer is not None
    return answer.status, {name: value for name, value in answer.headers.items() if name != "date"}, answer.body


def test_one_answer_is_made_for_all() -> None:
    door = filled()
    path = "/v1/health/service/web?passing"
    index = index_of(door, path)
    waiting = [wait(door, path, index) for _ in range(3 * BATCH)]
    server = door.agent.server
    assert (server.waiting, len(server.store.watchers)) == (3 * BATCH, 1)
    before = server.queries
    register(door, "web", "m")
    turn(door, 4)
    assert server.queries == before + 1
    assert server.waiting == 0
    expected = plain(door.ask(f"GET {path}"))
    assert all(plain(each.answer) == expected for each in waiting)


def test_thousands_are_answered_in_several_turns() -> None:
    door = filled()
    waiting = [wait(door, "/v1/kv/a/b", index_of(door, "/v1/kv/a/b")) for _ in range(2 * BATCH)]
    answered: list[int] = []
    door.tell("PUT /v1/kv/a/b", "y")
    door.agent.clock.callLater(0, lambda: answered.append(sum(each.answer is not None for each in waiting)))
    turn(door)
    assert answered == [BATCH], "others have their turn in between"
    assert all(each.answer is not None for each in waiting)


def test_who_knows_less_than_the_others_is_answered_at_once() -> None:
    door = filled()
    first = index_of(door, "/v1/kv/a/b")
    door.tell("PUT /v1/kv/a/b", "y")
    second = index_of(door, "/v1/kv/a/b")
    knows, late = wait(door, "/v1/kv/a/b", second), wait(door, "/v1/kv/a/b", first)
    turn(door)
    assert (knows.answer, plain(late.answer)) == (None, plain(door.ask("GET /v1/kv/a/b")))


def test_a_change_elsewhere_wakes_nobody() -> None:
    door = filled()
    waiting = wait(door, "/v1/health/service/web", index_of(door, "/v1/health/service/web"))
    before = door.agent.server.queries
    register(door, "other", "m")
    door.tell("PUT /v1/kv/z", "y")
    turn(door)
    assert waiting.answer is None
    assert door.agent.server.queries == before


def test_time_runs_out_for_each_by_itself() -> None:
    door = filled()
    index = index_of(door, "/v1/kv/a/b")
    short, long = (wait(door, "/v1/kv/a/b", index, f"&wait={seconds}s") for seconds in (10, 100))
    door.agent.clock.advance(9.9)
    assert short.answer is None
    door.agent.clock.advance(10 / 16 + 0.2)
    assert plain(short.answer) == plain(door.ask("GET /v1/kv/a/b"))
    assert long.answer is None
    door.agent.clock.advance(100)
    assert long.answer is not None


def test_a_key_that_is_not_there_is_waited_for() -> None:
    door = filled()
    index = index_of(door, "/v1/kv/none")
    waiting = wait(door, "/v1/kv/none", index, "&raw")
    door.tell("PUT /v1/kv/other", "x")
    turn(door)
    assert waiting.answer is None
    door.tell("PUT /v1/kv/none", "now")
    turn(door)
    assert waiting.answer is not None
    assert (waiting.answer.status, waiting.answer.body) == (200, b"now")


def test_a_request_behind_one_that_waits_is_answered_after_it() -> None:
    door = filled()
    waiting = wait(door, "/v1/kv/a/b?raw", index_of(door, "/v1/kv/a/b"))
    waiting.send(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n")
    waiting.send(b"\r\n")
    assert waiting.raw == b""
    door.tell("PUT /v1/kv/a/b", "first")
    turn(door)
    assert re.findall(rb"\r\n\r\n(first|\".*\")", waiting.raw) == [b"first", b'"127.35.0.1:8300"']


def test_a_connection_waits_again_and_again() -> None:
    door = filled()
    asking = InMemoryClient(door)
    for number in range(3):
        index = index_of(door, "/v1/kv/a/b")
        asking.send(f"GET /v1/kv/a/b?raw&index={index} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        turn(door)
        door.tell("PUT /v1/kv/a/b", f"value {number}")
        turn(door)
    assert re.findall(rb"value \d", asking.raw) == [b"value 0", b"value 1", b"value 2"]


def test_who_sends_too_much_behind_it_is_cut_off() -> None:
    door = filled()
    waiting = wait(door, "/v1/kv/a/b", index_of(door, "/v1/kv/a/b"))
    for _ in range(20):
        waiting.send(b"x" * 4096)
    assert not waiting.transport.connected or waiting.transport.disconnecting
    assert door.agent.server.waiting == 0


def test_who_leaves_waits_no_more() -> None:
    door = filled()
    waiting = [wait(door, "/v1/kv/a/b", index_of(door, "/v1/kv/a/b")) for _ in range(10)]
    assert door.agent.server.waiting == 10
    for each in waiting:
        each.hang_up()
    assert door.agent.server.waiting == 0
    door.tell("PUT /v1/kv/a/b", "y")
    assert len(door.agent.server.store.watchers) == 0
    assert len(door.site.dispatcher.groups) == 0


def test_groups_in_which_nobody_waits_are_bounded() -> None:
    door = filled()
    for number in range(IDLE_GROUPS_MAX + 5):
        wait(door, f"/v1/kv/k{number}", 10_000).hang_up()
    assert len(door.site.dispatcher.groups) == IDLE_GROUPS_MAX


def test_a_restored_state_answers_everybody() -> None:
    door = filled()
    waiting = wait(door, "/v1/kv/a/b", 10_000)
    turn(door)
    assert waiting.answer is None
    door.agent.server.store.replace_by(Store())
    turn(door)
    assert waiting.answer is not None
    assert waiting.answer.status == 404


def test_the_last_request_of_a_connection_closes_it() -> None:
    door = filled()
    waiting = wait(door, "/v1/kv/a/b", index_of(door, "/v1/kv/a/b"), Connection="close")
    door.tell("PUT /v1/kv/a/b", "y")
    turn(door)
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
        door = filled()
        if not together:
            door.site.dispatcher.groups = None
        waiting = wait(door, path, 1, more, Accept_Encoding="gzip")
        door.tell("PUT /v1/kv/a/b", "y")
        register(door, "web", "m")
        for _ in range(10):
            door.agent.clock.advance(100)
        answers.append(plain(waiting.answer))
    assert answers[0] == answers[1]


def test_who_speaks_http_1_0_gets_the_end_of_the_connection_too() -> None:
    door = filled()
    for path in ("/v1/kv/a/b?raw", f"/v1/kv/a/b?raw&index={index_of(door, '/v1/kv/a/b')}"):
        for number in range(4):
            asking = InMemoryClient(door)
            asking.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            door.tell("PUT /v1/kv/a/b", f"y{number}{len(path)}")
            turn(door)
            assert asking.answer is not None
            assert not asking.transport.connected


def test_a_request_line_without_a_protocol_is_refused_each_time() -> None:
    door = filled()
    for path in ("/v1/kv/a/b", "/v1/kv/a/b?index=1"):
        for _ in range(3):
            asking = InMemoryClient(door)
            asking.send(f"GET {path}\r\n\r\n".encode())
            assert asking.answer is not None
            assert asking.answer.status == 400


def test_a_value_that_looks_like_a_header_closes_nothing() -> None:
    door = filled()
    waiting = wait(door, "/v1/kv/a/b?raw", index_of(door, "/v1/kv/a/b"))
    door.tell("PUT /v1/kv/a/b", "x\r\nConnection: close\r\nX-Consul-Index: 1\r\n\r\n")
    turn(door)
    assert waiting.answer is not None
    assert waiting.transport.connected


def test_everybody_is_counted_once() -> None:
    door = filled()
    index = index_of(door, "/v1/kv/a/b")
    for _ in range(5):
        wait(door, "/v1/kv/a/b", index)
    door.tell("PUT /v1/kv/a/b", "y")
    turn(door)
    counts = {each["Name"]: each["Count"] for each in door.agent.metrics.to_json()["Samples"]}
    assert counts["consul.http.GET.v1.kv._"] == 1 + 5
