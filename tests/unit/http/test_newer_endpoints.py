"""What newer clients and monitors ask: `operator/usage` (1.15), `agent/metrics/stream` (1.11), transactions of 1.14."""

import json
from typing import Any

import pytest
from twisted.internet.defer import fail

from consulpy.errors import RPCError
from consulpy.metrics.registry import Registry
from consulpy.state.commands import COMMANDS
from consulpy.structs.kv import GET_OR_EMPTY
from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import FakeAgent, HttpHarness


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness(FakeAgent().start())


def fill(harness: HttpHarness) -> None:
    for number, service in enumerate(
        (
            {"Service": "web"},
            {"Service": "web", "ID": "web2", "Connect": {"Native": True}},
            {"Service": "web-proxy", "Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "web"}, "Port": 1},
            {"Service": "gate", "Kind": "mesh-gateway", "Port": 2},
        )
    ):
        body = {"Node": f"n{number}", "Address": "127.0.0.9", "Service": service}
        answer = harness.ask("PUT /v1/catalog/register", body)
        assert answer.status == 200, answer.text


USAGE = {
    "Nodes": 6,
    "Services": 4,
    "ServiceInstances": 5,
    "ConnectServiceInstances": {
        "connect-native": 1,
        "connect-proxy": 1,
        "ingress-gateway": 0,
        "mesh-gateway": 1,
        "terminating-gateway": 0,
    },
    "BillableServiceInstances": 2,
}


def test_usage_counts_services_and_instances(harness: HttpHarness) -> None:
    """`consul operator usage instances`; the fifth is the servers' own service."""
    fill(harness)
    for path in ("usage", "usage?global", "usage?dc=dc1&stale"):
        answer = harness.ask(f"GET /v1/operator/{path}")
        assert answer.json["Usage"] == {"dc1": USAGE}
        assert answer.json["KnownLeader"]
        assert answer.headers["x-consul-index"] == str(answer.json["Index"])


def test_usage_of_servers_of_1_8_7_is_counted_by_the_agent(harness: HttpHarness) -> None:
    fill(harness)
    call = harness.agent.caller.call

    def without_usage(method: str, *rest: object) -> object:
        if method == "Operator.Usage":
            raise RPCError(f"rpc: can't find method {method}")
        return call(method, *rest)

    harness.agent.caller.call = without_usage
    assert harness.ask("GET /v1/operator/usage").json["Usage"] == {"dc1": USAGE}


def test_usage_of_many_services_is_counted_in_several_turns(harness: HttpHarness) -> None:
    for number in range(1200):
        service = {"Service": "many", "ID": f"many{number}"}
        harness.ask("PUT /v1/catalog/register", {"Node": "n", "Address": "127.0.0.9", "Service": service})
    client = harness.begin("GET /v1/operator/usage")
    for _ in range(10):
        harness.agent.clock.advance(0.001)
    assert client.answer is not None
    assert client.answer.json["Usage"]["dc1"]["BillableServiceInstances"] == 1200


def test_usage_wants_operator_read() -> None:
    guarded = GuardedHarness()
    assert guarded.as_(guarded.token('service_prefix "" { policy = "read" }'), "GET /v1/operator/usage").status == 403
    found = guarded.as_(guarded.token('operator = "read"'), "GET /v1/operator/usage")
    assert found.json["Usage"]["dc1"]["Services"] == 1


def test_metrics_are_streamed_when_their_interval_has_ended(harness: HttpHarness) -> None:
    clock = harness.agent.clock
    harness.agent.metrics = Registry(clock.seconds)
    client = harness.begin("GET /v1/agent/metrics/stream")
    harness.agent.metrics.incr("some.counter")
    clock.advance(5)
    assert b"Timestamp" not in client.raw
    for seconds in (6, 10):
        clock.advance(seconds)
    lines = [json.loads(line) for line in client.raw.split(b"\r\n") if line.startswith(b"{")]
    assert [line["Timestamp"][11:19] for line in lines] == ["00:00:00", "00:00:10"]
    assert [each["Name"] for each in lines[0]["Counters"]] == ["consul.some.counter"]
    client.hang_up()
    assert not [call for call in clock.getDelayedCalls() if "_interval_ended" in str(call.func)]


def txn(harness: HttpHarness, *operations: dict[str, object]) -> list[dict[str, object]]:
    answer = harness.ask("PUT /v1/txn", json.dumps([{"KV": each} for each in operations]))
    assert answer.status == 200, answer.text
    return [each["KV"] for each in answer.json["Results"]]


@pytest.mark.parametrize("write", [[], [{"Verb": "set", "Key": "other", "Value": "MQ=="}]], ids=["read", "write"])
def test_get_or_empty_gives_an_empty_entry_for_a_missing_key(
    harness: HttpHarness, write: list[dict[str, object]]
) -> None:
    """Consul 1.14. Keys that begin like it are none of its business."""
    harness.ask("PUT /v1/kv/a/b", "1")
    empty = {"LockIndex": 0, "Key": "a", "Flags": 0, "Value": None, "CreateIndex": 0, "ModifyIndex": 0}
    assert txn(harness, *write, {"Verb": "get-or-empty", "Key": "a"})[-1] == empty
    assert txn(harness, *write, {"Verb": "get-or-empty", "Key": "a/b"})[-1]["Value"] == "MQ=="


def test_servers_of_1_8_7_never_see_the_newer_verb(harness: HttpHarness) -> None:
    """They would refuse the transaction that others apply."""
    logged: list[bytes] = []
    submit = harness.agent.log.submit

    def noted(command: object, done: object) -> None:
        logged.append(command.encode())  # type: ignore[attr-defined]
        submit(command, done)  # type: ignore[arg-type]

    harness.agent.log.submit = noted  # type: ignore[method-assign]
    txn(harness, {"Verb": "set", "Key": "a/b", "Value": "MQ=="}, {"Verb": GET_OR_EMPTY, "Key": "b"})
    verbs = [op.kv.verb for op in COMMANDS[8].decode(memoryview(logged[-1])[1:]).body.ops]
    assert verbs == ["set", "get-tree"]
    tree = txn(harness, {"Verb": "get-tree", "Key": "a", "Session": GET_OR_EMPTY})
    assert [each["Key"] for each in tree] == ["a/b"]


def test_a_transaction_has_128_operations(harness: HttpHarness) -> None:
    def ask(count: int) -> int:
        body = [{"KV": {"Verb": "set", "Key": str(number), "Value": "MQ=="}} for number in range(count)]
        return harness.ask("PUT /v1/txn", json.dumps(body)).status

    assert (ask(128), ask(129)) == (200, 413)


def test_central_defaults_are_merged_where_it_is_asked_for(harness: HttpHarness) -> None:
    """`?merge-central-config` (1.13), of consul-dataplane: agents of 1.8.7 merge their own services only."""
    for entry in (
        {"Kind": "proxy-defaults", "Name": "global", "Config": {"a": 1}, "MeshGateway": {"Mode": "local"}},
        {"Kind": "service-defaults", "Name": "web", "Protocol": "http"},
    ):
        assert harness.ask("PUT /v1/config", entry).json is True
    proxy = {"DestinationServiceName": "web", "DestinationServiceID": "web1", "Config": {"own": True}}
    for service in (
        {"Service": "web-proxy", "Kind": "connect-proxy", "Port": 1, "Proxy": proxy},
        {"Service": "gate", "Kind": "mesh-gateway", "Port": 2},
        {"Service": "web"},
    ):
        body = {"Node": "n", "Address": "127.0.0.9", "Service": service}
        assert harness.ask("PUT /v1/catalog/register", body).status == 200
    found = [
        harness.ask(f"GET /v1/{path}?merge-central-config").json
        for path in (
            "health/service/web-proxy",
            "health/connect/web",
            "catalog/service/web-proxy",
            "catalog/connect/web",
        )
    ]
    proxies = [found[0][0]["Service"]["Proxy"], found[1][0]["Service"]["Proxy"]]
    proxies += [each[0]["ServiceProxy"] for each in found[2:]]
    for each in proxies:
        assert each["Config"] == {"own": True, "a": 1, "protocol": "http"}
        assert each["MeshGateway"] == {"Mode": "local"}
    on_node = harness.ask("GET /v1/catalog/node-services/n?merge-central-config").json["Services"]
    configs = {each["Service"]: each.get("Proxy", {}).get("Config") for each in on_node}
    assert configs == {"web-proxy": proxies[0]["Config"], "gate": {"a": 1}, "web": None}
    plain = harness.ask("GET /v1/health/service/web-proxy").json[0]["Service"]["Proxy"]
    assert plain["Config"] == {"own": True}


@pytest.mark.parametrize(
    "path", ["health/service/gate", "health/connect/web", "catalog/service/gate", "catalog/node-services/n"]
)
def test_a_change_of_central_defaults_ends_a_blocking_query_that_merges_them(harness: HttpHarness, path: str) -> None:
    register = "PUT /v1/catalog/register"
    proxy = {"DestinationServiceName": "web", "DestinationServiceID": "web1"}
    for service in (
        {"Service": "gate", "Kind": "mesh-gateway", "Port": 2},
        {"Service": "web-proxy", "Kind": "connect-proxy", "Port": 1, "Proxy": proxy},
    ):
        harness.tell(register, {"Node": "n", "Address": "127.0.0.9", "Service": service})
    harness.agent.clock.advance(5)  # the leader's own changes
    index = harness.ask(f"GET /v1/{path}?merge-central-config").headers["x-consul-index"]
    waiting = harness.begin(f"GET /v1/{path}?merge-central-config&index={index}&wait=5m")
    plain = harness.begin(f"GET /v1/{path}?index={index}&wait=5m")
    harness.agent.clock.advance(1)
    assert waiting.answer is None
    harness.tell("PUT /v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"a": 1}})
    harness.agent.clock.advance(1)
    assert waiting.answer is not None
    assert int(waiting.answer.headers["x-consul-index"]) > int(index)
    assert '"a":1' in waiting.answer.text.replace(" ", "")
    assert plain.answer is None


def test_a_filter_sees_central_defaults(harness: HttpHarness) -> None:
    harness.tell("PUT /v1/config", {"Kind": "proxy-defaults", "Name": "global", "MeshGateway": {"Mode": "local"}})
    service = {"Service": "gate", "Kind": "mesh-gateway", "Port": 2}
    harness.tell("PUT /v1/catalog/register", {"Node": "n", "Address": "127.0.0.9", "Service": service})
    where = "GET /v1/health/service/gate?filter=Service.Proxy.MeshGateway.Mode==local"
    assert len(harness.ask(f"{where}&merge-central-config").json) == 1
    assert harness.ask(where).json == []


def test_rights_to_an_instance_are_enough_for_its_central_defaults() -> None:
    guarded = GuardedHarness()
    guarded.as_(MASTER, "PUT /v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"a": 1}})
    proxy = {"DestinationServiceName": "web", "DestinationServiceID": "web1"}
    service = {"Service": "web-proxy", "Kind": "connect-proxy", "Port": 1, "Proxy": proxy}
    guarded.as_(MASTER, "PUT /v1/catalog/register", {"Node": "n", "Address": "127.0.0.9", "Service": service})
    token = guarded.token('service "web-proxy" { policy = "read" } node_prefix "" { policy = "read" }')
    (found,) = guarded.as_(token, "GET /v1/health/service/web-proxy?merge-central-config").json
    assert found["Service"]["Proxy"]["Config"] == {"a": 1}


def test_the_state_of_autopilot_has_the_fields_of_the_go_client(harness: HttpHarness) -> None:
    """`api.AutopilotState` and `AutopilotServer`; a leader of 1.8.7 has no such call, its health says the same."""
    harness.agent.clock.advance(5)
    found = harness.ask("GET /v1/operator/autopilot/state").json
    assert set(found) == {
        "Healthy", "FailureTolerance", "OptimisticFailureTolerance", "Servers", "Leader", "Voters",
    }  # fmt: skip
    (server,) = found["Servers"].values()
    assert set(server) == {
        "ID", "Name", "Address", "NodeStatus", "Version", "LastContact", "LastTerm", "LastIndex", "Healthy",
        "StableSince", "ReadReplica", "Status", "Meta", "NodeType",
    }  # fmt: skip
    real = harness.agent.caller

    class Older:
        def call(self, method: str, *rest: Any) -> Any:
            if method == "Operator.AutopilotState":
                return fail(RPCError("rpc: can't find method Operator.AutopilotState"))
            return real.call(method, *rest)

    meta = harness.ask("GET /v1/catalog/nodes?filter=Node==`agent-one`").json[0]["Meta"]
    assert server["Meta"] == (meta or {})
    harness.agent.caller = Older()
    again = harness.ask("GET /v1/operator/autopilot/state").json
    again["Servers"][server["ID"]] |= {"Meta": server["Meta"], "LastIndex": server["LastIndex"]}
    assert again == found
