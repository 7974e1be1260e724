"""The agent's own endpoints and user events, through the door."""

import base64

import pytest

from tests.harness.http import HttpHarness


@pytest.fixture
def door() -> HttpHarness:
    return HttpHarness()


def test_members(door: HttpHarness) -> None:
    names = [member["Name"] for member in door.ask("GET /v1/agent/members").json]
    assert sorted(names) == ["agent-one", "agent-two"]
    assert door.ask("GET /v1/agent/members?wan").json[0]["Name"] != "agent-one.dc1", "wan takes a value"
    assert [member["Name"] for member in door.ask("GET /v1/agent/members?wan=1").json] == ["agent-one.dc1"]


def test_a_client_has_no_wan_members(door: HttpHarness) -> None:
    door.agent.wan = None
    assert door.ask("GET /v1/agent/members?wan=1").body == b"null"


def test_segments_are_not_supported(door: HttpHarness) -> None:
    answer = door.ask("GET /v1/agent/members?segment=x")
    assert (answer.status, answer.text) == (500, "Network segments are not supported in this version of Consul")


def test_join_and_its_pool(door: HttpHarness) -> None:
    assert door.ask("PUT /v1/agent/join/10.0.0.1").body == b""
    door.tell("PUT /v1/agent/join/a%2Fb?wan=1")
    assert door.agent.joined == [(["10.0.0.1"], False), (["a/b"], True)]


def test_a_join_that_fails_says_why(door: HttpHarness) -> None:
    answer = door.ask("PUT /v1/agent/join/")
    assert (answer.status, answer.text[:16]) == (500, "1 error occurred")


def test_force_leave_and_prune(door: HttpHarness) -> None:
    door.tell("PUT /v1/agent/force-leave/agent-two")
    door.tell("PUT /v1/agent/force-leave/agent-two?prune")
    assert door.agent.forced == [("agent-two", False), ("agent-two", True)]
    answer = door.ask("PUT /v1/agent/force-leave/nobody")
    assert (answer.status, answer.text) == (500, "agent: No node found with name 'nobody'")


def test_leave_and_reload(door: HttpHarness) -> None:
    door.tell("PUT /v1/agent/reload")
    door.tell("PUT /v1/agent/leave")
    assert (door.agent.reloaded, door.agent.left) == (True, True)


def test_success_without_a_word_has_no_content_type(door: HttpHarness) -> None:
    answer = door.ask("PUT /v1/agent/reload")
    assert (answer.status, answer.body, answer.headers.get("content-type")) == (200, b"", None)


def test_self_shows_the_coordinate(door: HttpHarness) -> None:
    shown = door.ask("GET /v1/agent/self").json
    assert shown["Coord"] == {"Vec": [0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-05}


def test_a_timeline_of_a_member(door: HttpHarness) -> None:
    assert door.ask("GET /v1/agent/timeline/agent-two").json == [{"Kind": "alive"}]
    answer = door.ask("GET /v1/agent/timeline/nobody")
    assert (answer.status, answer.text) == (404, "No member called 'nobody' was ever seen here")


def test_prometheus_must_be_switched_on(door: HttpHarness) -> None:
    answer = door.ask("GET /v1/agent/metrics?format=prometheus")
    assert (answer.status, answer.text) == (415, "Prometheus is not enabled since its retention time is not positive")
    door.agent.prometheus_enabled = True
    assert door.ask("GET /v1/agent/metrics?format=prometheus").headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("relay-factor=9", "Bad request: Invalid relay-factor: Relay factor must be in range: [0, 5]"),
        ("relay-factor=-1", "Bad request: Invalid relay-factor: Relay factor must be in range: [0, 5]"),
        ("relay-factor=x", 'Bad request: Error parsing relay factor: strconv.Atoi: parsing "x": invalid syntax'),
    ],
)
def test_relay_factors(door: HttpHarness, query: str, text: str) -> None:
    answer = door.ask(f"GET /v1/operator/keyring?{query}")
    assert (answer.status, answer.text) == (400, text)


def test_keyring_operations(door: HttpHarness) -> None:
    door.tell("GET /v1/operator/keyring?relay-factor=2")
    door.tell("POST /v1/operator/keyring", {"Key": "k"})
    door.tell("DELETE /v1/operator/keyring", {"Key": "k"})
    assert door.agent.keys == [("list", "", 2), ("install", "k", 0), ("remove", "k", 0)]


def test_an_event_comes_back_with_its_time(door: HttpHarness) -> None:
    fired = door.ask("PUT /v1/event/fire/deploy?node=agent-.*", "v2").json
    assert fired["LTime"] == 0
    (heard,) = door.ask("GET /v1/event/list?name=deploy").json
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
def test_events_that_are_refused(door: HttpHarness, query: str, status: int, text: str) -> None:
    answer = door.ask(f"PUT /v1/event/fire{query}")
    assert (answer.status, answer.text) == (status, text)


def test_a_reader_of_events_waits_for_the_next() -> None:
    door = HttpHarness()
    door.tell("PUT /v1/event/fire/a")
    index = door.ask("GET /v1/event/list").headers["x-consul-index"]
    waiting = door.begin(f"GET /v1/event/list?index={index}")
    assert waiting.answer is None
    door.tell("PUT /v1/event/fire/b")
    assert waiting.answer is not None
    assert [event["Name"] for event in waiting.answer.json] == ["a", "b"]


def test_a_reader_of_events_waits_so_long() -> None:
    door = HttpHarness()
    waiting = door.begin("GET /v1/event/list?index=1&wait=2s")
    door.agent.clock.advance(1.9)
    assert waiting.answer is None
    door.agent.clock.advance(0.4)
    assert waiting.answer is not None
    assert (waiting.answer.json, waiting.answer.headers["x-consul-index"]) == ([], "1")


def test_a_reader_of_events_who_leaves_is_forgotten() -> None:
    door = HttpHarness()
    waiting = door.begin("GET /v1/event/list?index=1")
    assert len(door.agent.events.watchers) == 1
    waiting.hang_up()
    assert len(door.agent.events.watchers) == 0
