"""Kept answers: the fast way says what the slow way says, whatever happened in between."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail

from consulpy.errors import NoServers
from consulpy.http.cache import response_cache
from consulpy.http.connection.limits import IDLE_TIMEOUT_S
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.cache.caching_caller import CachingCaller
from consulpy.rpc.call import ServerCaller
from tests.harness.effort import cases
from tests.harness.http import FakeAgent, HttpHarness, InMemoryClient

CASES = Path(__file__).parents[2] / "conformance" / "cases"
READS = (
    "/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/web", "/v1/catalog/service/web?tag=a",
    "/v1/catalog/service/web?filter=ServiceID==w1", "/v1/catalog/node/n1", "/v1/catalog/node-services/n1",
    "/v1/catalog/connect/web", "/v1/health/node/n1", "/v1/health/checks/web", "/v1/health/state/any",
    "/v1/health/state/passing", "/v1/health/service/web", "/v1/health/service/web?passing", "/v1/health/connect/web",
    "/v1/kv/a", "/v1/kv/a?raw", "/v1/kv/?recurse", "/v1/kv/a?keys&separator=/", "/v1/status/leader",
    "/v1/status/peers", "/v1/catalog/services?stale", "/v1/catalog/nodes?consistent",
    "/v1/internal/ui/services?dc=dc1", "/v1/internal/ui/nodes?dc=dc1", "/v1/internal/ui/node/n1?dc=dc1",
)  # fmt: skip


def head_of(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def sent(harness: HttpHarness, head: bytes) -> bytes:
    asking = InMemoryClient(harness)
    asking.send(head)
    asking.hang_up()
    return asking.raw


def undated(answer: bytes) -> bytes:
    before, there, after = answer.partition(b"\r\nDate: ")
    return before + there + after[29:]


def slowly(harness: HttpHarness, head: bytes) -> bytes:
    """The answer of the slow way, which keeps nothing."""
    harness.service.cache.enabled, was = False, harness.service.cache.enabled
    try:
        return sent(harness, head)
    finally:
        harness.service.cache.enabled = was


def warm(harness: HttpHarness, head: bytes) -> None:
    """Ask until the answer is kept."""
    hits = harness.service.cache.hits
    for _ in range(3):
        sent(harness, head)
    assert harness.service.cache.hits == hits + 1


def register(
    harness: HttpHarness, node: str, service: dict[str, Any] | None = None, status: str = "", address: str = "10.0.0.1"
):  # type: ignore[no-untyped-def]
    body: dict[str, Any] = {"Node": node, "Address": address}
    if service is not None:
        body["Service"] = service
    if status:
        service_id = service["ID"] if service is not None else ""
        body["Check"] = {"CheckID": f"c{service_id}", "Name": "c", "Status": status, "ServiceID": service_id}
    harness.tell("PUT /v1/catalog/register", body)


@pytest.fixture
def harness() -> HttpHarness:
    harness = HttpHarness(response_headers={"X-Site": "one"})
    register(harness, "n1", {"ID": "w1", "Service": "web", "Tags": ["a"], "Port": 80}, "passing")
    harness.tell("PUT /v1/kv/a", "one")
    return harness


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("line", ["", "Accept-Encoding: gzip", "Connection: close", "Content-Length: 0"])
def test_a_kept_answer_is_the_one_of_the_slow_way(harness: HttpHarness, path: str, line: str) -> None:
    head = head_of(path, *([line] if line else []))
    warm(harness, head)
    assert undated(sent(harness, head)) == undated(slowly(harness, head))


def paths_of_cases() -> list[str]:
    """Each path that a conformance case reads (what waits or streams aside)."""

    def steps(node: Any) -> Any:
        if isinstance(node, dict):
            yield node
            node = list(node.values())
        if isinstance(node, list):
            for each in node:
                yield from steps(each)

    found = set()
    for file in sorted(CASES.glob("*.json")):
        for step in steps(json.loads(file.read_text())):
            text = step.get("do")
            if isinstance(text, str) and text.startswith("GET /v1/") and " " not in text[4:] and "{" not in text:
                found.add(text[4:])
    return sorted(path for path in found if "monitor" not in path and "wait=" not in path and "index=" not in path)


def test_each_read_of_the_conformance_cases_is_answered_alike_both_ways(harness: HttpHarness) -> None:
    paths = paths_of_cases()
    assert len(paths) > 150
    unequal = []
    for path in paths:
        for line in ((), ("Accept-Encoding: gzip",)):
            head = head_of(path, *line)
            if b"/v1/agent/metrics" in head or b"/v1/query" in head or b"/v1/agent/host" in head:
                continue  # no two answers are equal
            answers = {undated(sent(harness, head)) for _ in range(4)} | {undated(slowly(harness, head))}
            if len(answers) != 1:
                unequal.append((path, answers))
    assert not unequal
    assert harness.service.cache.hits > 100


def test_pipelined_requests_are_answered_in_order_kept_or_not(harness: HttpHarness) -> None:
    paths = ["/v1/kv/a?raw", "/v1/status/leader", "/v1/agent/self", "/v1/kv/a?raw", "/v1/catalog/services"]
    heads = [head_of(path) for path in paths]
    warm(harness, heads[0])
    warm(harness, heads[1])
    asking = InMemoryClient(harness)
    asking.send(b"".join(heads))
    assert undated_all(asking.raw) == undated_all(b"".join(slowly(harness, head) for head in heads))


def undated_all(answers: bytes) -> bytes:
    first, *others = answers.split(b"\r\nDate: ")
    return first + b"".join(other[29:] for other in others)


def test_requests_may_come_in_pieces_cut_anywhere(harness: HttpHarness) -> None:
    head = head_of("/v1/kv/a")
    warm(harness, head)
    expected = undated_all(slowly(harness, head) * 2)
    for cut in range(1, 2 * len(head)):
        asking = InMemoryClient(harness)
        asking.send((head * 2)[:cut])
        asking.send((head * 2)[cut:])
        assert undated_all(asking.raw) == expected, cut
        asking.hang_up()


def test_what_follows_a_request_that_closes_is_not_answered(harness: HttpHarness) -> None:
    head = head_of("/v1/kv/a", "Connection: close")
    warm(harness, head)
    asking = InMemoryClient(harness)
    asking.send(head * 3)
    assert asking.raw.count(b"HTTP/1.1 200") == 1
    assert not asking.transport.connected


def test_a_kept_answer_has_the_date_of_now(harness: HttpHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    head = head_of("/v1/kv/a")
    warm(harness, head)
    monkeypatch.setattr("consulpy.http.connection.dispatch.time", lambda: 1_000_000_000.5)
    assert b"\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\n" in sent(harness, head)


def test_a_client_that_says_no_more_is_cut_off_after_the_idle_time(harness: HttpHarness) -> None:
    head, clock = head_of("/v1/kv/a"), harness.agent.clock
    warm(harness, head)
    asking = InMemoryClient(harness)
    for _ in range(3):
        clock.advance(IDLE_TIMEOUT_S - 10)
        asking.send(head)
        assert asking.transport.connected
    clock.advance(IDLE_TIMEOUT_S - 1)
    assert asking.transport.connected
    clock.advance(2)
    assert not asking.transport.connected


@pytest.mark.parametrize(
    "path",
    [
        "/v1/catalog/nodes?near=_agent", "/v1/catalog/service/web?near=_ip", "/v1/catalog/service/web?cached",
        "/v1/catalog/nodes?node-meta=a:b", "/v1/kv/a?index=1", "/v1/kv/a?token=x", "/v1/agent/self", "/v1/event/list",
        "/v1/agent/metrics", "/v1/health/service/", "/v1/kv/no", "/v1/catalog/nodes?dc=other",
        "/v1/catalog/nodes?filter=x%20==",
    ],
)  # fmt: skip
def test_what_depends_on_more_than_the_store_is_never_kept(harness: HttpHarness, path: str) -> None:
    for _ in range(4):
        sent(harness, head_of(path))
    assert (len(harness.service.cache), harness.service.cache.hits) == (0, 0)


def test_nothing_is_kept_once_there_is_no_leader(harness: HttpHarness) -> None:
    head = head_of("/v1/status/leader")
    warm(harness, head)
    harness.agent.server.is_leader = False
    assert sent(harness, head).endswith(b'\r\n\r\n""')


def test_a_restored_state_is_shown_at_once(harness: HttpHarness) -> None:
    from consulpy.state.store import Store

    head = head_of("/v1/kv/a")
    warm(harness, head)
    harness.agent.server.store.replace_by(Store())
    assert sent(harness, head).startswith(b"HTTP/1.1 404")


def test_hits_are_measured_like_other_requests(harness: HttpHarness) -> None:
    for _ in range(10):
        sent(harness, head_of("/v1/kv/a"))
    samples = harness.agent.metrics.to_json()["Samples"]
    counts = {each["Name"]: each["Count"] for each in samples}
    assert counts["consul.http.GET.v1.kv._"] == 10


def test_look_ups_are_counted_for_each_service_kept_or_not(harness: HttpHarness) -> None:
    harness.agent.server.metrics = harness.agent.metrics
    for _ in range(10):
        sent(harness, head_of("/v1/health/service/web"))
        sent(harness, head_of("/v1/catalog/service/none"))
    assert harness.service.cache.hits == 16
    counters = {(each["Name"], each["Labels"]["service"]): each["Count"] for each in look_ups(harness)}
    assert counters == {
        ("consul.health.service.query", "web"): 10,
        ("consul.catalog.service.query", "none"): 10,
        ("consul.catalog.service.not-found", "none"): 10,
    }


def look_ups(harness: HttpHarness) -> list[dict[str, Any]]:
    return [each for each in harness.agent.metrics.to_json()["Counters"] if ".service." in each["Name"]]


def test_a_flood_of_requests_neither_grows_the_tables_nor_costs_the_hot_answers(
    harness: HttpHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_cache, "GENERATION_MAX", 50)
    monkeypatch.setattr(response_cache, "SEEN_MAX", 80)
    hot, table = head_of("/v1/kv/a"), harness.service.cache
    warm(harness, hot)
    for number in range(300):
        for _ in range(2):
            sent(harness, head_of(f"/v1/catalog/service/flood-{number}"))
        hits = table.hits
        sent(harness, hot)
        assert table.hits == hits + 1
        assert len(table) <= 100
        assert len(table._seen) + len(table._seen_before) <= 160
    assert len(harness.agent.server.store.watchers) <= 110, "who is forgotten waits no more"


def test_the_bytes_of_kept_answers_have_a_bound(harness: HttpHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_cache, "GENERATION_MAX_BYTES", 20_000)
    for number in range(40):
        harness.tell(f"PUT /v1/kv/big-{number}", "x" * 3000)
        for _ in range(3):
            sent(harness, head_of(f"/v1/kv/big-{number}?raw"))
    assert (
        sum(
            entry.size for each in (harness.service.cache._young, harness.service.cache._old) for entry in each.values()
        )
        <= 40_000
    )


NAMES = st.sampled_from(["n1", "n2"])
CHANGES = st.one_of(
    st.tuples(st.just("kv"), st.sampled_from(["a", "a/b", "no"]), st.sampled_from(["1", "2"])),
    st.tuples(st.just("kv-delete"), st.sampled_from(["a", "a/b", "no", "a?recurse"]), st.just("")),
    st.tuples(st.just("service"), NAMES, st.sampled_from(["web", "db"])),
    st.tuples(st.just("check"), NAMES, st.sampled_from(["passing", "warning", "critical"])),
    st.tuples(st.just("node"), NAMES, st.sampled_from(["10.0.0.1", "10.0.0.2"])),
    st.tuples(st.just("node-delete"), NAMES, st.just("")),
    st.tuples(st.just("service-delete"), NAMES, st.sampled_from(["web", "db"])),
)


def change(harness: HttpHarness, kind: str, name: str, value: str) -> None:
    if kind == "kv":
        harness.tell(f"PUT /v1/kv/{name}", value)
    elif kind == "kv-delete":
        harness.tell(f"DELETE /v1/kv/{name}")
    elif kind == "service":
        register(harness, name, {"ID": f"{value}-{name}", "Service": value, "Tags": ["a"]})
    elif kind == "check":
        register(harness, name, {"ID": f"web-{name}", "Service": "web"}, value)
    elif kind == "node":
        register(harness, name, address=value)
    else:
        body = {"Node": name} | ({"ServiceID": f"{value}-{name}"} if value else {})
        harness.tell("PUT /v1/catalog/deregister", body)


@settings(max_examples=cases(25), deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=12))
def test_after_any_changes_both_ways_say_the_same(changes: list[tuple[str, str, str]]) -> None:
    harness = HttpHarness()
    heads = [head_of(path) for path in (*READS, "/v1/kv/no", "/v1/catalog/service/db", "/v1/catalog/node/n2")]
    for each in changes:
        for head in heads:
            sent(harness, head)
            sent(harness, head)
        change(harness, *each)
        for head in heads:
            assert undated(sent(harness, head)) == undated(slowly(harness, head)), (head, each)
    assert harness.service.cache.hits > 0


def test_a_connection_that_says_nothing_is_cut_off_and_counted_no_more(harness: HttpHarness) -> None:
    asking = InMemoryClient(harness)
    assert harness.site.connections.of_client("http", "127.0.0.9") == 1
    harness.agent.clock.advance(IDLE_TIMEOUT_S)
    assert not asking.transport.connected
    assert len(harness.site.connections) == 0


def test_connections_are_counted_until_they_end_whoever_answered(harness: HttpHarness) -> None:
    head = head_of("/v1/kv/a", "Connection: close")
    warm(harness, head)
    hits = harness.service.cache.hits
    assert [sent(harness, head).count(b"HTTP/1.1 200") for _ in range(3)] == [1, 1, 1]
    assert (harness.service.cache.hits, len(harness.site.connections)) == (hits + 3, 0)


def test_who_asks_for_much_at_once_gets_a_part_of_it_the_slow_way(harness: HttpHarness) -> None:
    harness.tell("PUT /v1/kv/big", "x" * 100_000)
    head = head_of("/v1/kv/big?raw")
    warm(harness, head)
    hits, asking = harness.service.cache.hits, InMemoryClient(harness)
    asking.send(head * 8)
    assert asking.raw.count(b"HTTP/1.1 200") == 8
    assert harness.service.cache.hits == hits + 3


# -- on a client agent


class Line:
    """A caller that can be cut."""

    def __init__(self, caller: Any) -> None:
        self.caller, self.is_cut = caller, False

    def call(self, method: str, request: Any, dependencies: Any = None) -> "Deferred[Any]":
        return fail(NoServers()) if self.is_cut else self.caller.call(method, request)


@pytest.fixture
def client() -> tuple[HttpHarness, Line]:
    agent = FakeAgent().start()
    line = Line(ServerCaller(agent.server))
    agent.server = None  # type: ignore[assignment]
    agent.agent_cache = AgentCache(line, agent.clock)
    agent.caller = CachingCaller(line, agent.agent_cache, "dc1")
    harness = HttpHarness(agent)
    register(harness, "n1", {"ID": "w1", "Service": "web", "Port": 80}, "passing")
    agent.clock.pump([0.5] * 10)
    return harness, line


STALE = [f"{path}?stale" for path in READS if "?" not in path and "/kv/" not in path and "status" not in path]


@pytest.mark.parametrize("path", [path for path in STALE if "node-services" not in path])
def test_what_a_client_makes_from_copies_is_kept_while_they_are_certain(
    client: tuple[HttpHarness, Line], path: str
) -> None:
    harness, line = client
    clock, head = harness.agent.clock, head_of(path)
    for _ in range(4):
        sent(harness, head)
        clock.advance(0.1)
    assert harness.service.cache.hits > 0
    before = undated(sent(harness, head))
    assert before == undated(slowly(harness, head))
    register(harness, "n1", {"ID": "w1", "Service": "web", "Port": 81}, "critical", address="10.0.0.9")
    register(harness, "n2", {"ID": "w1", "Service": "web", "Port": 82}, "passing")
    clock.pump([0.1] * 3)
    assert undated(sent(harness, head)) == undated(slowly(harness, head)) != before
    line.is_cut = True
    clock.pump([30.0] * 4)
    answer = sent(harness, head)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"X-Consul-Knownleader: false" in answer
    assert b"X-Consul-Lastcontact: 0\r\n" not in answer


@pytest.mark.parametrize("path", ["/v1/health/service/web", "/v1/health/service/web?stale&dc=dc1", "/v1/kv/a?stale"])
def test_a_client_keeps_nothing_else(client: tuple[HttpHarness, Line], path: str) -> None:
    harness, _ = client
    for _ in range(5):
        sent(harness, head_of(path))
        harness.agent.clock.advance(0.1)
    assert harness.service.cache.hits == 0
