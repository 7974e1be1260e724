"""Prepared queries, intentions, config entries, the quorum and snapshots through the HTTP API, in Consul's words.

The plain cases stand in tests/conformance; here are those that a client seldom sends.
"""

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from consulpy.rpc.snapshots import perform
from consulpy.rpc.spool_file import MEMORY_BYTES
from tests.harness.http import FakeAgent, HttpHarness

HIDDEN = (
    "Invalid prepared query: Bad Token '<hidden>', it looks like a query definition with a redacted token was submitted"
)
ID = "cf000000-0000-0000-0000-00000000dead"


class Agent(FakeAgent):
    """A stand-in that saves and restores as a server does."""

    def snapshot(self, request: Any, data: bytes) -> "Deferred[Any]":
        return perform(self.server, request, data)


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness(Agent().start())


# -- prepared queries


def test_a_query_answers_under_id_and_name_and_is_explained(harness: HttpHarness) -> None:
    made = harness.ask("POST /v1/query", {"Name": "Q", "Service": {"Service": "consul"}, "DNS": {"TTL": "5s"}}).json[
        "ID"
    ]
    for name in (made, made.upper(), "Q", "q"):
        found = harness.ask(f"GET /v1/query/{name}/execute").json
        assert [row["Node"]["Node"] for row in found["Nodes"]] == ["agent-one"]
    explained = harness.ask("GET /v1/query/q/explain").json
    assert (explained["Query"]["ID"], explained["KnownLeader"], explained["Index"]) == (made, True, 0)
    assert harness.ask("GET /v1/query/nothing/explain").status == 404


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"ID": ID, "Name": "x"}, "ID must be empty when creating a new prepared query"),
        (
            {"Name": "x", "Service": {"Service": "a", "Failover": {"NearestN": -1}}},
            "Invalid prepared query: Bad NearestN '-1', must be >= 0",
        ),
        (
            {"Name": "x", "Service": {"Service": "a"}, "DNS": {"TTL": "soon"}},
            "Invalid prepared query: Bad DNS TTL 'soon': time: invalid duration \"soon\"",
        ),
        (
            {"Name": "x", "Service": {"Service": "a"}, "DNS": {"TTL": "-1s"}},
            "Invalid prepared query: DNS TTL '-1000000000', must be >=0",
        ),
        ({"Name": "x", "Session": ID, "Service": {"Service": "a"}}, f'invalid session "{ID}"'),
        (
            {"Name": "x", "Token": "<hidden>", "Service": {"Service": "a"}},
            HIDDEN,
        ),
    ],
)
def test_bad_queries(harness: HttpHarness, body: dict[str, Any], text: str) -> None:
    answer = harness.ask("POST /v1/query", body)
    assert (answer.status, answer.text) == (500, text)


def test_the_asking_node_comes_first(harness: HttpHarness) -> None:
    for node in ("a", "agent-one", "z"):
        body = {"Node": node, "Address": "10.0.0.1", "SkipNodeUpdate": node == "agent-one"}
        harness.tell("PUT /v1/catalog/register", {**body, "Service": {"Service": "web"}})
    harness.tell("POST /v1/query", {"Name": "q", "Service": {"Service": "web", "Near": "_agent"}})
    for _ in range(8):
        found = harness.ask("GET /v1/query/q/execute?limit=2").json["Nodes"]
        assert (len(found), found[0]["Node"]["Node"]) == (2, "agent-one")
    assert harness.ask("GET /v1/query/q/execute?near=z").json["Nodes"][0]["Node"]["Node"] == "z"


def test_ignored_checks_do_not_count(harness: HttpHarness) -> None:
    check = {"CheckID": "c", "Name": "c", "Status": "critical", "ServiceID": "web"}
    body = {"Node": "n", "Address": "10.0.0.1", "Service": {"Service": "web"}, "Check": check}
    harness.tell("PUT /v1/catalog/register", body)
    for name, ignored, count in (("q", [], 0), ("r", ["c"], 1)):
        harness.tell("POST /v1/query", {"Name": name, "Service": {"Service": "web", "IgnoreCheckIDs": ignored}})
        assert len(harness.ask(f"GET /v1/query/{name}/execute").json["Nodes"]) == count


# -- intentions


def test_the_most_exact_intention_decides(harness: HttpHarness) -> None:
    for source, destination, action in (("*", "*", "deny"), ("*", "db", "allow"), ("bad", "db", "deny")):
        harness.tell(
            "POST /v1/connect/intentions", {"SourceName": source, "DestinationName": destination, "Action": action}
        )

    def may(source: str, destination: str) -> bool:
        asked = f"GET /v1/connect/intentions/check?source={source}&destination={destination}"
        return bool(harness.ask(asked).json["Allowed"])

    assert [may("web", "db"), may("bad", "db"), may("web", "x")] == [True, False, False]
    found = harness.ask("GET /v1/connect/intentions").json
    assert [each["Precedence"] for each in found] == [9, 8, 5]
    matched = harness.ask("GET /v1/connect/intentions/match?by=destination&name=db&name=x").json
    assert {name: len(rows) for name, rows in matched.items()} == {"db": 3, "x": 1}
    matched = harness.ask("GET /v1/connect/intentions/match?by=destination&name=x&name=&name=db").json
    assert [(name, len(rows)) for name, rows in matched.items()] == [("", 1), ("db", 3), ("x", 1)], "by name"


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        ("GET /v1/connect/intentions/x", 400, "failed intention lookup: index error: UUID must be 36 characters"),
        (f"DELETE /v1/connect/intentions/{ID}", 500, f"Cannot delete non-existent intention: '{ID}'"),
        ("GET /v1/connect/intentions/check?source=a", 500, "required query parameter 'destination' not set"),
        ("GET /v1/connect/intentions/match?name=a", 500, "required query parameter 'by' not set"),
        ("GET /v1/connect/intentions/match?by=size", 500, "'by' parameter must be one of"),
        ("GET /v1/connect/intentions/match?by=&name=a", 500, "'by' parameter must be one of"),
        ("GET /v1/connect/intentions/match?by=source", 500, "required query parameter 'name' not set"),
        ("GET /v1/connect/intentions/match?by=source&name=a/b/c", 500, "can contain at most one '/'"),
        ("GET /v1/agent/connect/ca/leaf/web", 500, "Connect must be enabled in order to use this endpoint"),
    ],
)
def test_what_intentions_refuse(harness: HttpHarness, request_: str, status: int, text: str) -> None:
    answer = harness.ask(request_)
    assert answer.status == status
    assert text in answer.text


# -- config entries


def test_names_may_be_spelt_with_underscores_and_types_loosely(harness: HttpHarness) -> None:
    body = {
        "kind": "service-resolver", "name": "web", "default_subset": "v1", "connect_timeout": "1m30s",
        "subsets": {"v1": {"only_passing": "true"}}, "meta": {"n": 5},
    }  # fmt: skip
    harness.tell("PUT /v1/config", body)
    found = harness.ask("GET /v1/config/service-resolver/web").json
    assert (found["DefaultSubset"], found["ConnectTimeout"], found["Meta"]) == ("v1", "1m30s", {"n": "5"})
    assert found["Subsets"] == {"v1": {"OnlyPassing": True}}


def test_check_and_set_of_an_entry(harness: HttpHarness) -> None:
    body = {"Kind": "service-defaults", "Name": "web", "Protocol": "HTTP"}
    assert harness.ask("PUT /v1/config?cas=5", body).json is False
    assert harness.ask("PUT /v1/config?cas=0", body).json is True
    assert harness.ask("PUT /v1/config?cas=0", body).json is False
    entry = harness.ask("GET /v1/config/service-defaults/WEB").json
    assert entry["Protocol"] == "http"
    assert harness.ask(f"PUT /v1/config?cas={entry['ModifyIndex']}", body).json is True
    assert harness.ask("PUT /v1/config?cas=x", body).status == 500
    assert harness.ask("DELETE /v1/config/service-defaults/web").status == 200
    assert harness.ask("GET /v1/config/service-defaults/web").status == 404


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"Name": "x"}, 400, "Payload does not contain a kind/Kind key at the top level"),
        ({"Kind": 7}, 400, "Kind value in payload is not a string"),
        ({"Kind": "service-splitter", "Name": "x"}, 500, "no splits configured"),
        (
            {"Kind": "service-splitter", "Name": "x", "Splits": [{"Weight": 60}, {"Weight": 30, "Service": "y"}]},
            500, "the sum of all split weights must be 100, not 90.000000",
        ),
        (
            {"Kind": "service-splitter", "Name": "x", "Splits": [{"Weight": 60}, {"Weight": 30}]},
            500, "split destination occurs more than once",
        ),
        ({"Kind": "service-defaults", "Name": "x", "Meta": 7}, 400, "'Meta' expected a map, got 'float64'"),
        ({"Kind": "service-resolver", "Name": "x", "ConnectTimeout": "soon"}, 400, "time: invalid duration"),
        (
            {"Kind": "ingress-gateway", "Name": "x", "Listeners": [{"Colour": 1}]},
            400, 'invalid config key "Listeners[0].Colour"',
        ),
    ],
)  # fmt: skip
def test_bad_entries(harness: HttpHarness, body: dict[str, Any], status: int, text: str) -> None:
    answer = harness.ask("PUT /v1/config", body)
    assert answer.status == status
    assert text in answer.text


def test_settings_of_a_service_come_from_the_general_to_the_special(harness: HttpHarness) -> None:
    harness.tell("PUT /v1/config", {"Kind": "proxy-defaults", "Name": "any", "Config": {"a": 1}})
    harness.tell("PUT /v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http"})
    from consulpy.structs.config_entry_requests import ServiceConfigRequest, UpstreamId

    request = ServiceConfigRequest(
        datacenter="dc1", name="web", upstreams=["web", "x"], upstream_ids=[UpstreamId("web")]
    )
    found: list[Any] = []
    harness.agent.caller.call("ConfigEntry.ResolveServiceConfig", request).addCallback(found.append)
    (reply,) = found
    assert reply.proxy_config == {"a": 1, "protocol": "http"}
    assert reply.upstream_configs == {"web": {"protocol": "http"}}
    assert type(reply).unpack(reply.pack()).to_json() == reply.to_json()


# -- the quorum, and the whole state


def test_the_last_server_cannot_leave_the_quorum(harness: HttpHarness) -> None:
    own = harness.ask("GET /v1/operator/raft/configuration").json["Servers"][0]
    for how in (f"id={own['ID']}", f"address={own['Address']}"):
        answer = harness.ask(f"DELETE /v1/operator/raft/peer?{how}")
        assert (answer.status, answer.text) == (500, "Need at least one voter in configuration: {[]}")


def test_health_is_told_as_one_server_tells_it(harness: HttpHarness) -> None:
    found = harness.ask("GET /v1/operator/autopilot/health").json
    (server,) = found["Servers"]
    assert (found["Healthy"], server["SerfStatus"], server["LastContact"]) == (True, "alive", "0s")
    assert (server["Version"], server["Voter"], server["Leader"]) == ("1.8.7", True, True)


def test_the_state_of_autopilot_is_told_in_the_form_of_newer_versions(harness: HttpHarness) -> None:
    """Consul 1.9's `/v1/operator/autopilot/state`."""
    found = harness.ask("GET /v1/operator/autopilot/state").json
    ((server_id, server),) = found["Servers"].items()
    assert (found["Healthy"], found["FailureTolerance"], found["OptimisticFailureTolerance"]) == (True, 0, 0)
    assert (found["Leader"], found["Voters"], server["ID"]) == (server_id, [server_id], server_id)
    assert (server["Status"], server["NodeStatus"], server["LastContact"], server["Healthy"]) == (
        "leader",
        "alive",
        "0s",
        True,
    )


def test_the_state_goes_out_and_comes_back(harness: HttpHarness) -> None:
    harness.tell("PUT /v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http"})
    saved = harness.ask("GET /v1/snapshot")
    assert (saved.status, saved.headers["content-type"]) == (200, "application/x-gzip")
    harness.tell("DELETE /v1/config/service-defaults/web")
    assert harness.ask("PUT /v1/snapshot", saved.body[:-20]).status == 500
    assert harness.ask("GET /v1/config/service-defaults").json == []
    restored = harness.ask("PUT /v1/snapshot", saved.body)
    assert (restored.status, restored.body) == (200, b"")
    assert harness.ask("GET /v1/config/service-defaults/web").json["Protocol"] == "http"


def test_a_large_state_goes_out_and_comes_back_in_parts(harness: HttpHarness) -> None:
    """An archive that is not held in memory; what cannot be compressed makes it large."""
    noise = Random(7)
    for number in range(6):
        harness.tell(f"PUT /v1/kv/{number}", noise.randbytes(400_000))
    saved = harness.ask("GET /v1/snapshot")
    assert len(saved.body) > 2 * MEMORY_BYTES
    assert saved.headers["content-length"] == str(len(saved.body))
    harness.tell("DELETE /v1/kv/?recurse")
    assert harness.ask("PUT /v1/snapshot", saved.body[:-20]).status == 500
    assert harness.ask("PUT /v1/snapshot", saved.body).status == 200
    assert harness.ask("GET /v1/kv/5?raw").body == Random(7).randbytes(6 * 400_000)[-400_000:]
