"""The agent's own endpoints and user events, through the harness."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from consulpy.memberlist.member import Member as Node
from consulpy.memberlist.member import State
from consulpy.rpc.limits.time_slice import SLICE_S
from tests.fakes.keys import KEY
from tests.harness.http import HttpHarness


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness()


def test_members(harness: HttpHarness) -> None:
    names = [member["Name"] for member in harness.ask("GET /v1/agent/members").json]
    assert sorted(names) == ["agent-one", "agent-two"]
    assert harness.ask("GET /v1/agent/members?wan").json[0]["Name"] != "agent-one.dc1", "wan takes a value"
    assert [member["Name"] for member in harness.ask("GET /v1/agent/members?wan=1").json] == ["agent-one.dc1"]


def test_a_client_has_no_wan_members(harness: HttpHarness) -> None:
    harness.agent.wan = None
    assert harness.ask("GET /v1/agent/members?wan=1").body == b"null"


def test_segments_are_not_supported(harness: HttpHarness) -> None:
    answer = harness.ask("GET /v1/agent/members?segment=x")
    assert (answer.status, answer.text) == (500, "Network segments are not supported in this version of Consul")


def test_join_and_its_pool(harness: HttpHarness) -> None:
    assert harness.ask("PUT /v1/agent/join/10.0.0.1").body == b""
    harness.tell("PUT /v1/agent/join/a%2Fb?wan=1")
    assert harness.agent.joined == [(["10.0.0.1"], False), (["a/b"], True)]


def test_a_join_that_fails_says_why(harness: HttpHarness) -> None:
    answer = harness.ask("PUT /v1/agent/join/")
    assert (answer.status, answer.text[:16]) == (500, "1 error occurred")


def test_force_leave_and_prune(harness: HttpHarness) -> None:
    harness.tell("PUT /v1/agent/force-leave/agent-two")
    harness.tell("PUT /v1/agent/force-leave/agent-two?prune")
    assert harness.agent.forced == [("agent-two", False), ("agent-two", True)]
    harness.tell("PUT /v1/agent/force-leave/agent-two.dc1?wan")
    assert harness.agent.forced.pop() == ("wan:agent-two.dc1", False)
    answer = harness.ask("PUT /v1/agent/force-leave/nobody")
    assert (answer.status, answer.text) == (500, "agent: No node found with name 'nobody'")


def test_leave_and_reload(harness: HttpHarness) -> None:
    harness.tell("PUT /v1/agent/reload")
    harness.tell("PUT /v1/agent/leave")
    assert (harness.agent.reloaded, harness.agent.left) == (True, True)


def test_success_without_a_word_has_no_content_type(harness: HttpHarness) -> None:
    answer = harness.ask("PUT /v1/agent/reload")
    assert (answer.status, answer.body, answer.headers.get("content-type")) == (200, b"", None)


def test_self_shows_the_coordinate(harness: HttpHarness) -> None:
    shown = harness.ask("GET /v1/agent/self").json
    assert shown["Coord"] == {"Vec": [0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-05}


def test_a_timeline_of_a_member(harness: HttpHarness) -> None:
    told = harness.ask("GET /v1/agent/timeline/agent-two")
    verdict = {"cause": "healthy", "text": "agent-two is fine", "evidence": []}
    assert told.json == {"Name": "agent-two", "Index": 1, "verdict": verdict, "Events": [{"Kind": "alive"}]}
    assert told.headers["x-consul-index"] == "1"
    answer = harness.ask("GET /v1/agent/timeline/nobody")
    assert (answer.status, answer.text) == (404, "No member called 'nobody' was ever seen here")


def test_a_timeline_waits_for_the_next_change(harness: HttpHarness) -> None:
    harness.agent.history.add("agent-two", "suspected", 1)
    assert harness.ask("GET /v1/agent/timeline/agent-two?index=1").headers["x-consul-index"] == "2"
    waiting = harness.begin("GET /v1/agent/timeline/agent-two?index=2&wait=60s")
    harness.agent.history.add("agent-one", "alive", 1)
    assert waiting.answer is None
    harness.agent.history.add("agent-two", "dead", 1)
    harness.agent.history.add("agent-two", "alive", 2)
    assert waiting.answer is None, "the change is not complete before the next turn"
    harness.agent.clock.advance(0)
    assert waiting.answer is not None
    assert waiting.answer.headers["x-consul-index"] == "5"
    assert harness.agent.history.listeners == []


def test_an_index_of_before_a_restart_is_answered_at_once(harness: HttpHarness) -> None:
    for path in ("timeline", "timeline/agent-two", "members"):
        assert harness.ask(f"GET /v1/agent/{path}?index=1000&wait=60s").headers["x-consul-index"] == "1"


@pytest.mark.parametrize("path", ["timeline", "timeline/agent-two", "members"])
@pytest.mark.parametrize("query", ["index=x", "index=-1", "index=1&wait=soon"])
def test_indexes_and_waits_are_checked(harness: HttpHarness, path: str, query: str) -> None:
    answer = harness.ask(f"GET /v1/agent/{path}?{query}")
    assert (answer.status, answer.text.startswith("Invalid ")) == (400, True)


def test_members_wait_for_the_next_change(harness: HttpHarness) -> None:
    """Not in Consul, which ignores both: `index` counts the changes of the pool."""
    membership = harness.agent.lan.membership
    assert harness.ask("GET /v1/agent/members", User_Agent="a browser").headers["x-consul-index"] == "1"
    assert "x-consul-index" not in harness.ask("GET /v1/agent/members").headers, "exactly Consul's headers"
    waiting = harness.begin("GET /v1/agent/members?index=1&wait=60s")
    wan = harness.begin("GET /v1/agent/members?wan=1&index=1&wait=60s")
    for name in ("n1", "n2"):
        membership.handle_node_join(
            Node(name, "127.0.0.3", 8301, b"\xff\x80", (1, 5, 2, 2, 5, 4), 1, State.ALIVE, 0), 0, 60
        )
    assert waiting.answer is None
    harness.agent.clock.advance(0)
    assert waiting.answer is not None
    assert [member["Name"] for member in waiting.answer.json] == ["agent-one", "agent-two", "n1", "n2"]
    assert int(waiting.answer.headers["x-consul-index"]) == membership.index > 2
    assert wan.answer is None, "another pool"
    assert membership.listeners == []


def test_members_that_do_not_change_are_answered_in_the_end(harness: HttpHarness) -> None:
    waiting = harness.begin("GET /v1/agent/members?index=1&wait=1s")
    harness.agent.clock.advance(2)
    assert waiting.answer is not None
    assert waiting.answer.headers["x-consul-index"] == "1"


def test_a_client_that_goes_away_waits_no_more(harness: HttpHarness) -> None:
    waiting = harness.begin("GET /v1/agent/members?index=1&wait=60s")
    assert len(harness.agent.lan.membership.listeners) == 1
    waiting.hang_up()
    assert harness.agent.lan.membership.listeners == []


def test_a_timeline_that_does_not_change_is_answered_in_the_end(harness: HttpHarness) -> None:
    waiting = harness.begin("GET /v1/agent/timeline?index=1&wait=1s")
    assert waiting.answer is None
    harness.agent.clock.advance(2)
    assert waiting.answer is not None
    assert (waiting.answer.status, waiting.answer.json) == (200, [])


def test_the_last_change_of_each_member(harness: HttpHarness) -> None:
    for name, what in (("a", "alive"), ("b", "suspected"), ("a", "dead")):
        harness.agent.history.add(name, what, 1)
    told = harness.ask("GET /v1/agent/timeline")
    assert told.json == [{"Name": "a", "What": "dead"}, {"Name": "b", "What": "suspected"}]
    assert told.headers["x-consul-index"] == "4"


def test_the_doctor_looks_at_the_agent_or_at_a_target(harness: HttpHarness) -> None:
    assert harness.ask("GET /v1/agent/doctor").json == {"findings": [{"check": "agent", "status": "pass"}]}
    found = harness.ask("GET /v1/agent/doctor/10.0.0.1:8301").json
    assert found == {"findings": [{"check": "join 10.0.0.1:8301", "status": "pass"}]}


def test_prometheus_must_be_switched_on(harness: HttpHarness) -> None:
    answer = harness.ask("GET /v1/agent/metrics?format=prometheus")
    assert (answer.status, answer.text) == (415, "Prometheus is not enabled since its retention time is not positive")
    harness.agent.prometheus_enabled = True
    assert harness.ask("GET /v1/agent/metrics?format=prometheus").headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("relay-factor=9", "Bad request: Invalid relay-factor: Relay factor must be in range: [0, 5]"),
        ("relay-factor=-1", "Bad request: Invalid relay-factor: Relay factor must be in range: [0, 5]"),
        ("relay-factor=x", 'Bad request: Error parsing relay factor: strconv.Atoi: parsing "x": invalid syntax'),
    ],
)
def test_relay_factors(harness: HttpHarness, query: str, text: str) -> None:
    answer = harness.ask(f"GET /v1/operator/keyring?{query}")
    assert (answer.status, answer.text) == (400, text)


def test_keyring_operations(harness: HttpHarness) -> None:
    harness.tell("GET /v1/operator/keyring?relay-factor=2")
    harness.tell("POST /v1/operator/keyring", {"Key": KEY})
    harness.tell("DELETE /v1/operator/keyring", {"Key": KEY})
    assert harness.agent.keys == [("list", "", 2), ("install", KEY, 0), ("remove", KEY, 0)]


@pytest.mark.parametrize(
    ("query", "status", "pools"),
    [
        ("local-only", 200, 2),
        ("local-only=false", 200, 2),
        ("local-only=true", 200, 1),
        ("local-only=1", 200, 1),
        ("local-only=xyz", 400, 'Error parsing local-only: strconv.ParseBool: parsing "xyz": invalid syntax'),
    ],
)
def test_keys_without_the_wan_pool(harness: HttpHarness, query: str, status: int, pools: Any) -> None:
    """As a real agent answers."""
    answer = harness.ask(f"GET /v1/operator/keyring?{query}")
    assert answer.status == status
    assert (len(answer.json) if status == 200 else answer.text) == (pools if status == 200 else f"Bad request: {pools}")


def test_only_lists_of_keys_are_local(harness: HttpHarness) -> None:
    refused = harness.ask("PUT /v1/operator/keyring?local-only=true", {"Key": "k"})
    text = "Bad request: Invalid use of local-only: local-only can only be set for list requests"
    assert (refused.status, refused.text) == (400, text)
    assert harness.agent.keys == []
    assert harness.ask("PUT /v1/operator/keyring?local-only=false", {"Key": KEY}).status == 200


def test_an_event_comes_back_with_its_time(harness: HttpHarness) -> None:
    fired = harness.ask("PUT /v1/event/fire/deploy?node=agent-.*", "v2").json
    assert fired["LTime"] == 0
    (heard,) = harness.ask("GET /v1/event/list?name=deploy").json
    assert heard == {**fired, "LTime": heard["LTime"]}
    assert heard["LTime"] > 0
    assert base64.b64decode(heard["Payload"]) == b"v2"


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("/", 400, "Missing name"),
        ("/x?tag=y", 500, "Cannot provide tag filter without service filter"),
        ("/x?node=(", 500, "Invalid node filter: error parsing regexp: missing closing ): `(`"),
        ("/x?dc=nowhere", 500, "No path to datacenter"),
    ],
)
def test_events_that_are_refused(harness: HttpHarness, query: str, status: int, text: str) -> None:
    answer = harness.ask(f"PUT /v1/event/fire{query}")
    assert (answer.status, answer.text) == (status, text)


def test_a_reader_of_events_waits_for_the_next() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/event/fire/a")
    index = harness.ask("GET /v1/event/list").headers["x-consul-index"]
    waiting = harness.begin(f"GET /v1/event/list?index={index}")
    assert waiting.answer is None
    harness.tell("PUT /v1/event/fire/b")
    harness.agent.clock.advance(0)
    assert waiting.answer is not None
    assert [event["Name"] for event in waiting.answer.json] == ["a", "b"]


def test_a_reader_of_events_waits_so_long() -> None:
    harness = HttpHarness()
    waiting = harness.begin("GET /v1/event/list?index=1&wait=2s")
    harness.agent.clock.advance(1.9)
    assert waiting.answer is None
    harness.agent.clock.advance(0.4)
    assert waiting.answer is not None
    assert (waiting.answer.json, waiting.answer.headers["x-consul-index"]) == ([], "1")


def test_a_reader_of_events_who_leaves_is_forgotten() -> None:
    harness = HttpHarness()
    waiting = harness.begin("GET /v1/event/list?index=1")
    assert len(harness.agent.events.watchers) == 1
    waiting.hang_up()
    assert len(harness.agent.events.watchers) == 0


@pytest.mark.parametrize("path", ["event/list", "agent/timeline/agent-two"])
def test_those_that_wait_for_one_change_share_a_slice_of_each_turn(
    harness: HttpHarness, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of answers were made in the turn of the change, or in the next one."""
    clock, woken = harness.agent.clock, harness.agent.woken
    index = harness.ask(f"GET /v1/{path}").headers["x-consul-index"]
    waiting = [harness.begin(f"GET /v1/{path}?index={index}&wait=60s") for _ in range(7)]
    defer = woken.defer

    def slow_defer(key: object, run: Callable[[], None]) -> None:
        def slow() -> None:
            clock.rightNow += SLICE_S / 3 + 1e-6
            run()

        defer(key, slow)

    monkeypatch.setattr(woken, "defer", slow_defer)
    harness.tell("PUT /v1/event/fire/deploy", "x")
    harness.agent.history.add("agent-two", "suspected", 1)
    answered: list[int] = []
    clock.callLater(0, lambda: answered.append(sum(each.answer is not None for each in waiting)))
    clock.advance(0)
    assert answered == [3], "others have their turn in between"
    assert all(each.answer is not None for each in waiting)
