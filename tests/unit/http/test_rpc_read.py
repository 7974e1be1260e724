"""What a query string asks for, which mistakes are found first, and what an answer says of its freshness."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from consulpy.errors import NoServers, PermissionDenied, RPCError
from consulpy.structs.options import QueryMeta
from consulpy.structs.requests import NodesReply
from tests.harness.http import FakeAgent, HttpHarness


class Recorder:
    """A caller that keeps the requests."""

    def __init__(self, reply: Any = None) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.reply = reply if reply is not None else NodesReply(meta=QueryMeta(index=7, known_leader=True))

    def call(self, method: str, request: Any, dependencies: Any = None) -> "Deferred[Any]":
        self.asked.append((method, request))
        return fail(self.reply) if isinstance(self.reply, Exception) else succeed(self.reply)


def recorded(reply: Any = None) -> tuple[HttpHarness, Recorder]:
    agent = FakeAgent()
    agent.caller = recorder = Recorder(reply)
    return HttpHarness(agent), recorder


def asked(query: str, **headers: str) -> Any:
    harness, recorder = recorded()
    answer = harness.ask(f"GET /v1/catalog/nodes{query}", **headers)
    assert answer.status == 200, answer.text
    return recorder.asked[-1][1]


def test_a_plain_read() -> None:
    request = asked("")
    options = request.options
    assert (request.datacenter, request.source.datacenter, request.source.node) == ("dc1", "dc1", "")
    assert (options.min_query_index, options.max_query_time, options.allow_stale) == (0, 0, False)


def test_every_parameter_arrives() -> None:
    request = asked(
        "?dc=dc2&index=12&wait=1m30s&stale&near=_agent&node-meta=a:1&node-meta=b&filter=Node==x&token=t&max_stale=2s",
        Cache_Control="max-age=30, must-revalidate, stale-if-error=5",
    )
    options = request.options
    assert (request.datacenter, request.source.datacenter, request.source.node) == ("dc2", "dc2", "agent-one")
    assert request.node_meta_filters == {"a": "1", "b": ""}
    assert (options.min_query_index, options.max_query_time) == (12, 90_000_000_000)
    assert (options.allow_stale, options.max_stale_duration) == (True, 2_000_000_000)
    assert (options.filter, options.token) == ("Node==x", "t")
    assert (options.max_age, options.must_revalidate, options.stale_if_error) == (30_000_000_000, True, 5_000_000_000)


@pytest.mark.parametrize(
    "headers", [{"X_Consul_Token": "t"}, {"Authorization": "Bearer t"}], ids=["own header", "bearer"]
)
def test_a_token_may_be_a_header(headers: dict[str, str]) -> None:
    assert asked("", **headers).options.token == "t"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("index=x", "Invalid index"),
        ("index=-1", "Invalid index"),
        ("index=%2B1", "Invalid index"),
        ("index=18446744073709551616", "Invalid index"),
        ("index=%C2%B2", "Invalid index"),
        ("wait=5", "Invalid wait time"),
        ("wait=x&index=y", "Invalid wait time"),
        ("max_stale=x%22y", r'Invalid max_stale value "x\"y"'),
        ("stale&consistent&index=x", "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ("max_stale=1s&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ("cached&consistent", "Cannot specify ?cached with ?consistent, conflicting semantics."),
    ],
)
def test_mistakes(query: str, text: str) -> None:
    harness, recorder = recorded()
    answer = harness.ask(f"GET /v1/catalog/nodes?{query}")
    assert (answer.status, answer.text) == (400, text)
    assert recorder.asked == []


def test_a_bad_cache_control() -> None:
    harness, _ = recorded()
    answer = harness.ask("GET /v1/catalog/nodes", Cache_Control="max-age=x")
    assert (answer.status, answer.text) == (400, "Invalid Cache-Control header.")


def test_discovery_max_stale_is_for_reads_of_the_catalog_that_say_nothing_themselves() -> None:
    """As a real agent applies it: catalog and health only, and a request's own word goes before."""

    def sent(path: str) -> Any:
        agent = FakeAgent()
        agent.discovery_max_stale_ns = 5_000_000_000
        agent.caller = recorder = Recorder()
        HttpHarness(agent).ask(f"GET {path}")
        return recorder.asked[0][1].options

    assert (sent("/v1/catalog/nodes").allow_stale, sent("/v1/catalog/nodes").max_stale_duration) == (
        True,
        5_000_000_000,
    )
    for word in ("consistent", "leader", "cached"):
        assert not sent(f"/v1/catalog/nodes?{word}").allow_stale, word
    assert not sent("/v1/coordinate/nodes").allow_stale


@pytest.mark.parametrize("query", ["wait=0", "max_stale=", "max_stale=-1s", "index=", "leader"])
def test_what_looks_odd_and_is_none(query: str) -> None:
    assert asked(f"?{query}").options.allow_stale is False


NAMESPACES = "Namespaces are a Consul Enterprise feature"


@pytest.mark.parametrize("path", ["catalog/services", "catalog/service/x", "health/state/any", "health/service/"])
def test_namespaces_are_refused_first(path: str) -> None:
    harness, _ = recorded()
    answer = harness.ask(f"GET /v1/{path}?ns=x&index=y")
    assert (answer.status, answer.text) == (400, f'Bad request: Invalid query parameter: "ns" - {NAMESPACES}')
    answer = harness.ask(f"GET /v1/{path}", X_Consul_Namespace="x")
    assert answer.text == f'Bad request: Invalid header: "X-Consul-Namespace" - {NAMESPACES}'


@pytest.mark.parametrize("path", ["catalog/nodes", "coordinate/nodes", "event/list", "agent/members", "status/leader"])
def test_where_there_never_were_namespaces_they_do_not_matter(path: str) -> None:
    assert HttpHarness().ask(f"GET /v1/{path}?ns=x").status == 200


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("catalog/service/", "Missing service name"),
        ("catalog/connect/", "Missing service name"),
        ("catalog/node/", "Missing node name"),
        ("catalog/node-services/", "Missing node name"),
        ("catalog/gateway-services/", "Missing gateway name"),
        ("health/node/", "Missing node name"),
        ("health/checks/", "Missing service name"),
        ("health/state/", "Missing check state"),
        ("health/service/?passing=x", "Missing service name"),
        ("health/node/?index=x", "Invalid index"),
        ("health/service/x?passing=maybe", "Invalid value for ?passing"),
    ],
)
def test_names_in_paths(path: str, text: str) -> None:
    answer = HttpHarness().ask(f"GET /v1/{path}")
    assert (answer.status, answer.text) == (400, text)


def test_freshness_is_in_the_headers() -> None:
    harness, _ = recorded(NodesReply(meta=QueryMeta(index=0, last_contact=1_999_999, known_leader=False)))
    headers = harness.ask("GET /v1/catalog/nodes?stale").headers
    assert headers["x-consul-index"] == "1", "who sent 0 back would never wait"
    assert (headers["x-consul-lastcontact"], headers["x-consul-knownleader"]) == ("1", "false")
    assert headers["x-consul-effective-consistency"] == "stale"
    assert harness.ask("GET /v1/catalog/nodes?consistent").headers["x-consul-effective-consistency"] == "consistent"


def test_an_answer_that_is_too_stale_is_asked_of_the_leader() -> None:
    harness, recorder = recorded(NodesReply(meta=QueryMeta(index=7, last_contact=3_000_000_000)))
    assert harness.ask("GET /v1/catalog/nodes?max_stale=2s").headers["x-consul-effective-consistency"] == "leader"
    assert [request.options.allow_stale for _, request in recorder.asked] == [False, False], "one object, changed"
    assert len(recorder.asked) == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoServers(), 500),
        (RPCError("rpc error making call: Permission denied"), 403),
        (RPCError("rpc error making call: ACL not found"), 403),
        (PermissionDenied(), 403),
        (RPCError("RPC rate limit exceeded"), 429),
        # servers from Consul 1.15 on
        (RPCError("rpc error making call: rate limit exceeded, try again later or against a different server"), 429),
        (
            RPCError(
                "rpc error making call: rate limit exceeded for operation that can only be performed by the leader, "
                "try again later"
            ),
            503,
        ),
    ],
)
def test_errors_of_servers(error: RPCError, status: int) -> None:
    harness, _ = recorded(error)
    answer = harness.ask("GET /v1/catalog/nodes")
    assert (answer.status, answer.text) == (status, str(error))
    assert (answer.headers["x-consul-index"], answer.headers["x-consul-knownleader"]) == ("1", "false")
    assert "x-consul-effective-consistency" not in answer.headers


def test_a_reader_waits_for_its_own_service() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/catalog/register", {"Node": "n", "Address": "10.0.0.1", "Service": {"Service": "web"}})
    index = harness.ask("GET /v1/health/service/web").headers["x-consul-index"]
    waiting = harness.begin(f"GET /v1/health/service/web?index={index}")
    harness.tell("PUT /v1/catalog/register", {"Node": "m", "Address": "10.0.0.2", "Service": {"Service": "other"}})
    harness.agent.clock.advance(0)
    assert waiting.answer is None
    harness.tell("PUT /v1/catalog/register", {"Node": "m", "Address": "10.0.0.2", "Service": {"Service": "web"}})
    harness.agent.clock.advance(0)
    assert waiting.answer is not None
    assert [row["Node"]["Node"] for row in waiting.answer.json] == ["m", "n"] or len(waiting.answer.json) == 2


def test_a_write_with_members_unknown_to_consul_is_refused() -> None:
    harness = HttpHarness()
    answer = harness.ask("PUT /v1/catalog/register", {"Node": "n", "Address": "10.0.0.1", "Colour": "red"})
    assert (answer.status, answer.text) == (400, 'Request decode failed: json: unknown field "Colour"')
    check = {"Name": "c", "Definition": {"TCP": "a:1", "Interval": "10s", "Colour": "red"}}
    answer = harness.ask("PUT /v1/catalog/register", {"Node": "n", "Address": "10.0.0.1", "Check": check})
    assert (answer.status, answer.text) == (400, 'Request decode failed: json: unknown field "Colour"')
    assert harness.ask("GET /v1/health/node/n").json == []


def test_what_has_no_type_comes_back_as_it_was() -> None:
    harness = HttpHarness()
    proxy = {"DestinationServiceName": "db", "Config": {"a": ["b", 1, {"c": ""}]}}
    service = {"Service": "p", "Kind": "connect-proxy", "Port": 1, "Proxy": proxy}
    harness.tell("PUT /v1/catalog/register", {"Node": "n", "Address": "10.0.0.1", "Service": service})
    assert harness.ask("GET /v1/catalog/node/n").json["Services"]["p"]["Proxy"]["Config"] == proxy["Config"]


def test_coordinates_are_written_as_go_writes_numbers() -> None:
    assert (
        b'"Vec":[0,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,'
        in HttpHarness().ask("GET /v1/coordinate/datacenters").body
    )
